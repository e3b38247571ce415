"""The stage that starts a fusion's maps in a common space: which weights it sets, how large, and what it brings."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.config_pretraining import LinearAlignmentConfig
from mmrec_tf.errors import ConfigError
from mmrec_tf.fusion import fusion_names
from mmrec_tf.fusion.base import Fusion
from mmrec_tf.pretraining.linear_alignment import linear_alignment, modality_kernels
from mmrec_tf.pretraining.stages import pretrain
from tests.pretraining.worlds import assert_same_weights, items_of, linked, weights_of, world

DIM = 8


class Holder:
    """What the stage reads of a model and of its data."""

    def __init__(self, vectors, masks=None, method="concat", dim=DIM):
        tf_keras.utils.set_random_seed(0)
        self.items, self.index = items_of(vectors, masks, method=method, dim=dim)
        tables = self.items.lookup.tables
        self.vectors = {name: table.numpy() for name, table in tables["vectors"].items()}
        self.masks = {name: table.numpy() for name, table in tables["masks"].items()}

    def run(self, **options):
        class Prepared:
            items = self

        return linear_alignment(self, Prepared, LinearAlignmentConfig(**options))

    def tokens(self):
        """Modality -> the tokens of the items that are there."""
        features = self.items.lookup(self.index)
        found = self.items.fusion.modality_tokens(features["vectors"], features["masks"])
        return {name: token.numpy() for name, token in found.items()}

    def gap(self):
        """Mean cosine of an item's two tokens, less that of tokens of different items."""
        a, b = (token / np.linalg.norm(token, axis=1, keepdims=True) for token in self.tokens().values())
        cosines = a @ b.T
        own = np.diag(cosines).mean()
        return own - (cosines.sum() - np.trace(cosines)) / (cosines.size - len(cosines))


@pytest.mark.parametrize("method", fusion_names())
def test_modalities_of_an_item_start_near_each_other_in_every_fusion(method):
    world = Holder(linked(), method=method)
    before = world.gap()
    world.run(dim=4)
    # Half of the columns say the same, the others keep their random start.
    assert abs(before) < 0.15 and world.gap() > 0.3


def test_with_all_columns_set_tokens_are_alike():
    world = Holder(linked(noise=0.05), dim=4)
    world.run(dim=4, regularization=0.001)
    assert world.gap() > 0.9


@pytest.mark.parametrize("method", fusion_names())
def test_only_the_first_columns_of_the_maps_are_set(method):
    world = Holder(linked(), method=method)
    fusion = world.items.fusion
    kernels = modality_kernels(fusion, {"a": 12, "b": 10})
    ours = {id(kernel) for kernel, _ in kernels.values()}
    before = {id(weight): weight.numpy() for weight in fusion.trainable_variables}
    world.run(dim=3)
    for weight in fusion.trainable_variables:
        if id(weight) not in ours:
            np.testing.assert_array_equal(weight.numpy(), before[id(weight)])
    for kernel, rows in kernels.values():
        then, now = before[id(kernel)], kernel.numpy()
        np.testing.assert_array_equal(now[rows, 3:], then[rows, 3:])
        assert np.abs(now[rows, :3] - then[rows, :3]).min() > 0
        # The rows of concatenated masks stay too.
        assert kernel.shape[0] <= 22 or np.array_equal(now[22:], then[22:])


@pytest.mark.parametrize("method", ["cca", "procrustes"])
def test_lengths_over_the_catalogue_stay_as_they_were(method):
    world = Holder(linked(), {"a": np.arange(240) % 5 > 0, "b": np.arange(240) % 4 > 0})

    def lengths():
        return {
            name: np.sqrt(np.mean(np.square(token[world.masks[name][1:]][:, :4])))
            for name, token in world.tokens().items()
        }

    before = lengths()
    world.run(method=method, dim=4)
    assert lengths() == pytest.approx(before, rel=1e-4)


def test_half_of_the_width_is_set_by_default():
    world = Holder(linked(), dim=6)
    kernel = world.items.fusion.mix.kernel
    before = kernel.numpy()
    world.run()
    changed = (kernel.numpy() != before).any(axis=0)
    assert changed.tolist() == [True] * 3 + [False] * 3


def test_more_columns_than_the_fusion_has_are_not_asked_for():
    world = Holder(linked(), dim=3)
    world.run(dim=50)
    assert world.items.fusion.mix.kernel.shape == [24, 3]


def test_correlations_of_every_pair_are_reported():
    vectors = {**linked(noise=0.05), "c": np.random.default_rng(3).normal(size=[240, 5])}
    result = Holder(vectors).run(dim=4, regularization=0.01)
    assert set(result.history) == {f"correlation of {pair}" for pair in ("a and b", "a and c", "b and c")}
    assert len(result.history["correlation of a and b"]) == 4 and result.epochs == 0 and result.seconds > 0
    # Four things in common, and none with the noise.
    assert min(result.history["correlation of a and b"]) > 0.8 > 0.6 > max(result.history["correlation of a and c"])
    assert set(Holder(linked()).run(method="procrustes").history) == {"covariance of a and b"}


def test_a_constant_modality_keeps_a_finite_map():
    world = Holder({**linked(), "c": np.ones([240, 3])})
    world.run()
    assert all(np.isfinite(weight.numpy()).all() for weight in world.items.fusion.trainable_variables)


def test_it_depends_on_the_data_alone(tmp_path):
    found = []
    for _ in range(2):
        model, prepared = world(tmp_path, {"stage": "linear_alignment", "dim": 3}, {"stage": "denoising", "epochs": 1})
        results = pretrain(model, prepared, prepared.config, tmp_path / "stages")
        found.append(weights_of(model))
    assert_same_weights(*found)
    # The stage behind it is found again, as the maps it starts from are the same.
    assert results["denoising"].reused == 1 and results["linear_alignment"].reused == 0
    assert [path.name.partition("-")[0] for path in (tmp_path / "stages").iterdir()] == ["denoising"]


def test_a_fusion_without_such_maps_is_refused():
    class Mean(Fusion):
        def fuse(self, features, masks):
            return tf.add_n(list(features.values()))

    with pytest.raises(ConfigError, match="sets the linear map of each modality, and Mean has none.*TokenFusion"):
        modality_kernels(Mean(dim=2), {"a": 2, "b": 2})


def test_one_modality_is_not_enough():
    with pytest.raises(ConfigError, match="linear_alignment needs 2"):
        Holder({"a": linked()["a"]}).run()

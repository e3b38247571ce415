"""What an encoder is tuned on comes from training alone, and every item is met."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.config_encoders import AugmentationConfig
from mmrec_tf.encoders.base import Encoder
from mmrec_tf.encoders.readers import ImageReader
from mmrec_tf.errors import EncoderError
from mmrec_tf.features.item_vectors import build_encoders
from mmrec_tf.training.tuning_data import USERS, TuningData
from tests import tale_world


@pytest.fixture(scope="module")
def encoder(tales):
    return build_encoders(tales.config)["tale"]


def data(tales, encoder, **options) -> TuningData:
    return TuningData(tales, "tale", encoder, **options)


def first(dataset, batches):
    return list(dataset.take(batches).as_numpy_iterator())


def test_each_example_is_a_training_interaction(tales, encoder):
    given = data(tales, encoder)
    sequences = tales.sequences()
    known = {
        (user, item, tuple(history))
        for user, item, history in zip(
            sequences.user_index, sequences.item_index, sequences.before(np.arange(len(sequences)))
        )
    }
    pairs = {(user, item) for user, item, _ in known}
    met = []
    for batch in first(given.examples(32), 8):
        items, users = batch["item_index"], batch["user_index"]
        met += items.tolist()
        assert users.shape == (32, USERS) and batch["history"].shape == (32, USERS, 5)
        for item, its_users, histories in zip(items, users, batch["history"]):
            assert all((user, item, tuple(history)) in known for user, history in zip(its_users, histories))
        expected = [[[(user, item) in pairs for item in items] for user in row] for row in users]
        np.testing.assert_array_equal(batch["is_known"], expected)
        texts = tf.constant([tale_world.tales()[item - 1] for item in batch["item_index"]])
        np.testing.assert_array_equal(batch["content"]["ids"], encoder.prepare(texts)["ids"])
    # No item comes a second time before all have come.
    assert len(given.items) == len(set(met[: len(given.items)]))


def test_users_are_drawn_anew_and_by_the_seed(tales, encoder):
    def drawn(seed):
        given = data(tales, encoder, seed=seed)
        batches = first(given.examples(len(given.items)), 2)
        return np.stack([batch["user_index"][np.argsort(batch["item_index"])] for batch in batches])

    one = drawn(1)
    np.testing.assert_array_equal(one, drawn(1))
    # A tale has about 4 to 5 users in training, so two draws agree about that seldom, in another run or epoch.
    assert 0.1 < np.mean(one == drawn(2)) < 0.4 and 0.1 < np.mean(one[0] == one[1]) < 0.4


def test_one_shape_for_a_compiled_step(tales, encoder):
    dataset = data(tales, encoder, static_shape=True).examples(8)
    assert all(spec.shape.is_fully_defined() for spec in tf.nest.flatten(dataset.element_spec))


def test_held_out_are_validation_examples_of_items_that_training_knows(tales, encoder):
    given = data(tales, encoder)
    (batch,) = given.held_out(32, most=32)
    users, items = tales.rows(tales.split.validation)
    known = set(zip(users + 1, items + 1))
    pairs = list(zip(batch["user_index"].numpy()[:, 0], batch["item_index"].numpy()))
    assert len(set(pairs)) == 32 and set(pairs) <= known
    # Nobody chose in training what they chose only later.
    is_known = batch["is_known"].numpy()[:, 0]
    assert not np.any(np.diag(is_known)) and np.any(is_known)
    again = next(iter(given.held_out(32, most=32)))
    np.testing.assert_array_equal(batch["user_index"], again["user_index"])
    assert given.held_out(32, most=1) is None


class _Pixels(Encoder):
    """Images come as bytes of their 4 by 4 pixels."""

    modality = "image"

    def __init__(self):
        super().__init__()
        self.reader, self.dim = ImageReader(4), 48

    def decode(self, source):
        return np.frombuffer(source, np.uint8).reshape(4, 4, 3)


def test_media_is_decoded_and_augmented_in_training_only(tales):
    pictures = np.random.default_rng(0).integers(0, 256, (tale_world.OLD + tale_world.NEW, 4, 4, 3)).astype(np.uint8)
    frame = tales.data.items.assign(tale=[picture.tobytes() for picture in pictures])
    changed = tales.data.__class__(tales.data.schema, tales.data.interactions, frame, tales.data.users)
    world = tales.__class__(changed, tales.config, tales.split, tales.users, tales.items, {})
    mirrored = TuningData(world, "tale", _Pixels(), augment=AugmentationConfig(flip=1.0))
    (batch,) = first(mirrored.examples(4), 1)
    np.testing.assert_array_equal(batch["content"], pictures[batch["item_index"] - 1][:, :, ::-1])
    held_out = next(iter(mirrored.held_out(4, most=4)))
    np.testing.assert_array_equal(held_out["content"], pictures[held_out["item_index"].numpy() - 1])


def test_nothing_to_tell_apart(tales, encoder):
    masks = tales.items.masks["tale"]
    kept = masks.copy()
    masks[:] = False
    try:
        with pytest.raises(EncoderError, match="'tale' cannot be tuned: 0 items"):
            data(tales, encoder)
    finally:
        masks[:] = kept

"""Alignment between pairs of modalities."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.errors import ConfigError
from mmrec_tf.fusion import GatedFusion
from mmrec_tf.losses.alignment_registry import build_alignment
from mmrec_tf.losses.pairwise_alignment import PairwiseAlignment
from tests.layer_checks import check_layer

RANDOM = np.random.default_rng(6)
FEATURES = {
    name: RANDOM.normal(size=[7, width]).astype(np.float32)
    for name, width in {"audio": 3, "image": 4, "text": 5}.items()
}
MASKS = {"audio": np.arange(7) != 2, "image": np.arange(7) != 4, "text": np.ones(7, bool)}
IDS = np.array([1, 2, 3, 4, 5, 6, 1])


def test_passes_the_layer_checks(tmp_path):
    check_layer(
        lambda: PairwiseAlignment("contrastive", weight=0.5, options={"dim": 4}),
        FEATURES,
        tmp_path,
        call_arguments={"masks": MASKS, "ids": IDS},
        expected_shape=(),
        has_float32_output=True,
    )


@pytest.mark.parametrize("method", ["contrastive", "sigmoid", "triplet"])
def test_the_chosen_pairs_are_summed_with_the_weight(method):
    pairs = [["text", "image"], ["audio", "text"]]
    layer = PairwiseAlignment(method, pairs=pairs, weight=0.25, options={"dim": 6})
    found = float(layer(FEATURES, masks=MASKS, ids=IDS))
    expected = 0.0
    for (one, other), own in zip(pairs, layer.alignments, strict=True):
        alone = build_alignment(method, dim=6)
        given = (FEATURES[one], FEATURES[other])
        alone(given, masks=(MASKS[one], MASKS[other]))
        alone.set_weights(own.get_weights())
        expected += 0.25 * float(alone(given, masks=(MASKS[one], MASKS[other]), ids=IDS))
    assert found == pytest.approx(expected, rel=1e-5) and found > 0


def test_every_two_modalities_by_default():
    layer = PairwiseAlignment()
    layer(FEATURES, masks=MASKS)
    assert [list(pair) for pair in layer.chosen] == [["audio", "image"], ["audio", "text"], ["image", "text"]]


def test_a_lone_modality_has_nothing_to_be_aligned_with():
    assert float(PairwiseAlignment()({"text": FEATURES["text"]}, masks={"text": MASKS["text"]})) == 0.0


def test_it_aligns_the_tokens_of_a_fusion():
    fusion = GatedFusion(dim=4)
    layer = PairwiseAlignment("contrastive", weight=1.0, options={"dim": None})
    fusion(FEATURES, MASKS)
    with tf.GradientTape() as tape:
        loss = layer(fusion.modality_tokens(FEATURES, MASKS), masks=MASKS, ids=IDS)
    maps = [projection.kernel for projection in fusion.projections.values()]
    assert all(np.abs(gradient).max() > 0 for gradient in tape.gradient(loss, maps))


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "contrast"}, "alignment 'contrast' is unknown"),
        ({"options": {"margin": 0.1}}, "margin is no option of the alignment contrastive"),
        ({"pairs": [["text", "text"]]}, "must name two different modalities"),
        ({"pairs": [["text", "image", "audio"]]}, "must name two different modalities"),
        ({"pairs": [["text", "imgae"]]}, "'imgae' is no modality of the items. Did you mean 'image'"),
    ],
)
def test_what_cannot_be_aligned_is_refused(arguments, message):
    with pytest.raises(ConfigError, match=message):
        PairwiseAlignment(**arguments)(FEATURES, masks=MASKS)

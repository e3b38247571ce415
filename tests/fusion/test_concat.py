"""Fusion by concatenation, and with it what every fusion shares: masks, stand-ins and modality dropout."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.fusion import ConcatFusion
from tests.layer_checks import check_layer

TEXT = np.array([[1.0, 2.0], [1.0, 2.0], [4.0, -1.0]], np.float32)
IMAGE = np.array([[8.0], [3.0], [5.0]], np.float32)
MASKS = {"text": np.array([True, True, False]), "image": np.array([False, True, False])}


def by_hand() -> ConcatFusion:
    """Rows of the kernel in alphabetical order: image, text (2), then the masks of image and text."""
    fusion = ConcatFusion(dim=1)
    fusion({"text": TEXT, "image": IMAGE}, MASKS)
    fusion.mix.set_weights([np.array([[1.0], [2.0], [3.0], [5.0], [7.0]]), np.array([0.5])])
    fusion.stand_ins["image"].assign([10.0])
    fusion.stand_ins["text"].assign([-1.0, 6.0])
    return fusion


def test_passes_the_layer_checks(tmp_path):
    check_layer(
        lambda: ConcatFusion(dim=4, modality_dropout=0.2),
        {"text": TEXT, "image": IMAGE},
        tmp_path,
        call_arguments={"masks": MASKS},
        expected_shape=(3, 4),
    )


def test_result_by_hand():
    # image absent:  10*1 + 1*2 + 2*3 + 0*5 + 1*7 + 0.5 = 25.5
    # both there:     3*1 + 1*2 + 2*3 + 1*5 + 1*7 + 0.5 = 23.5
    # both absent:   10*1 - 1*2 + 6*3 + 0*5 + 0*7 + 0.5 = 26.5
    output = by_hand()({"text": TEXT, "image": IMAGE}, MASKS)
    np.testing.assert_allclose(output.numpy(), [[25.5], [23.5], [26.5]])


@pytest.mark.parametrize("raw", [-1e6, np.nan, np.inf])
def test_raw_values_of_an_absent_modality_have_no_influence(raw):
    image, text = IMAGE.copy(), TEXT.copy()
    image[[0, 2]], text[2] = raw, raw
    output = by_hand()({"text": text, "image": image}, MASKS)
    np.testing.assert_allclose(output.numpy(), [[25.5], [23.5], [26.5]])


def test_order_of_the_modalities_does_not_matter():
    output = by_hand()({"image": IMAGE, "text": TEXT}, dict(reversed(MASKS.items())))
    np.testing.assert_allclose(output.numpy(), [[25.5], [23.5], [26.5]])


def test_modality_dropout_hides_at_the_asked_rate_and_only_in_training():
    rate, rows = 0.3, 4000
    fusion = ConcatFusion(dim=2, modality_dropout=rate)
    features = {"a": tf.ones([rows, 1]), "b": tf.ones([rows, 1])}
    masks = {"a": tf.ones([rows], bool), "b": tf.range(rows) % 2 == 0}
    fusion(features, masks)
    # The output is the two masks and nothing else.
    fusion.mix.set_weights([np.array([[0, 0], [0, 0], [1, 0], [0, 1]]), np.zeros(2)])
    tf.random.set_seed(1)
    seen = fusion(features, masks, training=True).numpy()
    # Four standard deviations of a binomial: 4 sqrt(0.3 * 0.7 / n).
    assert abs(1 - seen[:, 0].mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / rows)
    assert abs(1 - seen[::2, 1].mean() - rate) < 4 * np.sqrt(rate * (1 - rate) / (rows / 2))
    # What is absent stays absent, and the modalities are hidden independently: both with 0.3 * 0.3.
    assert not seen[1::2, 1].any()
    both = (seen[::2] == 0).all(axis=1).mean()
    assert abs(both - rate**2) < 4 * np.sqrt(rate**2 * (1 - rate**2) / (rows / 2))
    calm = fusion(features, masks).numpy()
    np.testing.assert_array_equal(calm, np.stack([masks["a"], masks["b"]], axis=1))


def test_hidden_modality_takes_the_stand_in():
    fusion = by_hand()
    fusion.modality_dropout = 0.999999
    # Everything is hidden, so every row is the one without any modality: 26.5 as worked out above.
    output = fusion({"text": TEXT, "image": IMAGE}, MASKS, training=True)
    np.testing.assert_allclose(output.numpy(), [[26.5]] * 3)


@pytest.mark.parametrize("masks", [{"text": MASKS["text"]}, {**MASKS, "audio": MASKS["text"]}])
def test_different_modalities_in_features_and_masks_are_refused(masks):
    with pytest.raises(ValueError, match=r"a mask for each modality; got features \['image', 'text'\]"):
        ConcatFusion(dim=2)({"text": TEXT, "image": IMAGE}, masks)


def test_no_modality_at_all_is_refused():
    with pytest.raises(ValueError, match=r"got features \[\] and masks \[\]"):
        ConcatFusion(dim=2)({}, {})

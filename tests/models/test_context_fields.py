"""The circumstances of a request in the query tower."""

import numpy as np
import tensorflow as tf

from mmrec_tf.models.context_fields import ContextFields, masked
from tests.layer_checks import check_layer

SPEC = {"categorical": {"device": 3, "hour_of_day": 25}, "multi_categorical": {"tags": 4}, "numbers": ["distance"]}


def context(devices=(1, 0, 2), hours=(5, 0, 24), tags=((1, 2), (0, 0), (3, 0)), distances=((0.5, 1), (0, 0), (-1, 1))):
    return {
        "categorical": {"device": tf.constant(devices), "hour_of_day": tf.constant(hours)},
        "multi_categorical": {"tags": tf.constant(tags)},
        "numbers": {"distance": tf.constant(distances, tf.float32)},
    }


def test_passes_the_layer_checks(tmp_path):
    check_layer(lambda: ContextFields(dim=4, spec=SPEC), context(), tmp_path, expected_shape=(3, 4, 4))


def test_what_is_not_told_is_the_unknown():
    layer = ContextFields(dim=4, spec=SPEC)
    fields = layer(context())
    assert fields.shape == (3, 4, 4)
    np.testing.assert_array_equal(layer(layer.unknown(2)), np.stack([fields[1]] * 2))


def test_the_hour_alone_tells_nothing_of_who_asks():
    layer = ContextFields(dim=4, spec=SPEC)
    nothing = {"devices": (0, 0, 0), "tags": ((0, 0),) * 3, "distances": ((0, 0),) * 3}
    assert layer.is_told(context(**nothing)).numpy().tolist() == [False, False, False]
    assert layer.is_told(context(**{**nothing, "devices": (1, 0, 0)})).numpy().tolist() == [True, False, False]
    assert layer.is_told(context(**{**nothing, "tags": ((0, 0), (0, 2), (0, 0))})).numpy().tolist()[1]
    # A number may be 0 and there.
    assert layer.is_told(context(**{**nothing, "distances": ((0, 1), (0, 0), (0, 0))})).numpy().tolist()[0]
    clock = ContextFields(dim=4, spec={"categorical": {"month": 13}, "multi_categorical": {}, "numbers": []})
    only = {"categorical": {"month": tf.constant([3])}, "multi_categorical": {}, "numbers": {}}
    assert clock.is_told(only).numpy().tolist() == [False]


def test_training_hides_whole_contexts():
    layer = ContextFields(dim=4, spec=SPEC, hide=0.5)
    rows = 400
    many = context((1,) * rows, (5,) * rows, ((1, 2),) * rows, ((0.5, 1),) * rows)
    shown, unknown = layer(many)[0], layer(layer.unknown(1))[0]
    fields = layer(many, training=True).numpy()
    is_shown = np.isclose(fields, shown).all(axis=(1, 2))
    is_hidden = np.isclose(fields, unknown).all(axis=(1, 2))
    assert (is_shown ^ is_hidden).all()
    # 400 draws at .5: a share outside .3 to .7 has a chance below 1e-14.
    assert 0.3 < is_hidden.mean() < 0.7


def test_masked_rows_are_zeros():
    found = masked(context(), tf.constant([True, False, False]))
    assert found["categorical"]["device"].numpy().tolist() == [1, 0, 0]
    assert found["multi_categorical"]["tags"].numpy().tolist() == [[1, 2], [0, 0], [0, 0]]
    np.testing.assert_array_equal(found["numbers"]["distance"], [[0.5, 1], [0, 0], [0, 0]])

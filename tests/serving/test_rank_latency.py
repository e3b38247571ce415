"""Timing of an exported model in a process of its own."""

import pytest
import tensorflow as tf

from mmrec_tf.errors import ServingError
from mmrec_tf.serving.rank_latency import rank_latency


class Lengths(tf.Module):
    """Refuses what is not one known user with seven known candidates."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string), tf.TensorSpec([None, None], tf.string)])
    def rank(self, user_id, item_ids):
        known = [
            tf.debugging.assert_equal(tf.shape(item_ids), [1, 7]),
            tf.debugging.assert_equal(tf.strings.substr(user_id, 0, 1), ["u"]),
            tf.debugging.assert_equal(tf.strings.substr(item_ids, 0, 1), tf.fill([1, 7], "i")),
        ]
        with tf.control_dependencies(known):
            return {"score": tf.cast(tf.strings.length(item_ids), tf.float32)}


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    folder = tmp_path_factory.mktemp("ranking") / "1"
    module = Lengths()
    tf.saved_model.save(module, str(folder), signatures={"rank": module.rank})
    return folder


def test_one_user_is_asked_for_so_many_candidates(version):
    found = rank_latency(version, ["u1", "u2"], ["i1", "i2", "i3"], candidates=7, calls=20)
    assert 0.0 < found.median <= found.p99


def test_what_a_model_says_is_told(version, tmp_path):
    with pytest.raises(ServingError, match="1 could not be timed: .*assert"):
        rank_latency(version, ["u1"], ["i1"], candidates=8, calls=1)
    with pytest.raises(ServingError, match="missing could not be timed: .*missing"):
        rank_latency(tmp_path / "missing", ["u1"], ["i1"])

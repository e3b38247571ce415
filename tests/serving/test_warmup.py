"""Warm-up records: bytes that TensorFlow Serving's own messages read, and that were replayed."""

import numpy as np
import pytest
import tensorflow as tf
from tensorflow_serving.apis import prediction_log_pb2

from mmrec_tf.errors import ServingError
from mmrec_tf.serving.model_version import ModelVersion
from mmrec_tf.serving.warmup import WARMUP_FILE, prediction_log, replay, write_warmup


class Shop(tf.Module):
    @tf.function(
        input_signature=[
            tf.TensorSpec([None], tf.string, name="user_id"),
            tf.TensorSpec([None], tf.int32, name="k"),
            tf.TensorSpec([None, None], tf.string, name="exclude_ids"),
            tf.TensorSpec([None, None], tf.float32, name="age"),
            tf.TensorSpec([None], tf.string, name="device"),
        ]
    )
    def recommend(self, user_id, k, exclude_ids, age, device):
        tf.debugging.assert_less(k, 100, "k is too large")
        said = tf.strings.join([user_id, tf.strings.reduce_join(exclude_ids, axis=1), device], "|")
        return {"said": said, "ages": tf.fill([tf.size(k)], tf.shape(age)[1])}


@pytest.fixture
def version(tmp_path):
    module = Shop()
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"recommend": module.recommend})
    return tmp_path / "1"


def records(version) -> list[bytes]:
    return [record.numpy() for record in tf.data.TFRecordDataset(str(version / WARMUP_FILE))]


def test_each_signature_is_asked_alone_and_by_several_at_once(version):
    written = write_warmup(version, "recommend", {"user_id": ["ann", "bob", ""], "k": [5], "exclude_ids": ["tea", "x"]})
    assert written == len(records(version)) == 2
    model = tf.saved_model.load(str(version))
    one, many = (replay(model, record) for record in records(version))
    # What no example is given for is left empty.
    assert one["said"].numpy().tolist() == [b"ann|teax|"] and one["ages"].numpy().tolist() == [0]
    expected = [b"ann|teax|", b"bob|teax|", b"|teax|"] * 6
    assert many["said"].numpy().tolist() == expected[:16]


def test_a_record_that_the_model_refuses_is_not_written(version):
    with pytest.raises(ServingError, match="(?s)'recommend' does not answer its own warm-up requests.*k is too large"):
        write_warmup(version, "recommend", {"user_id": ["ann"], "k": [100]})
    assert not (version / WARMUP_FILE).exists()


def test_a_version_that_does_not_load_is_told(tmp_path):
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ServingError, match="does not answer its own warm-up requests"):
        write_warmup(tmp_path, "recommend", {})


def test_bytes_by_hand():
    # Fields as number * 8 + 2 and a length: predict_log 6 (0x32), request 1 (0x0a), model_spec 1 of name 1 and
    # signature_name 3 (0x1a), inputs 2 (0x12) of key 1 and value 2; in the tensor dtype 1 (0x08) = 3 for int32, shape 2
    # of one dimension of size 1, and int_val 7 (0x3a) = 9.
    tensor = b"\x08\x03" + b"\x12\x04\x12\x02\x08\x01" + b"\x3a\x01\x09"
    entry = b"\x0a\x01k" + b"\x12" + bytes([len(tensor)]) + tensor
    request = b"\x0a\x06" + b"\x0a\x01m" + b"\x1a\x01s" + b"\x12" + bytes([len(entry)]) + entry
    log = b"\x0a" + bytes([len(request)]) + request
    assert prediction_log("m", "s", {"k": np.array([9], np.int32)}) == b"\x32" + bytes([len(log)]) + log


def test_tensorflow_servings_own_messages_read_the_records():
    inputs = {
        "user_id": np.array(["ann", "é"], object),
        "age": np.zeros([2, 0], np.float32),
        "k": np.array([3, 4], np.int32),
    }
    log = prediction_log_pb2.PredictionLog.FromString(prediction_log("recommend", "recommend", inputs))
    request = log.predict_log.request
    assert (request.model_spec.name, request.model_spec.signature_name) == ("recommend", "recommend")
    found = {name: tf.make_ndarray(tensor) for name, tensor in request.inputs.items()}
    assert found["user_id"].tolist() == [b"ann", "é".encode()]
    assert found["age"].shape == (2, 0) and found["k"].tolist() == [3, 4]


def test_an_unknown_signature_is_refused(version):
    model = tf.saved_model.load(str(version))
    with pytest.raises(ValueError, match="no signature 'nonsense'"):
        replay(model, prediction_log("recommend", "nonsense", {}))


def test_no_signature_name_is_that_of_the_default(tmp_path):
    module = Shop()
    tf.saved_model.save(module, str(tmp_path / "1"), signatures={"serving_default": module.recommend})
    model = tf.saved_model.load(str(tmp_path / "1"))
    inputs = {
        "user_id": np.array(["ann"], object),
        "k": np.array([3], np.int32),
        "exclude_ids": np.zeros([1, 0], object),
        "age": np.zeros([1, 0], np.float32),
        "device": np.array(["tv"], object),
    }
    assert replay(model, prediction_log("shop", "", inputs))["said"].numpy().tolist() == [b"ann||tv"]


@pytest.mark.parametrize("kind", ["classify_log", "regress_log", "multi_inference_log", "session_run_log"])
def test_a_record_of_another_call_is_passed_over(version, kind):
    log = prediction_log_pb2.PredictionLog()
    getattr(log, kind).request.SetInParent()
    write_warmup(version, "shop", {})
    with tf.io.TFRecordWriter(str(version / WARMUP_FILE)) as writer:
        writer.write(log.SerializeToString())
    model = ModelVersion("shop", 1, version)
    assert model.load(), model.error_message

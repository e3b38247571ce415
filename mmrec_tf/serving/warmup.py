"""Warm-up records: what TensorFlow Serving asks a version of itself before it answers others.

The first request to a signature is slow, because the graph is optimised and memory is allocated for it. TensorFlow
Serving replays the requests in `assets.extra/tf_serving_warmup_requests` before it calls a version available. One that
fails keeps the version from loading, so each is replayed here, from its bytes and on the saved model, before it is
written.

Source: https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

from collections.abc import Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf
from tensorflow.core.framework.tensor_pb2 import TensorProto

from mmrec_tf.errors import ServingError

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
"""Where the records are in a version's folder."""

BATCH_SIZES = (1, 16)
"""Each signature is asked alone and by several at once."""

MAX_RECORDS = 1000
"""TensorFlow Serving refuses a file with more records."""


def write_warmup(version: Path, name: str, examples: Mapping[str, Sequence]) -> int:
    """Writes the warm-up records of a saved version, each replayed first.

    Args:
        version: folder of the SavedModel.
        name: str. The model's name.
        examples: input name -> what one row says, `[n]` for inputs of two dimensions; taken in turn by the rows of a
            batch where there are several. An input that is not there is left empty.

    Returns:
        How many there are: one for each signature and size of batch.

    Raises:
        ServingError: if the model does not load, or refuses one.
    """
    try:
        model = tf.saved_model.load(str(version), tags=["serve"])
        records = []
        for signature in sorted(model.signatures):
            specs = model.signatures[signature].structured_input_signature[1]
            for size in BATCH_SIZES:
                inputs = {key: _rows(spec, examples.get(key, ()), size) for key, spec in specs.items()}
                record = prediction_log(name, signature, inputs)
                replay(model, record)
                records.append(record)
    except (tf.errors.OpError, OSError, RuntimeError, ValueError) as error:
        raise ServingError(
            f"the model {name!r} does not answer its own warm-up requests, so that it would not load in TensorFlow "
            f"Serving: {error}"
        ) from error
    path = version / WARMUP_FILE
    path.parent.mkdir(exist_ok=True)
    with tf.io.TFRecordWriter(str(path)) as writer:
        for record in records[:MAX_RECORDS]:
            writer.write(record)
    return len(records)


def prediction_log(model: str, signature: str, inputs: Mapping[str, np.ndarray]) -> bytes:
    """A predict request as a serialized `tensorflow.serving.PredictionLog`."""
    log = _messages()["PredictionLog"]()
    request = log.predict_log.request
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, value in inputs.items():
        request.inputs[name] = tf.make_tensor_proto(value).SerializeToString(deterministic=True)
    return log.SerializeToString(deterministic=True)


def replay(model, record: bytes) -> dict[str, tf.Tensor]:
    """What a loaded SavedModel answers to a record.

    Raises:
        ValueError, tf.errors.OpError: if it has no such signature, or refuses the inputs.
    """
    request = _messages()["PredictionLog"].FromString(record).predict_log.request
    signature = request.model_spec.signature_name
    if signature not in model.signatures:
        raise ValueError(f"there is no signature {signature!r}")
    inputs = {name: _tensor(content) for name, content in request.inputs.items()}
    return model.signatures[signature](**inputs)


def _tensor(content: bytes) -> tf.Tensor:
    return tf.constant(tf.make_ndarray(TensorProto.FromString(content)))


def _rows(spec: tf.TensorSpec, example: Sequence, size: int) -> np.ndarray:
    dtype = object if spec.dtype == tf.string else spec.dtype.as_numpy_dtype
    if spec.shape.rank == 1:
        # Nothing is said by "" and by 0.
        example = [*example] or [b"" if spec.dtype == tf.string else 0]
        return np.array([example[row % len(example)] for row in range(size)], dtype)
    return np.array([[*example]] * size, dtype).reshape([size, len(example)])


@cache
def _messages() -> dict[str, Any]:
    """The few messages of TensorFlow Serving's API that a record is made of, under their field numbers.

    Tensors are taken as their bytes, which are the same on the wire; the package `tensorflow-serving-api`, which has
    the whole API, is needed for nothing else here.
    """
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    text, content, message = (getattr(descriptor_pb2.FieldDescriptorProto, f"TYPE_{t}") for t in _TYPES)
    file = descriptor_pb2.FileDescriptorProto(name="mmrec_tf/prediction_log.proto", package=_PACKAGE, syntax="proto3")

    def declare(name, *fields, within=file.message_type):
        declared = within.add(name=name)
        for number, field, kind, of in fields:
            label = 3 if field == "inputs" else 1
            declared.field.add(name=field, number=number, type=kind, label=label, type_name=of and f".{_PACKAGE}.{of}")
        return declared

    declare("ModelSpec", (1, "name", text, None), (3, "signature_name", text, None))
    request = declare(
        "PredictRequest", (1, "model_spec", message, "ModelSpec"), (2, "inputs", message, "PredictRequest.InputsEntry")
    )
    entry = declare("InputsEntry", (1, "key", text, None), (2, "value", content, None), within=request.nested_type)
    entry.options.map_entry = True
    declare("PredictLog", (1, "request", message, "PredictRequest"))
    declare("PredictionLog", (6, "predict_log", message, "PredictLog"))
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {
        name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{_PACKAGE}.{name}"))
        for name in ("PredictionLog",)
    }


_PACKAGE = "mmrec_tf.serving"
_TYPES = ("STRING", "BYTES", "MESSAGE")

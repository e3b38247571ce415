"""Warm-up records: what TensorFlow Serving asks a version of itself before it answers others.

The first request to a signature is slow, because the graph is optimised and memory is allocated for it. TensorFlow
Serving replays the requests in `assets.extra/tf_serving_warmup_requests` before it calls a version available. One that
fails keeps the version from loading, so each is replayed here, from its bytes and on the saved model, before it is
written.

Source: https://www.tensorflow.org/tfx/serving/saved_model_warmup
"""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf

from mmrec_tf.errors import ServingError
from mmrec_tf.serving.api_messages import messages
from mmrec_tf.serving.tensor_protos import tensor_to_array

WARMUP_FILE = Path("assets.extra") / "tf_serving_warmup_requests"
"""Where the records are in a version's folder."""

BATCH_SIZES = (1, 16)
"""Each signature is asked alone and by several at once."""

MAX_RECORDS = 1000
"""TensorFlow Serving refuses a file with more records."""

# Of one tensor of a record: no protocol buffer is larger.
_MAX_BYTES = 2**31


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
    log = messages().PredictionLog()
    request = log.predict_log.request
    request.model_spec.name, request.model_spec.signature_name = model, signature
    for name, value in inputs.items():
        request.inputs[name].ParseFromString(tf.make_tensor_proto(value).SerializeToString())
    return log.SerializeToString(deterministic=True)


def replay(model, record: bytes) -> dict[str, tf.Tensor] | None:
    """What a loaded SavedModel answers to a record; None where it is of another call than predict, and passed over.

    Raises:
        ValueError, tf.errors.OpError: if it has no such signature, takes other inputs, or refuses their values.
        TensorError: if a tensor of the record contradicts itself.
    """
    log = messages().PredictionLog.FromString(record)
    # TensorFlow Serving takes records of classify, regress and multi-inference as well.
    if not log.HasField("predict_log"):
        return None
    request = log.predict_log.request
    # As in any request, no name is that of the default.
    signature = request.model_spec.signature_name or "serving_default"
    if signature not in model.signatures:
        raise ValueError(f"there is no signature {signature!r}")
    takes = sorted(model.signatures[signature].structured_input_signature[1])
    if sorted(request.inputs) != takes:
        raise ValueError(
            f"a warm-up record gives the signature {signature!r} the inputs {sorted(request.inputs)}; it takes "
            f"{takes}. Export the version again, or write the records of this model"
        )
    inputs = {name: tf.constant(tensor_to_array(tensor, _MAX_BYTES)) for name, tensor in request.inputs.items()}
    return model.signatures[signature](**inputs)


def _rows(spec: tf.TensorSpec, example: Sequence, size: int) -> np.ndarray:
    dtype = object if spec.dtype == tf.string else spec.dtype.as_numpy_dtype
    if spec.shape.rank == 1:
        # Nothing is said by "" and by 0.
        example = [*example] or [b"" if spec.dtype == tf.string else 0]
        return np.array([example[row % len(example)] for row in range(size)], dtype)
    return np.array([[*example]] * size, dtype).reshape([size, len(example)])

"""One version of an exported model: its signatures, whether it loads, and how it is called."""

import logging
import re
import threading
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from mmrec_tf.errors import ServingError
from mmrec_tf.recommend.scann_library import scann_ops
from mmrec_tf.serving.op_check import check_model
from mmrec_tf.serving.warmup import WARMUP_FILE, replay

logger = logging.getLogger(__name__)

DEFAULT_SIGNATURE = "serving_default"

_NAME_OF_CODE = {code: name for name, code in vars(tf.errors).items() if name.isupper() and isinstance(code, int)}


class GraphError(ServingError):
    """A graph refused its inputs or failed while it ran.

    Args:
        message: str. What the failing op said, without TensorFlow's trace.
        code: str. TensorFlow's error code, for example `"INVALID_ARGUMENT"`.
    """

    def __init__(self, message: str, code: str):
        super().__init__(message)
        self.code = code


@dataclass(frozen=True)
class Signature:
    """What a signature takes, and the protocol buffer that describes it in full.

    Args:
        inputs: dict of input name to `tf.TensorSpec`; unknown dimensions are `None`.
        definition: the `SignatureDef` of the SavedModel.
    """

    inputs: Mapping[str, tf.TensorSpec]
    definition: object

    @cached_property
    def is_batched(self) -> bool:
        """True when every input and output has rows in any number: only then can requests share a call."""
        tensors = [*self.definition.inputs.values(), *self.definition.outputs.values()]
        shapes = [tf.TensorShape(info.tensor_shape) for info in tensors]
        return bool(self.inputs) and all(shape.rank and shape[0] is None for shape in shapes)


class ModelVersion:
    """One version of a model: where it lies, whether it loads, and its signatures.

    Loading is put off until `load` so that a folder of many old versions costs no memory until one is asked for. What
    is loaded is freed with the last reference to it, so that a version that is not kept any more still answers the
    requests that have found it.

    Args:
        name: str. The model's name in URLs.
        version: int. The version's number.
        path: Path. Folder that holds `saved_model.pb`.
        batches: `BatchScheduler` that joins calls, or None, the default, to make each on its own.

    Attributes:
        state: str. TensorFlow Serving's word: `"START"` (known, not loaded), `"LOADING"`, `"AVAILABLE"`, or `"END"`
            (cannot be loaded, or not kept any more, which has the error code `"OK"`).
        error_code: str. `"OK"`, or TensorFlow's name for why loading failed.
        error_message: str. Empty, or why loading failed.
        signatures: dict of signature name to `Signature`; empty until loaded.
    """

    def __init__(self, name: str, version: int, path: Path, batches=None):
        self.name = name
        self.version = version
        self.path = path
        self.state = "START"
        self.error_code = "OK"
        self.error_message = ""
        self.signatures: dict[str, Signature] = {}
        self._batches = batches
        self._loaded = None
        self._files: frozenset = frozenset()
        self._lock = threading.Lock()

    @property
    def is_available(self) -> bool:
        """True when the version is loaded and can be called."""
        return self.state == "AVAILABLE"

    @property
    def is_broken(self) -> bool:
        """True when it was to be loaded and could not."""
        return self.error_code != "OK"

    def has_changed(self) -> bool:
        """True when the files are others than those that were last loaded, or could not be."""
        return _files_of(self.path) != self._files

    def load(self) -> bool:
        """Loads the version once, and asks it what its warm-up records say, as TensorFlow Serving does.

        Later calls return the first outcome.

        Returns:
            True if it can be called.
        """
        with self._lock:
            if not self.is_available and not self.is_broken:
                self.state = "LOADING"
                # Looked at before, so that what changes while it loads counts as a change.
                self._files = _files_of(self.path)
                try:
                    self.signatures = _read_signatures(self.path)
                    check = check_model(self.path)
                    if check.needs_text:
                        # Registers the ops that TensorFlow Serving is linked with.
                        import tensorflow_text  # noqa: F401
                    if check.needs_scann:
                        scann_ops()
                    self._loaded = tf.saved_model.load(str(self.path), tags=["serve"])
                    self._warm_up()
                # A broken SavedModel raises whatever its broken part happens to raise, and one bad folder must not
                # stop the server, so everything is caught here, kept for the status call, and logged.
                except Exception as error:  # noqa: BLE001
                    self.signatures = {}
                    self._loaded = None
                    self.error_message = str(error) or type(error).__name__
                    self.error_code = code_of(error)
                    self.state = "END"
                    logger.warning("%s version %d cannot be loaded: %s", self.name, self.version, self.error_message)
                else:
                    self.state = "AVAILABLE"
                    logger.info("%s version %d is loaded from %s", self.name, self.version, self.path)
            return self.is_available

    def run(self, signature_name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Calls a signature, together with what others ask of it meanwhile; safe from several threads at once.

        Args:
            signature_name: str. A key of `signatures`.
            inputs: dict of arrays, one per input of the signature, with shapes its specs allow; string inputs are
                object arrays of `bytes`.

        Returns:
            Dict of arrays by output name; string outputs are object arrays of `bytes`.

        Raises:
            GraphError: if the graph refuses the inputs or fails.
        """
        if self._batches is None:
            return self.call(signature_name, inputs)
        return self._batches.run(self, signature_name, inputs)

    def call(self, signature_name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `run`, in a call of its own and in the caller's thread."""
        specs = self.signatures[signature_name].inputs
        try:
            tensors = {name: _tensor(inputs[name], spec.dtype) for name, spec in specs.items()}
            outputs = self._loaded.signatures[signature_name](**tensors)
            return {
                name: np.asarray(tensor.numpy(), dtype=object if tensor.dtype == tf.string else None)
                for name, tensor in outputs.items()
            }
        except tf.errors.OpError as error:
            raise GraphError(_graph_message(error.message), code_of(error)) from error
        except UnicodeDecodeError as error:
            # TensorFlow fails to raise what an op says of inputs whose bytes are no text.
            said = bytes(error.object).decode(errors="replace")
            raise GraphError(_graph_message(said), "INVALID_ARGUMENT") from error

    def _warm_up(self) -> None:
        records = self.path / WARMUP_FILE
        if records.is_file():
            for record in tf.data.TFRecordDataset(str(records)).as_numpy_iterator():
                replay(self._loaded, record)


def _tensor(values: object, dtype: tf.DType) -> tf.Tensor:
    # Not `tf.constant`: with Python 3.11 and later, TensorFlow never frees some 340 bytes of what that makes, for each
    # input of each request (https://github.com/tensorflow/tensorflow/issues/62551). What an op returns is freed.
    array = np.asarray(values, dtype.as_numpy_dtype)
    return tf.raw_ops.Identity(input=array if array.ndim or dtype != tf.string else array.item())


def code_of(error: Exception) -> str:
    """TensorFlow's name for the kind of an error."""
    if isinstance(error, tf.errors.OpError):
        return _NAME_OF_CODE.get(error.error_code, "UNKNOWN")
    if isinstance(error, FileNotFoundError):
        return "NOT_FOUND"
    if isinstance(error, ServingError):
        return "FAILED_PRECONDITION"
    if isinstance(error, DecodeError | OSError):
        return "DATA_LOSS"
    return "UNKNOWN"


def _files_of(folder: Path) -> frozenset:
    try:
        found = [(path, path.stat()) for path in folder.rglob("*")]
    except OSError:
        # A file vanished while the folder was read; the next look finds what has become of it.
        return frozenset()
    return frozenset((str(path), stat.st_size, stat.st_mtime_ns) for path, stat in found)


def _read_signatures(path: Path) -> dict[str, Signature]:
    # The definitions are read from the file because the loaded object keeps neither tensor names nor method names,
    # which the metadata call shows.
    saved_model = saved_model_pb2.SavedModel()
    saved_model.ParseFromString((path / "saved_model.pb").read_bytes())
    for meta_graph in saved_model.meta_graphs:
        if "serve" in meta_graph.meta_info_def.tags:
            return {
                name: Signature(
                    inputs={
                        key: tf.TensorSpec(tf.TensorShape(info.tensor_shape), tf.dtypes.as_dtype(info.dtype), name=key)
                        for key, info in sorted(definition.inputs.items())
                    },
                    definition=definition,
                )
                for name, definition in sorted(meta_graph.signature_def.items())
            }
    raise FileNotFoundError(f"{path / 'saved_model.pb'} has no graph with the tag 'serve'")


def _graph_message(message: str) -> str:
    # TensorFlow wraps what the op said between a trace of the code that built it, which may show paths of the machine
    # that exported the model, and the node's name: neither helps a client.
    lines = message.split("\n\t [[", 1)[0].splitlines() or [message]
    wrapping = [
        i for i, line in enumerate(lines) if not line.strip() or line.startswith((" ", "Detected at node", "<stack"))
    ]
    said = lines[wrapping[-1] + 1 :] if wrapping else lines
    text = " ".join(said or lines[:1])
    return re.sub(r" ?\[Op:[^\]]*\]", "", text).strip()

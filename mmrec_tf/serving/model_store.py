"""The models of an export folder, loaded and ready to be called.

A server needs to know which models and versions a folder holds, which of them load, and how to call their signatures.
This module answers that for a folder laid out as TensorFlow Serving wants it, without knowing of HTTP:
`<name>/<integer version>/saved_model.pb`. A version that does not load never stops the others: its `state` and
`error_message` say why.
"""

import logging
import re
import threading
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError
from tensorflow.core.protobuf import saved_model_pb2

from mmrec_tf.errors import ServingError
from mmrec_tf.serving.op_check import check_model

logger = logging.getLogger(__name__)

DEFAULT_SIGNATURE = "serving_default"
MAX_VERSION = 2**63 - 1

_NAME_OF_CODE = {code: name for name, code in vars(tf.errors).items() if name.isupper() and isinstance(code, int)}


class ModelNotFoundError(ServingError):
    """No such model, or no such version of it, can be called."""


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


class ModelVersion:
    """One version of a model: where it lies, whether it loads, and its signatures.

    Loading is put off until `load` so that a folder of many old versions costs no memory until one is asked for.

    Args:
        name: str. The model's name in URLs.
        version: int. The version's number.
        path: Path. Folder that holds `saved_model.pb`.

    Attributes:
        state: str. TensorFlow Serving's word: `"START"` (known, not loaded), `"LOADING"`, `"AVAILABLE"`, or `"END"`
            (cannot be loaded).
        error_code: str. `"OK"`, or TensorFlow's name for why loading failed.
        error_message: str. Empty, or why loading failed.
        signatures: dict of signature name to `Signature`; empty until loaded.
    """

    def __init__(self, name: str, version: int, path: Path):
        self.name = name
        self.version = version
        self.path = path
        self.state = "START"
        self.error_code = "OK"
        self.error_message = ""
        self.signatures: dict[str, Signature] = {}
        self._loaded = None
        self._lock = threading.Lock()

    @property
    def is_available(self) -> bool:
        """True when the version is loaded and can be called."""
        return self.state == "AVAILABLE"

    def load(self) -> bool:
        """Loads the version once; later calls return the first outcome. Returns True if it can be called."""
        with self._lock:
            if self.state == "START":
                self.state = "LOADING"
                try:
                    self.signatures = _read_signatures(self.path)
                    if check_model(self.path).needs_text:
                        # Registers the ops that TensorFlow Serving is linked with.
                        import tensorflow_text  # noqa: F401
                    self._loaded = tf.saved_model.load(str(self.path), tags=["serve"])
                # A broken SavedModel raises whatever its broken part happens to raise, and one bad folder must not
                # stop the server, so everything is caught here, kept for the status call, and logged.
                except Exception as error:  # noqa: BLE001
                    self.signatures = {}
                    self.error_code = _code_of(error)
                    self.error_message = str(error) or type(error).__name__
                    self.state = "END"
                    logger.warning("%s version %d cannot be loaded: %s", self.name, self.version, self.error_message)
                else:
                    self.state = "AVAILABLE"
                    logger.info("%s version %d is loaded from %s", self.name, self.version, self.path)
            return self.is_available

    def run(self, signature_name: str, inputs: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """Calls a signature; safe from several threads at once.

        Args:
            signature_name: str. A key of `signatures`.
            inputs: dict of arrays, one per input of the signature, with shapes its specs allow; string inputs are
                object arrays of `bytes`.

        Returns:
            Dict of arrays by output name; string outputs are object arrays of `bytes`.

        Raises:
            GraphError: if the graph refuses the inputs or fails.
        """
        specs = self.signatures[signature_name].inputs
        try:
            tensors = {name: tf.constant(inputs[name], dtype=spec.dtype) for name, spec in specs.items()}
            outputs = self._loaded.signatures[signature_name](**tensors)
            return {
                name: np.asarray(tensor.numpy(), dtype=object if tensor.dtype == tf.string else None)
                for name, tensor in outputs.items()
            }
        except tf.errors.OpError as error:
            raise GraphError(_graph_message(error.message), _code_of(error)) from error


class ModelStore:
    """All models of an export folder; finds a version by name and number.

    At creation, the highest version of each model is loaded; where that fails, the next lower one that loads is served
    in its place. Other versions are loaded when first asked for. Names in requests are only ever looked up among the
    names found here, so that no request can reach outside the folder.

    Args:
        export_dir: Path. Folder of `<name>/<integer version>/saved_model.pb`.
        models: names to serve. Defaults to every model of the folder.

    Raises:
        ServingError: if the folder does not exist, holds no model, or lacks one of `models`.
    """

    def __init__(self, export_dir: Path, models: Sequence[str] | None = None):
        found = _find_models(Path(export_dir))
        missing = [name for name in models or () if name not in found]
        if missing:
            raise ServingError(
                f"{export_dir} has no model {', '.join(map(repr, missing))}. Models there: {', '.join(found)}."
            )
        self._versions = {name: found[name] for name in models or found}
        for versions in self._versions.values():
            any(version.load() for version in versions.values())

    @property
    def names(self) -> list[str]:
        """Names of the served models."""
        return list(self._versions)

    def versions(self, name: str) -> list[ModelVersion]:
        """Every version of a model, highest first, loaded or not; empty for an unknown name."""
        return list(self._versions.get(name, {}).values())

    def find(self, name: str, version: int | None = None) -> ModelVersion:
        """The version to call, loading it if need be.

        Args:
            name: str. The model.
            version: int. The version. Defaults to the highest one that loads.

        Raises:
            ModelNotFoundError: if there is none, or it cannot be loaded.
        """
        wanted = f"Latest({name})" if version is None else f"Specific({name}, {version})"
        candidates = [v for v in self.versions(name) if version is None or v.version == version]
        for candidate in candidates:
            if candidate.load():
                return candidate
        if candidates:
            failed = candidates[0]
            reason = f"version {failed.version} cannot be loaded ({failed.error_code}: {failed.error_message})"
        elif name in self._versions:
            reason = f"versions of {name}: {', '.join(str(v.version) for v in self.versions(name))}"
        else:
            reason = f"models here: {', '.join(self.names)}"
        raise ModelNotFoundError(f"Servable not found for request: {wanted}; {reason}")


def _find_models(export_dir: Path) -> dict[str, dict[int, ModelVersion]]:
    if not export_dir.is_dir():
        raise ServingError(f"The export folder {export_dir} does not exist. Write one with `mmrec export RUN`.")
    found = {}
    for folder in sorted(export_dir.iterdir()):
        if folder.is_dir() and not folder.name.startswith("."):
            numbers = _version_numbers(folder)
            if numbers:
                found[folder.name] = {
                    number: ModelVersion(folder.name, number, numbers[number])
                    for number in sorted(numbers, reverse=True)
                }
    if found:
        return found
    if _version_numbers(export_dir):
        hint = f"It is itself a model: serve its parent, {export_dir.parent}."
    elif (export_dir / "export").is_dir():
        hint = f"Did you mean {export_dir / 'export'}?"
    else:
        hint = "Write one with `mmrec export RUN`."
    raise ServingError(f"{export_dir} holds no model (<name>/<integer version>/saved_model.pb). {hint}")


def _version_numbers(folder: Path) -> dict[int, Path]:
    # A number written with leading zeros names the same version; the first in order of name is taken.
    numbers: dict[int, Path] = {}
    try:
        paths = sorted(folder.iterdir())
    except OSError as error:
        logger.warning("%s is left out: %s", folder, error)
        return numbers
    for path in paths:
        if re.fullmatch(r"[0-9]{1,30}", path.name) and int(path.name) <= MAX_VERSION and path.is_dir():
            numbers.setdefault(int(path.name), path)
    return numbers


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


def _code_of(error: Exception) -> str:
    if isinstance(error, tf.errors.OpError):
        return _NAME_OF_CODE.get(error.error_code, "UNKNOWN")
    if isinstance(error, FileNotFoundError):
        return "NOT_FOUND"
    if isinstance(error, DecodeError | OSError):
        return "DATA_LOSS"
    return "UNKNOWN"


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

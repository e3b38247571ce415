"""What a server says of its models, the same whichever way it was asked."""

from collections.abc import Mapping
from dataclasses import dataclass

from mmrec_tf.serving.client_errors import Internal, InvalidArgument
from mmrec_tf.serving.tensor_protos import TYPES, TensorType, type_of_number

DEFAULT_SIGNATURE = "serving_default"


@dataclass(frozen=True)
class Target:
    """Which model is asked, and which version of it.

    Args:
        model: str.
        version: int or None for the newest.
        label: str. In place of the number, a label of the server's configuration, such as `"latest"`.

    Raises:
        InvalidArgument: if there is no name, or both a version and a label.
    """

    model: str
    version: int | None = None
    label: str | None = None

    def __post_init__(self):
        if not isinstance(self.model, str) or not self.model:
            raise InvalidArgument(f"A model's name is a string that is not empty, got {self.model!r}.")
        if self.version is not None and self.label is not None:
            raise InvalidArgument(f"Give a version ({self.version}) or a label ({self.label!r}), not both.")
        if self.version is not None and not (isinstance(self.version, int) and 0 <= self.version < 2**63):
            raise InvalidArgument(f"A version is a whole number from 0 to 2^63 - 1, got {self.version!r}.")


@dataclass(frozen=True)
class TensorInfo:
    """One input or output of a signature.

    Args:
        kind: `TensorType`, or None for a type that cannot be sent.
        shape: sizes, None for one that is open; None as a whole where the rank is open.
    """

    kind: TensorType | None
    shape: tuple[int | None, ...] | None

    @property
    def type_name(self) -> str:
        """The type in words."""
        return "a type that cannot be sent" if self.kind is None else self.kind.name


@dataclass(frozen=True)
class SignatureInfo:
    """What a signature takes and gives.

    Args:
        inputs: dict of name -> `TensorInfo`.
        outputs: dict of name -> `TensorInfo`.
        optional: names of inputs that the server itself has a value for.
    """

    inputs: Mapping[str, TensorInfo]
    outputs: Mapping[str, TensorInfo]
    optional: frozenset[str] = frozenset()


@dataclass(frozen=True)
class ModelMetadata:
    """A version of a model and its signatures.

    Args:
        name: str.
        version: int.
        signatures: dict of name -> `SignatureInfo`.
    """

    name: str
    version: int
    signatures: Mapping[str, SignatureInfo]

    def signature(self, name: str) -> SignatureInfo:
        """The signature of this name.

        Raises:
            InvalidArgument: if there is none.
        """
        if name not in self.signatures:
            known = ", ".join(sorted(self.signatures))
            raise InvalidArgument(f"Version {self.version} of {self.name} has no signature {name!r}; it has {known}.")
        return self.signatures[name]


@dataclass(frozen=True)
class ModelStatus:
    """How a version of a model is.

    Args:
        version: int.
        state: str. `"START"`, `"LOADING"`, `"AVAILABLE"`, `"UNLOADING"` or `"END"`.
        error_code: str. `"OK"`, or why the version could not be loaded, by TensorFlow's name.
        error_message: str.
    """

    version: int
    state: str
    error_code: str
    error_message: str

    @property
    def is_available(self) -> bool:
        """True when the version can be asked."""
        return self.state == "AVAILABLE"


_STATES = {0: "UNKNOWN", 10: "START", 20: "LOADING", 30: "AVAILABLE", 40: "UNLOADING", 50: "END"}
_CODES = (
    "OK CANCELLED UNKNOWN INVALID_ARGUMENT DEADLINE_EXCEEDED NOT_FOUND ALREADY_EXISTS PERMISSION_DENIED "
    "RESOURCE_EXHAUSTED FAILED_PRECONDITION ABORTED OUT_OF_RANGE UNIMPLEMENTED INTERNAL UNAVAILABLE DATA_LOSS "
    "UNAUTHENTICATED"
).split()


def metadata_from_json(document: object) -> ModelMetadata:
    """Reads the answer of a metadata call over REST.

    Raises:
        Internal: if it is none.
    """
    try:
        spec = document["model_spec"]
        signatures = document["metadata"]["signature_def"]["signature_def"]
        return _metadata(spec["name"], int(spec["version"]), signatures, _tensors_from_json, lambda s: s["defaults"])
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise Internal(f"The server's metadata is not that of TensorFlow Serving: {error!r}.") from error


def metadata_from_messages(spec, signatures: Mapping) -> ModelMetadata:
    """The same from a `ModelSpec` and the map of a `SignatureDefMap`."""
    return _metadata(spec.name, spec.version.value, signatures, _tensors_from_messages, lambda s: s.defaults)


def status_from_json(document: object) -> list[ModelStatus]:
    """Reads the answer of a status call over REST, highest version first.

    Raises:
        Internal: if it is none.
    """
    try:
        found = [
            ModelStatus(
                int(said["version"]), said["state"], said["status"]["error_code"], said["status"]["error_message"]
            )
            for said in document["model_version_status"]
        ]
    except (KeyError, TypeError, ValueError) as error:
        raise Internal(f"The server's status is not that of TensorFlow Serving: {error!r}.") from error
    return sorted(found, key=lambda status: -status.version)


def status_from_messages(statuses) -> list[ModelStatus]:
    """The same from `ModelVersionStatus` messages."""
    found = [
        ModelStatus(
            said.version,
            _STATES.get(said.state, "UNKNOWN"),
            _CODES[said.status.error_code] if said.status.error_code < len(_CODES) else "UNKNOWN",
            said.status.error_message,
        )
        for said in statuses
    ]
    return sorted(found, key=lambda status: -status.version)


def _metadata(name, version, signatures, read_tensors, defaults_of) -> ModelMetadata:
    return ModelMetadata(
        name,
        version,
        {
            key: SignatureInfo(
                read_tensors(_part(signature, "inputs")),
                read_tensors(_part(signature, "outputs")),
                frozenset(defaults_of(signature)) if _has_defaults(signature) else frozenset(),
            )
            for key, signature in signatures.items()
            # The function that fills a model's tables is listed too, and is not meant to be called.
            if not key.startswith("__saved_model")
        },
    )


def _part(signature, name: str):
    return signature[name] if isinstance(signature, Mapping) else getattr(signature, name)


def _has_defaults(signature) -> bool:
    # Servers before 2.16 know no defaults.
    return not isinstance(signature, Mapping) or "defaults" in signature


def _tensors_from_json(tensors: Mapping) -> dict[str, TensorInfo]:
    return {name: TensorInfo(TYPES.get(said["dtype"]), _shape_from_json(said)) for name, said in tensors.items()}


def _shape_from_json(said: Mapping) -> tuple[int | None, ...] | None:
    shape = said.get("tensor_shape", {})
    if shape.get("unknown_rank", False):
        return None
    return tuple(_size(int(dim["size"])) for dim in shape.get("dim", ()))


def _tensors_from_messages(tensors: Mapping) -> dict[str, TensorInfo]:
    return {
        name: TensorInfo(
            type_of_number(said.dtype),
            None if said.tensor_shape.unknown_rank else tuple(_size(dim.size) for dim in said.tensor_shape.dim),
        )
        for name, said in tensors.items()
    }


def _size(size: int) -> int | None:
    return None if size < 0 else size

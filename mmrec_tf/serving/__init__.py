"""Serving: SavedModels for TensorFlow Serving, an embedded server that answers the same API, and a client for both.

The client's names are loaded when they are first used, and never import TensorFlow: a process that only asks stays
small.
"""

import importlib

_MODULES = {
    "client": ("Client",),
    "client_errors": (
        "Aborted",
        "Cancelled",
        "ClientError",
        "DeadlineExceeded",
        "Internal",
        "InvalidArgument",
        "NotFound",
        "PermissionDenied",
        "ResourceExhausted",
        "Unauthenticated",
        "Unavailable",
        "Unimplemented",
    ),
    "client_metadata": ("ModelMetadata", "ModelStatus", "SignatureInfo", "TensorInfo"),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'mmrec_tf.serving' has no attribute {name!r}")
    return getattr(importlib.import_module(f"mmrec_tf.serving.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]

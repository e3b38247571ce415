"""ScaNN's ops, which come in a package of their own that fits one version of TensorFlow."""

from importlib import metadata
from types import ModuleType

import tensorflow as tf

from mmrec_tf.errors import ServingError

SCANN_VERSIONS = ("1.3.1", "1.3.2")
"""Versions of the package whose ops TensorFlow 2.16 loads: others end in an undefined symbol."""

TENSORFLOW_VERSION = "2.16"

_INSTALL = "pip install 'mmrec-tf[scann]' (Linux, Python 3.10 or 3.11)"
_INSTEAD = "or use export.index: ivf, which needs no other package and which every server runs"


def scann_ops() -> ModuleType:
    """Registers ScaNN's ops in this process, and returns the module that has them.

    Raises:
        ServingError: if the package is not installed, or does not fit the TensorFlow that is.
    """
    allowed = " or ".join(SCANN_VERSIONS)
    if not tf.__version__.startswith(f"{TENSORFLOW_VERSION}."):
        raise ServingError(
            f"ScaNN's ops are compiled for one version of TensorFlow: scann {allowed} for {TENSORFLOW_VERSION}, and "
            f"TensorFlow {tf.__version__} is installed. Make an environment with: {_INSTALL}; {_INSTEAD}."
        )
    try:
        found = metadata.version("scann")
    except metadata.PackageNotFoundError as error:
        raise ServingError(f"The package scann is not installed. Install it: {_INSTALL}; {_INSTEAD}.") from error
    if found not in SCANN_VERSIONS:
        raise ServingError(
            f"scann {found} is installed, and TensorFlow {tf.__version__} loads the ops of scann {allowed} only. "
            f"Install one of these: {_INSTALL}; {_INSTEAD}."
        )
    try:
        from scann.scann_ops.py import scann_ops as ops
    # TensorFlow says in its own way that a library does not load.
    except (ImportError, OSError, tf.errors.OpError) as error:
        raise ServingError(
            f"scann {found} cannot be loaded: {error}. Install it again: {_INSTALL}; {_INSTEAD}."
        ) from error
    return ops

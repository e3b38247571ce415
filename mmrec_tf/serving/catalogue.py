"""What people recognise the served items by: titles, categories, media files."""

import logging
import mimetypes
import threading
from pathlib import Path

import pandas as pd

logger = logging.getLogger(__name__)

MEDIA_FEATURES = ("picture",)
"""Columns of the catalogue that name files."""

_SHOWN = ("title", "category")
_MEDIA_KINDS = ("image/", "audio/", "video/")


class Catalogue:
    """A table of items beside the models, read again when it has changed.

    Args:
        path: Path. Parquet file with `item_id`, and `title`, `category` and `picture` where there are such; `picture`
            is the path of a file, or empty.
    """

    def __init__(self, path: Path):
        self._path = path
        self._read = None
        self._lock = threading.Lock()
        self._items: dict[str, dict[str, str]] = {}
        self.refresh()

    @property
    def is_stale(self) -> bool:
        """True when the file is another one than was read."""
        return self._stamp() != self._read

    def refresh(self) -> None:
        """Reads the file if it has changed; one that cannot be read leaves things as they were, with a warning."""
        with self._lock:
            stamp = self._stamp()
            if stamp == self._read:
                return
            self._read = stamp
            try:
                table = pd.read_parquet(self._path)
                columns = [name for name in (*_SHOWN, *MEDIA_FEATURES) if name in table]
                rows = zip(*(table[name].fillna("").astype(str) for name in columns), strict=True)
                items = dict(zip(table["item_id"].astype(str), rows, strict=False))
            except (OSError, ValueError, KeyError) as error:
                logger.warning("titles are not shown, as %s cannot be read: %s", self._path, error)
                return
            self._items = {item: dict(zip(columns, row, strict=True)) for item, row in items.items()}

    def shown(self, item: str) -> dict[str, str]:
        """An item's `title` and `category`; without those that are empty."""
        known = self._items.get(item, {})
        return {name: known[name] for name in _SHOWN if known.get(name)}

    def media(self, item: str) -> list[str]:
        """The features of which an item has a file."""
        return [feature for feature in MEDIA_FEATURES if self._named(item, feature)]

    def media_file(self, item: str, feature: str) -> tuple[Path, str] | None:
        """The file that the catalogue names for an item, and its media type; None where there is none.

        Only what the catalogue names is ever opened, so that no request can reach another file.
        """
        name = self._named(item, feature) if feature in MEDIA_FEATURES else ""
        kind = mimetypes.guess_type(name)[0] or ""
        if not name or not kind.startswith(_MEDIA_KINDS) or not Path(name).is_file():
            return None
        return Path(name), kind

    def _named(self, item: str, feature: str) -> str:
        return self._items.get(item, {}).get(feature, "")

    def _stamp(self) -> tuple | None:
        try:
            stat = self._path.stat()
        except OSError:
            return None
        return stat.st_size, stat.st_mtime_ns

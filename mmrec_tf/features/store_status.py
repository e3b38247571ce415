"""What a feature store holds of a catalogue: stored, missing, and stale; and dropping what nothing refers to."""

from collections.abc import Iterable
from dataclasses import asdict, dataclass, field
from pathlib import Path

import numpy as np

from mmrec_tf.data.file_memory import file_memory
from mmrec_tf.data.whole_files import hidden_name, is_marked, remove, sweep
from mmrec_tf.features.chunks import STORED, UNDECODABLE, StoredVectors, key_array, rewrite_chunks
from mmrec_tf.features.content import Source
from mmrec_tf.features.feature_store import FeatureStore


@dataclass(frozen=True)
class FeatureUse:
    """Where the items' vectors of one feature are, or would be.

    Attributes:
        feature: name of the item feature.
        modality: of its encoder.
        directory: where the encoder's vectors are.
        sources: the items' content.
        away: files that items name and that cannot be found or read: what they held when they were last read counts as
            referred to.
    """

    feature: str
    modality: str
    directory: Path
    sources: list[Source | None]
    away: list[Path] = field(default_factory=list)


@dataclass(frozen=True)
class FeatureStatus:
    """What is stored of one feature.

    Attributes:
        feature: name of the item feature.
        items: of the catalogue.
        stored: items whose vector is there.
        missing: items with content whose vector is yet to be computed.
        undecodable: items whose content is known to be of no use.
        empty: items without content.
        stale: stored vectors of content that no item has.
        bytes: of the encoder's directory.
    """

    feature: str
    items: int
    stored: int
    missing: int
    undecodable: int
    empty: int
    stale: int
    bytes: int


@dataclass(frozen=True)
class StoreStatus:
    """What a store holds.

    Attributes:
        folder: of the store.
        features: what is stored of each feature.
        stale_encoders: directory -> bytes, of encoders that no feature uses.
    """

    folder: Path
    features: list[FeatureStatus]
    stale_encoders: dict[str, int]

    def to_dict(self) -> dict:
        return {
            "folder": str(self.folder),
            "features": [asdict(feature) for feature in self.features],
            "stale_encoders": self.stale_encoders,
        }


def store_status(store: FeatureStore, uses: list[FeatureUse]) -> StoreStatus:
    """Compares the store with what the features refer to; nothing is computed or changed."""
    directories = store.directories()
    statuses = []
    for use in uses:
        keys = store.keys(use.sources, use.modality)
        states = np.zeros(len(keys), int)
        stale = size = 0
        if use.directory in directories:
            about = directories[use.directory]
            stored = StoredVectors(use.directory, about["dim"], about["dtype"])
            states = stored.states(keys)
            stale = int((~np.isin(stored.keys, key_array(_keys_in(use.directory, uses, store)))).sum())
            size = _bytes(use.directory)
        empty = sum(key is None for key in keys)
        counts = {"stored": int((states == STORED).sum()), "undecodable": int((states == UNDECODABLE).sum())}
        statuses.append(
            FeatureStatus(
                feature=use.feature,
                items=len(keys),
                missing=len(keys) - empty - sum(counts.values()),
                empty=empty,
                stale=stale,
                bytes=size,
                **counts,
            )
        )
    used = {use.directory for use in uses}
    stale_encoders = {path.name: _bytes(path) for path in directories if path not in used}
    return StoreStatus(store.folder, statuses, stale_encoders)


def prune_store(store: FeatureStore, uses: list[FeatureUse]) -> int:
    """Drops the encoders that no feature uses and the vectors of content that no item has.

    Items whose files are away, with the disk or the share that they are on, have what those held. What another process
    is writing to at this moment is left alone.

    Returns:
        Bytes freed.
    """
    before = _bytes(store.folder)
    used = {use.directory for use in uses}
    for directory, about in store.directories().items():
        sweep(directory)
        if is_marked(directory):
            continue
        if directory not in used:
            # Renamed first: a directory that is being dropped must not be taken for a store with fewer vectors.
            dropped = hidden_name(directory)
            directory.rename(dropped)
            remove(dropped)
            continue
        wanted = key_array(_keys_in(directory, uses, store))
        stored = StoredVectors(directory, about["dim"], about["dtype"])
        if len(stored) and not np.isin(stored.keys, wanted).all():
            rewrite_chunks(directory, about, stored.paths, keep=lambda keys: np.isin(keys, wanted))
    if store.folder.is_dir():
        sweep(store.folder)
        file_memory(store.folder).forget_vanished(keep=[path for use in uses for path in use.away])
    return before - _bytes(store.folder)


def _keys_in(directory: Path, uses: list[FeatureUse], store: FeatureStore) -> Iterable[bytes]:
    """Keys of all that is referred to in a directory; several features may share an encoder."""
    return {
        key
        for use in uses
        if use.directory == directory
        for key in [*store.keys(use.sources, use.modality), *store.last_keys(use.away)]
        if key is not None
    }


def _bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())

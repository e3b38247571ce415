"""What a model answered when it was exported: what a monitor compares its answers to.

The file lies in the version's `assets.extra`, which TensorFlow Serving leaves alone, so that it travels with the
version. It holds shares, means and sets of hashes, and nothing of any one user.
"""

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from mmrec_tf.errors import ServingError
from mmrec_tf.serving.drift import count_in_bins, quantile_edges
from mmrec_tf.serving.id_sketches import KnownIds

REFERENCE_FILE = Path("assets.extra") / "reference.json"
"""Where it is in a version's folder."""

_FORMAT = 1
# What varies less is a constant with digits that depend on the size of the batch.
_LEAST_DEVIATION = 1e-6


@dataclass(frozen=True)
class Distribution:
    """How `[n, columns]` values are spread, each column over bins of its own.

    Args:
        edges: `[columns, bins - 1]` edges between bins, filled up with infinity.
        counts: `[columns, bins]` of the reference.
        mean, variance: `[columns]`.
    """

    edges: np.ndarray
    counts: np.ndarray
    mean: np.ndarray
    variance: np.ndarray

    @classmethod
    def of_columns(cls, values: np.ndarray) -> "Distribution":
        """With each column's own quantiles as edges, for embeddings."""
        columns = [quantile_edges(column) for column in values.T]
        edges = np.full((len(columns), max(map(len, columns), default=0)), np.inf)
        for row, found in zip(edges, columns):
            row[: len(found)] = found
        return cls._counted(edges, values)

    @classmethod
    def of_places(cls, values: np.ndarray) -> "Distribution":
        """With the quantiles of all as edges of every column, for lists of scores: the first place has higher ones."""
        edges = quantile_edges(values[np.isfinite(values)])
        return cls._counted(np.tile(edges, (values.shape[1], 1)), values)

    @classmethod
    def _counted(cls, edges: np.ndarray, values: np.ndarray) -> "Distribution":
        finite = np.where(np.isfinite(values), values, np.nan)
        return cls(edges, count_in_bins(edges, values), np.nanmean(finite, axis=0), np.nanvar(finite, axis=0))

    @property
    def varies(self) -> np.ndarray:
        """`[columns]` bool. False for a column that is constant, which has no distribution to compare."""
        return np.sqrt(self.variance) > _LEAST_DEVIATION

    def to_json(self) -> dict:
        edges = [[edge for edge in row if np.isfinite(edge)] for row in self.edges.tolist()]
        return {name: getattr(self, name).tolist() for name in ("counts", "mean", "variance")} | {"edges": edges}

    @classmethod
    def from_json(cls, said: Mapping) -> "Distribution":
        counts = np.array(said["counts"], np.int64)
        edges = np.full((len(counts), counts.shape[1] - 1), np.inf)
        for row, found in zip(edges, said["edges"], strict=True):
            row[: len(found)] = found
        mean, variance = (np.array(said[name], np.float64) for name in ("mean", "variance"))
        if counts.min() < 0 or not mean.shape == variance.shape == (len(counts),):
            raise ValueError("the columns of a distribution do not agree")
        return cls(edges, counts, mean, variance)


@dataclass(frozen=True)
class Reference:
    """What one version of a model is expected to answer.

    Args:
        catalogue_size: int. Items that can be recommended.
        known: `"user"` and `"item"` -> `KnownIds`.
        scores: of the output `score`, by place of the list, or None.
        score_signatures: those whose scores and lists are like the reference's.
        embeddings: of the output `embedding`, by dimension, or None.
        embedding_signatures: those whose embeddings are like it.
        listed_times, listed_items: how many items were in as many lists of the sample.
    """

    catalogue_size: int
    known: Mapping[str, KnownIds]
    scores: Distribution | None = None
    score_signatures: tuple[str, ...] = ()
    embeddings: Distribution | None = None
    embedding_signatures: tuple[str, ...] = ()
    listed_times: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))
    listed_items: np.ndarray = field(default_factory=lambda: np.zeros(0, np.int64))

    @property
    def list_length(self) -> int:
        """Places of a list that the reference has."""
        return 0 if self.scores is None else len(self.scores.counts)

    def save(self, version: Path) -> None:
        """Writes it into a version's folder."""
        said = {
            "format": _FORMAT,
            "catalogue_size": self.catalogue_size,
            "unknown_id_share": 0.0,
            "score_signatures": self.score_signatures,
            "scores": None if self.scores is None else self.scores.to_json(),
            "listed": {"times": self.listed_times.tolist(), "items": self.listed_items.tolist()},
            "embedding_signatures": self.embedding_signatures,
            "embeddings": None if self.embeddings is None else self.embeddings.to_json(),
            "known": {kind: known.to_text() for kind, known in self.known.items()},
        }
        path = version / REFERENCE_FILE
        path.parent.mkdir(exist_ok=True)
        path.write_text(json.dumps(said, allow_nan=False), encoding="utf-8")

    @classmethod
    def load(cls, version: Path) -> "Reference | None":
        """Of a version's folder; None where there is none.

        Raises:
            ServingError: if the file cannot be read, or is not one of these.
        """
        path = version / REFERENCE_FILE
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        except (OSError, UnicodeDecodeError) as error:
            raise ServingError(f"{path} cannot be read: {error}") from error
        try:
            said = json.loads(text)
            if said["format"] != _FORMAT:
                raise ValueError(f"its format is {said['format']!r}, not {_FORMAT}")
            if not isinstance(said["catalogue_size"], int) or said["catalogue_size"] < 1:
                raise ValueError(f"its catalogue_size is {said['catalogue_size']!r}, not 1 or more")
            distributions = {
                name: None if said[name] is None else Distribution.from_json(said[name])
                for name in ("scores", "embeddings")
            }
            times, items = (np.array(said["listed"][name], np.int64) for name in ("times", "items"))
            if times.shape != items.shape or times.ndim != 1:
                raise ValueError("listed.times and listed.items do not agree")
            return cls(
                said["catalogue_size"],
                {kind: KnownIds.from_text(said["known"][kind]) for kind in ("user", "item")},
                score_signatures=tuple(said["score_signatures"]),
                embedding_signatures=tuple(said["embedding_signatures"]),
                listed_times=times,
                listed_items=items,
                **distributions,
            )
        # Whatever is wrong with its structure shows as one of these.
        except (ValueError, KeyError, TypeError, IndexError, AttributeError, RecursionError) as error:
            raise ServingError(
                f"{path} is no reference of a model: {type(error).__name__}: {error}. Export the run again."
            ) from error

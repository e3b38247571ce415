"""Users or items as numbers: everything the models gather by index.

Row `r` of the frame is index `r + 1` of the table; index 0 is the one that is not known, with every feature missing.
Vocabularies and statistics are fitted on what training has seen, so nothing of validation or test leaks in.
"""

import json
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
import pandas as pd

from mmrec_tf.data.number_scale import NumberScale
from mmrec_tf.data.vocabulary import Vocabulary
from mmrec_tf.errors import DataError, RunError
from mmrec_tf.schema import Feature

_BLOCK = 2**16


@dataclass
class FeatureTable:
    """The features of one side, one array row per index.

    Attributes:
        ids: the raw ids in index order, starting at index 1.
        id_index: `[size]` int32. Position among the ids seen in training; 0 for new ones.
        id_vocabulary_size: int. Rows that an id embedding needs.
        categorical: feature name -> `[size]` int32.
        multi_categorical: feature name -> `[size, most values]` int32, padded with 0.
        numbers: feature name -> `[size, 2]` float32: the standardised value (0 where missing) and whether it is there.
        vectors: modality name -> `[size, width]` float32, centred and scaled: (encoder's vector - centre) / scale.
        masks: modality name -> `[size]` bool, whether the row has it.
        centres: modality name -> `[width]` float32, the mean vector of the rows seen in training.
        scales: modality name -> float32 scalar, their root mean square distance from it.
        vocabularies: feature name -> `Vocabulary`.
        met_index: `[size]` int32. Like `id_index`, and behind those the ids whose training interactions are no
            positives; as `id_index` by default. See `of_all_met`.
    """

    ids: list[str]
    id_index: np.ndarray
    id_vocabulary_size: int
    categorical: dict[str, np.ndarray] = field(default_factory=dict)
    multi_categorical: dict[str, np.ndarray] = field(default_factory=dict)
    numbers: dict[str, np.ndarray] = field(default_factory=dict)
    vectors: dict[str, np.ndarray] = field(default_factory=dict)
    masks: dict[str, np.ndarray] = field(default_factory=dict)
    centres: dict[str, np.ndarray] = field(default_factory=dict)
    scales: dict[str, np.ndarray] = field(default_factory=dict)
    vocabularies: dict[str, Vocabulary] = field(default_factory=dict)
    met_index: np.ndarray | None = None

    def __post_init__(self):
        if self.met_index is None:
            self.met_index = self.id_index

    @property
    def size(self) -> int:
        """Number of indices, the unknown at 0 included."""
        return len(self.ids) + 1

    @property
    def widths(self) -> dict[str, int]:
        """Width of each modality's vector."""
        return {name: vectors.shape[1] for name, vectors in self.vectors.items()}

    @classmethod
    def build(
        cls,
        frame: pd.DataFrame,
        features: list[Feature],
        trained_rows: np.ndarray,
        modalities: dict[str, tuple[np.ndarray, np.ndarray]] | None = None,
        met_rows: np.ndarray | None = None,
    ) -> "FeatureTable":
        """Fits vocabularies and statistics on the rows that training has seen and encodes every row.

        Args:
            frame: one row per user or item, as in `RecData`.
            features: the side's features.
            trained_rows: rows of the users or items that occur in the training's positives.
            modalities: name -> (vectors `[rows, width]`, mask `[rows]`), from the feature store.
            met_rows: rows of those that occur in any of its interactions; `trained_rows` by default.

        Raises:
            DataError: if a vector is not finite, with the row's id.
        """
        seen = np.zeros(len(frame), bool)
        seen[trained_rows] = True
        id_column = next(feature.name for feature in features if feature.kind == "id")
        id_index = np.where(seen, np.cumsum(seen), 0)
        table = cls(frame[id_column].tolist(), _with_unknown(id_index.astype(np.int32)), int(seen.sum()) + 1)
        is_behind = np.zeros(len(frame), bool)
        is_behind[trained_rows if met_rows is None else met_rows] = True
        is_behind &= ~seen
        behind = np.where(is_behind, seen.sum() + np.cumsum(is_behind), 0)
        table.met_index = table.id_index + _with_unknown(behind.astype(np.int32))
        for feature in features:
            if feature.kind == "categorical":
                vocabulary = Vocabulary.fit(frame[feature.name][seen], feature.min_count)
                table.vocabularies[feature.name] = vocabulary
                table.categorical[feature.name] = _with_unknown(vocabulary.lookup(frame[feature.name]))
            elif feature.kind == "multi_categorical":
                vocabulary = Vocabulary.fit(frame[feature.name][seen].explode().dropna(), feature.min_count)
                table.vocabularies[feature.name] = vocabulary
                table.multi_categorical[feature.name] = _with_unknown(vocabulary.lookup_lists(frame[feature.name]))
            elif feature.is_number:
                values = frame[feature.name].to_numpy(float)
                table.numbers[feature.name] = _with_unknown(NumberScale.fit(values[seen]).apply(values))
        for name, (vectors, mask) in (modalities or {}).items():
            vectors, mask = np.asarray(vectors, np.float32), np.asarray(mask, bool)
            wrong = np.flatnonzero(mask & ~np.isfinite(vectors).all(axis=1))
            if len(wrong):
                raise DataError(
                    f"{len(wrong)} of {len(frame)} vectors in {name!r} are not finite, the first that of "
                    f"{table.ids[wrong[0]]!r}. Mend them, or leave them out (None)."
                )
            centre, scale = _centre_and_scale(vectors[mask & seen])
            table.centres[name], table.scales[name] = centre, scale
            # In place, because tables of vectors are the largest arrays there are.
            scaled = vectors - centre
            scaled /= scale
            scaled[~mask] = 0.0
            table.vectors[name] = _with_unknown(scaled)
            table.masks[name] = _with_unknown(mask)
        return table

    def category_lists(self) -> dict[str, np.ndarray]:
        """Categorical and multi-categorical features -> `[size, most values]` int32, 0 for none."""
        single = {name: values[:, None] for name, values in sorted(self.categorical.items())}
        return {**single, **dict(sorted(self.multi_categorical.items()))}

    def of_all_met(self) -> "FeatureTable":
        """The same table for a model that learns from what was disliked too: it knows the ids of `met_index`."""
        return replace(self, id_index=self.met_index, id_vocabulary_size=int(self.met_index.max(initial=0)) + 1)

    def save(self, folder: Path) -> None:
        """Writes the arrays (`arrays.npz`) and the vocabularies (`vocabularies.json`) into a folder."""
        folder.mkdir(parents=True, exist_ok=True)
        groups = ("categorical", "multi_categorical", "numbers", "vectors", "masks", "centres", "scales")
        arrays = {f"{group}/{name}": array for group in groups for name, array in getattr(self, group).items()}
        np.savez(folder / "arrays.npz", id_index=self.id_index, met_index=self.met_index, **arrays)
        content = {
            "ids": self.ids,
            "id_vocabulary_size": self.id_vocabulary_size,
            "vocabularies": {name: vocabulary.values for name, vocabulary in self.vocabularies.items()},
        }
        (folder / "vocabularies.json").write_text(json.dumps(content, ensure_ascii=False), encoding="utf-8")

    @classmethod
    def load(cls, folder: Path) -> "FeatureTable":
        """Reads what `save` wrote.

        Raises:
            RunError: if a file is not there.
        """
        for name in ("vocabularies.json", "arrays.npz"):
            if not (folder / name).is_file():
                raise RunError(f"{folder / name} is not there, so this is no finished run. Train one with: mmrec train")
        content = json.loads((folder / "vocabularies.json").read_text(encoding="utf-8"))
        with np.load(folder / "arrays.npz", allow_pickle=False) as arrays:
            table = cls(content["ids"], arrays["id_index"], content["id_vocabulary_size"])
            if "met_index" not in arrays.files:
                raise RunError(f"{folder} was written by an earlier version. Train again with: mmrec train")
            table.met_index = arrays["met_index"]
            for key in arrays.files:
                group, _, name = key.partition("/")
                if name:
                    getattr(table, group)[name] = arrays[key]
        table.vocabularies = {name: Vocabulary(values) for name, values in content["vocabularies"].items()}
        return table


def _with_unknown(rows: np.ndarray) -> np.ndarray:
    return np.concatenate([np.zeros((1, *rows.shape[1:]), rows.dtype), rows])


def _centre_and_scale(vectors: np.ndarray) -> tuple[np.ndarray, np.float32]:
    """What the modalities are brought to a common footing with.

    Vectors of one encoder share a large common part, which tells no two items apart but fills a tower's first layer.
    """
    if not len(vectors):
        return np.zeros(vectors.shape[1], np.float32), np.float32(1)
    centre = vectors.mean(axis=0, dtype=np.float64)
    blocks = (vectors[start : start + _BLOCK] - centre for start in range(0, len(vectors), _BLOCK))
    scale = np.sqrt(sum(np.square(block).sum() for block in blocks) / len(vectors))
    # Vectors that are all the same keep their scale, so that a later one that differs does not explode.
    return centre.astype(np.float32), np.float32(scale if scale > 1e-6 else 1.0)

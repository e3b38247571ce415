"""What a larger model has to teach: its items' places in the shared space."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from mmrec_tf.config_file import load_config
from mmrec_tf.errors import RunError
from mmrec_tf.features.context_features import ContextFeatures
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.models.build import build_two_tower
from mmrec_tf.models.two_tower import TwoTower


@dataclass(frozen=True)
class Teacher:
    """Item vectors by id.

    Attributes:
        ids: list of str. The items.
        vectors: `[items, dim]` float32, of length 1.
    """

    ids: list[str]
    vectors: np.ndarray

    @classmethod
    def of(cls, model: TwoTower, items: FeatureTable) -> "Teacher":
        """The item tower of a trained model; the learned popularity, which is no place, is left out."""
        return cls(list(items.ids), model.candidate_embeddings()[1:, : model.dim])

    @classmethod
    def read(cls, folder: Path) -> "Teacher":
        """The item tower of a finished run.

        Raises:
            RunError: if the folder is not one.
        """
        weights = Path(folder) / "checkpoints" / "retrieval.weights.h5"
        if not weights.is_file():
            raise RunError(
                f"distillation.teacher {folder} is no finished run: {weights} is not there. Train the teacher first, "
                f"with a configuration of its own: mmrec train CONFIG --out {folder}"
            )
        features = Path(folder) / "features"
        users, items = (FeatureTable.load(features / side) for side in ("users", "items"))
        context = ContextFeatures.load(features / "context.json")
        model = build_two_tower(load_config(Path(folder) / "config.yaml"), users, items, context=context)
        model.load_weights(str(weights))
        return cls.of(model, items)

    def rows_of(self, ids: list[str]) -> tuple[np.ndarray, np.ndarray]:
        """`[len(ids), dim]` vectors of other items, zeros for those it does not know, and `[len(ids)]` bool."""
        place = {item_id: row for row, item_id in enumerate(self.ids)}
        rows = np.array([place.get(item_id, -1) for item_id in ids], np.int64)
        known = rows >= 0
        return np.where(known[:, None], self.vectors[rows], np.float32(0)), known

"""Recommendations for Python callers: one object for models in memory and for an exported SavedModel."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from mmrec_tf.errors import MmrecError, RunError
from mmrec_tf.recommend.engine import NOTHING, RecommendationEngine


@dataclass(frozen=True)
class Recommendation:
    """One place in a list.

    Attributes:
        item_id: str.
        score: float. Higher is better, and comparable within one user's list: the ranker's score blended with the
            retrieval score, or without a ranker the retrieval score alone.
    """

    item_id: str
    score: float


class Recommender:
    """Retrieves, drops what the user has seen, ranks, and returns item ids with scores.

    Args:
        recommend: function of (user ids `[batch]` string tensor, k int32) that returns item ids and scores
            `[batch, k]`, such as `RecommendationEngine.recommend`.
        known_users: ids of the users that have interactions or a profile, or None when that is not known.

    Example:

        >>> recommender = Recommender.load("runs/shop")  # doctest: +SKIP
        >>> recommender.recommend("u42", k=3)  # doctest: +SKIP
        [Recommendation(item_id='i7', score=0.83), ...]
    """

    def __init__(self, recommend: Callable, known_users: Iterable[str] | None = None):
        self._recommend = recommend
        self._known_users = None if known_users is None else frozenset(known_users)

    @classmethod
    def from_engine(cls, engine: RecommendationEngine, known_users: Iterable[str] | None = None) -> "Recommender":
        """A recommender over models in memory."""
        signature = [tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.int32)]
        return cls(tf.function(engine.recommend, input_signature=signature), known_users)

    @classmethod
    def load(cls, run: str | Path) -> "Recommender":
        """A recommender over what a run has exported.

        Args:
            run: the run's directory.

        Raises:
            RunError: if nothing is exported there.
        """
        folder = Path(run) / "export" / "recommend"
        versions = sorted(
            (path for path in folder.glob("[0-9]*") if path.name.isdigit()), key=lambda path: int(path.name)
        )
        if not versions:
            raise RunError(f"{folder} holds no exported model. Export one with: mmrec export {run}")
        model = tf.saved_model.load(str(versions[-1]))
        signature = model.signatures["recommend"]

        def recommend(user_id, k):
            answer = signature(user_id=user_id, k=tf.fill(tf.shape(user_id), k))
            return answer["item_id"], answer["score"]

        users = pd.read_parquet(Path(run) / "users.parquet") if (Path(run) / "users.parquet").is_file() else None
        recommender = cls(recommend, None if users is None else users.iloc[:, 0])
        # The signature holds only weak references to the model's tables.
        recommender._model = model
        return recommender

    def is_known(self, user_id: str) -> bool:
        """Whether the user was known when the model was built; others get what the average user gets."""
        return self._known_users is None or user_id in self._known_users

    def recommend(self, user_id: str, k: int = 10) -> list[Recommendation]:
        """The k best items for a user, best first; fewer when fewer are left unseen."""
        table = self.recommend_all([user_id], k)
        return [Recommendation(item, float(score)) for item, score in zip(table["item_id"], table["score"])]

    def recommend_all(
        self,
        user_ids: Sequence[str],
        k: int = 10,
        batch_size: int = 64,
        progress: Callable[[str, int, int], None] | None = None,
    ) -> pd.DataFrame:
        """The k best items for each of many users.

        Returns:
            DataFrame with `user_id`, `item_id`, `rank` (from 1) and `score`.

        Raises:
            MmrecError: if k is less than 1.
        """
        if k < 1:
            raise MmrecError(f"k is the number of items to recommend and must be at least 1, got {k}.")
        user_ids = [str(user_id) for user_id in user_ids]
        items, scores = [], []
        for start in range(0, len(user_ids), batch_size):
            batch = user_ids[start : start + batch_size]
            names, values = self._recommend(tf.constant(batch, tf.string), tf.constant(k, tf.int32))
            items.append(names.numpy())
            scores.append(values.numpy())
            if progress is not None:
                progress("recommending", start + len(batch), len(user_ids))
        names = np.concatenate(items) if items else np.zeros((0, k), object)
        values = np.concatenate(scores) if scores else np.zeros((0, k), np.float32)
        places = names.shape[1]  # fewer than k where k is more than the catalogue
        table = pd.DataFrame(
            {
                "user_id": np.repeat(np.array(user_ids, dtype=object), places),
                "item_id": [name.decode("utf-8") for name in names.ravel()],
                "rank": np.tile(np.arange(1, places + 1, dtype=np.int32), len(user_ids)),
                "score": values.ravel(),
            }
        )
        return table[table["score"] > NOTHING].reset_index(drop=True)

"""Recommendations for Python callers: one object for models in memory and for an exported SavedModel."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import tensorflow as tf

from mmrec_tf.errors import MmrecError, RunError
from mmrec_tf.recommend.engine import NOTHING, RecommendationEngine
from mmrec_tf.recommend.explanation import Explanation
from mmrec_tf.recommend.integrated_gradients import integrated_gradients
from mmrec_tf.recommend.modality_weights import checked_weights

EXPLANATION_METHODS = ("leave_one_out", "integrated_gradients")


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
        recommend_weighted: function of (user ids, k, modality names, weights), such as
            `RecommendationEngine.recommend_weighted`, or None to refuse modality weights.
        explain: function of (user ids, item ids), such as `RecommendationEngine.explain`, or None to refuse
            explanations; `recommend_weighted` needs it for the modalities' names.

    Example:

        >>> recommender = Recommender.load("runs/shop")  # doctest: +SKIP
        >>> recommender.recommend("u42", k=3)  # doctest: +SKIP
        [Recommendation(item_id='i7', score=0.83), ...]
        >>> recommender.recommend("u42", k=3, modality_weights={"photo": 2.0})  # doctest: +SKIP
        [Recommendation(item_id='i9', score=0.91), ...]
        >>> recommender.explain("u42", "i7").contributions  # doctest: +SKIP
        {'photo': 0.21, 'text': 0.08, 'id': 0.3}
    """

    def __init__(
        self,
        recommend: Callable,
        known_users: Iterable[str] | None = None,
        recommend_weighted: Callable | None = None,
        explain: Callable | None = None,
    ):
        self._recommend = recommend
        self._known_users = None if known_users is None else frozenset(known_users)
        self._recommend_weighted = recommend_weighted
        self._explain = explain
        self._run = None
        self._engine = None

    @classmethod
    def from_engine(cls, engine: RecommendationEngine, known_users: Iterable[str] | None = None) -> "Recommender":
        """A recommender over models in memory."""
        users, k = tf.TensorSpec([None], tf.string), tf.TensorSpec([], tf.int32)
        weights = tf.TensorSpec([None, None], tf.string), tf.TensorSpec([None, None], tf.float32)
        recommender = cls(
            tf.function(engine.recommend, input_signature=[users, k]),
            known_users,
            tf.function(engine.recommend_weighted, input_signature=[users, k, *weights]),
            engine.explain,
        )
        recommender._engine = engine
        return recommender

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
        signatures = model.signatures

        def recommend(user_id, k):
            answer = signatures["recommend"](
                user_id=user_id, k=tf.fill(tf.shape(user_id), k), **_left_empty(signatures["recommend"], user_id)
            )
            return answer["item_id"], answer["score"]

        def recommend_weighted(user_id, k, modality, weight):
            k = tf.fill(tf.shape(user_id), k)
            answer = signatures["recommend_weighted"](user_id=user_id, k=k, modality=modality, weight=weight)
            return answer["item_id"], answer["score"]

        def explain(user_id, item_id):
            answer = signatures["explain"](user_id=user_id, item_id=item_id)
            return answer["score"], answer["contribution"], answer["part"]

        users = pd.read_parquet(Path(run) / "users.parquet") if (Path(run) / "users.parquet").is_file() else None
        recommender = cls(
            recommend,
            None if users is None else users.iloc[:, 0],
            recommend_weighted if "recommend_weighted" in signatures else None,
            explain if "explain" in signatures else None,
        )
        recommender._run = run
        # The signatures hold only weak references to the model's tables.
        recommender._model = model
        return recommender

    @cached_property
    def modalities(self) -> tuple[str, ...]:
        """The items' modalities, which weights can be given for."""
        _, _, parts = self._offered(self._explain, "explain")(tf.constant([""]), tf.constant([""]))
        return tuple(name.decode("utf-8") for name in parts.numpy()[0, :-1])

    def is_known(self, user_id: str) -> bool:
        """Whether the user was known when the model was built; others get what the average user gets."""
        return self._known_users is None or user_id in self._known_users

    def recommend(
        self, user_id: str, k: int = 10, modality_weights: Mapping[str, float] | None = None
    ) -> list[Recommendation]:
        """The k best items for a user, best first; fewer when fewer are left unseen.

        Args:
            user_id: str.
            k: int.
            modality_weights: how much each of the items' modalities counts in this request: 0 leaves it out, 1 is as
                trained, 2 counts it twice. What is not named has 1. See `RecommendationEngine.recommend_weighted`.
        """
        table = self.recommend_all([user_id], k, modality_weights=modality_weights)
        return [Recommendation(item, float(score)) for item, score in zip(table["item_id"], table["score"])]

    def recommend_all(
        self,
        user_ids: Sequence[str],
        k: int = 10,
        batch_size: int = 64,
        progress: Callable[[str, int, int], None] | None = None,
        modality_weights: Mapping[str, float] | None = None,
    ) -> pd.DataFrame:
        """The k best items for each of many users.

        Args:
            user_ids: ids, of which some may be unknown.
            k: int.
            batch_size: int. Users that are asked for at once.
            progress: called with (description, done, total).
            modality_weights: as for `recommend`, the same for all users.

        Returns:
            DataFrame with `user_id`, `item_id`, `rank` (from 1) and `score`.

        Raises:
            MmrecError: if k is less than 1, a weight is not allowed, or the model has no such modality.
            RunError: if there are weights and the export was written without them.
        """
        if k < 1:
            raise MmrecError(f"k is the number of items to recommend and must be at least 1, got {k}.")
        recommend = self._weighted(modality_weights) if modality_weights else self._recommend
        user_ids = [str(user_id) for user_id in user_ids]
        items, scores = [], []
        for start in range(0, len(user_ids), batch_size):
            batch = user_ids[start : start + batch_size]
            names, values = recommend(tf.constant(batch, tf.string), tf.constant(k, tf.int32))
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

    def explain(self, user_id: str, item_id: str, method: str = "leave_one_out") -> Explanation:
        """How much of an item's score for a user comes from each of its modalities, and from its id.

        Args:
            user_id: str. A user who is not known is explained as the average user.
            item_id: str. An item of the catalogue, seen or not.
            method: `leave_one_out` takes each part away, one at a time. `integrated_gradients` shares the way from the
                average item to this one out among the modalities, and says nothing of the id; it needs the models in
                memory. See `mmrec_tf.recommend.integrated_gradients`.

        Raises:
            MmrecError: if the item or the method is not known, or the method needs what an export does not hold.
            RunError: if the export was written before there were explanations.
        """
        if method not in EXPLANATION_METHODS:
            raise MmrecError(f"explain knows the methods {', '.join(EXPLANATION_METHODS)}; got {method!r}.")
        if method == "integrated_gradients" and self._engine is None:
            raise MmrecError(
                "integrated_gradients needs the models in memory, and this recommender runs an export. Use "
                "Recommender.from_engine(serving_engine(...)), or the method leave_one_out."
            )
        user_id, item_id = str(user_id), str(item_id)
        score, contributions, parts = self._offered(self._explain, "explain")(
            tf.constant([user_id]), tf.constant([item_id])
        )
        if score.numpy()[0] <= NOTHING:
            raise MmrecError(
                f"item {item_id!r} is not in the catalogue that this model was built with. Name one of its items, or "
                "train again with the item in the table."
            )
        if method == "integrated_gradients":
            found = integrated_gradients(self._engine, user_id, item_id)
        else:
            names = (name.decode("utf-8") for name in parts.numpy()[0])
            found = dict(zip(names, contributions.numpy()[0].tolist(), strict=True))
        return Explanation(user_id, item_id, float(score.numpy()[0]), found)

    def _weighted(self, modality_weights):
        function = self._offered(self._recommend_weighted, "recommend_weighted")
        weights = checked_weights(modality_weights, self.modalities)
        names, values = tf.constant([*weights], tf.string), tf.constant([*weights.values()], tf.float32)

        def recommend(user_id, k):
            rows = [tf.size(user_id), 1]
            return function(user_id, k, tf.tile(names[None, :], rows), tf.tile(values[None, :], rows))

        return recommend

    def _offered(self, function, name):
        if function is not None:
            return function
        if self._run is None:
            raise MmrecError(f"this recommender was made without a function for {name}.")
        raise RunError(
            f"the export of {self._run} has no signature {name!r}: it is older than that, or was written without "
            f"modality weights. Write the next version with: mmrec export {self._run}"
        )


def _left_empty(signature, user_id: tf.Tensor) -> dict[str, tf.Tensor]:
    """What a request says nothing of: `[batch, 0]`, and empty strings where there is one for each row."""
    rows = tf.size(user_id)
    specs = signature.structured_input_signature[1]
    return {
        name: tf.zeros([rows] if spec.shape.rank == 1 else [rows, 0], spec.dtype)
        for name, spec in specs.items()
        if name not in ("user_id", "k")
    }

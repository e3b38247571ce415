"""Scores of users and items that are named, and what the scores are made of."""

import tensorflow as tf

from mmrec_tf.recommend.asked import Asked
from mmrec_tf.recommend.search import NOTHING


class PairScores:
    """The part of `RecommendationEngine` that judges given items instead of finding them."""

    def explain(self, user_id: tf.Tensor, item_id: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor, tf.Tensor]:
        """The score of (user, item) pairs, and how much of it each part of the item makes up.

        Args:
            user_id, item_id: `[batch]` string.

        Returns:
            `[batch]` scores as `recommend` orders by, seen or not; `[batch, parts]` contributions, each the score less
            the score without the part, 0 for what the item does not have; and `[batch, parts]` names of the parts, the
            modalities in alphabetical order and then `id`. An item that is not known has the lowest float32 as its
            score and contributions of 0.
        """
        asked, items = self.asked(self.user_index(user_id)), self.item_index(item_id)
        lookup = self.retrieval.items.lookup
        queries = self._query(asked)
        scores = self._score(queries, asked, items)
        lost = scores[:, None] - self._scores_without_each_part(queries, asked, items)
        present = [tf.gather(lookup.tables["masks"][name], items) for name in self.modalities]
        present.append(tf.gather(lookup.id_index, items) > 0)
        known = items > 0
        contributions = tf.where(tf.stack(present, axis=1) & known[:, None], lost, 0.0)
        parts = tf.constant([*self.modalities, "id"])
        return tf.where(known, scores, NOTHING), contributions, tf.tile(parts[None, :], [tf.size(items), 1])

    def rank_pairs(self, user_id: tf.Tensor, item_id: tf.Tensor) -> tf.Tensor:
        """Predictions of the ranker, the calibrated chance of a click or the rating, in the shape of `item_id`.

        Args:
            user_id, item_id: as for `rank_targets`.
        """
        return self.rank_targets(user_id, item_id)["score"]

    def rank_targets(self, user_id: tf.Tensor, item_id: tf.Tensor) -> dict[str, tf.Tensor]:
        """Predictions of the ranker for all that it has learned, in the shape of `item_id`, float32.

        Args:
            user_id: `[batch]` string.
            item_id: `[batch]` string, an item for each user; or `[batch, n]`, several, of which `""` only fills up and
                gets the lowest float32.

        Returns:
            `score`, the calibrated chance of a click or the rating; by its name, the prediction of each other target;
            and, where these order the lists together or an explorer does with them, `order`, by which `recommend` does
            without what retrieval adds.
        """
        asked = self.asked(self.user_index(user_id))
        pairs = self._pairs(asked, self.item_index(item_id))
        scores = self.ranking.target_scores(pairs, rows=self.ranker_rows)
        answers = dict(self.ranking.target_predictions(scores))
        answers = {"score": answers.pop(self.ranking.target), **answers}
        if self.ranking.order_by is not None or self.explorer is not None:
            answers["order"] = self.ranking.order(scores)
        if self.explorer is not None:
            items = pairs["item_index"] if item_id.shape.rank == 2 else pairs["item_index"][:, None]
            answers["order"] += tf.reshape(self.explored(asked, items), tf.shape(item_id))
        answers = {name: tf.ensure_shape(answer, item_id.shape) for name, answer in answers.items()}
        if item_id.shape.rank == 2:
            answers = {name: tf.where(tf.equal(item_id, ""), NOTHING, answer) for name, answer in answers.items()}
        return answers

    def explored(self, asked: Asked, items: tf.Tensor) -> tf.Tensor:
        """`[batch, n]` float32: what the explorer adds to the ranker's scores of `[batch, n]` item indices."""
        candidates = self.search.embeddings_of(tf.reshape(items, [-1]))
        # Written out, as -1 cannot be told beside no items.
        candidates = tf.reshape(candidates, [*tf.unstack(tf.shape(items)), candidates.shape[1]])
        return tf.ensure_shape(self.explorer(self._query(asked), candidates), items.shape)

    def score(self, users: tf.Tensor, items: tf.Tensor, vectors: dict[str, tf.Tensor] | None = None) -> tf.Tensor:
        """`[batch]` scores of pairs of indices, as `recommend` orders by.

        Args:
            users, items: `[batch]` int32.
            vectors: dict of modality -> `[batch, width]` in place of the items' own, where these are there. The users'
                histories keep theirs, also where the item stands in them.
        """
        asked = self.asked(users)
        return self._score(self._query(asked), asked, items, vectors)

    def _score(self, queries, asked, items, vectors=None):
        similarities = self._similarities(queries, asked, items, vectors=vectors)
        if self.ranking is None:
            return similarities
        return self._blended(self._ranked({**self._pairs(asked, items), "similarity": similarities}, vectors))

    def _scores_without_each_part(self, queries, asked, items):
        """`[batch, parts]` scores of items without each modality in turn, and at last as if their ids were new."""
        left_out = [*({"without": [name]} for name in self.modalities), {"without_ids": True}]
        similarities = tf.stack([self._similarities(queries, asked, items, **one) for one in left_out], axis=1)
        if self.ranking is None:
            return similarities
        pairs = self._pairs(asked, items[:, None])
        return self._blended(self._ranked_without_each_part(pairs, similarities, and_ids=True)[:, :, 0])

    def _similarities(self, queries, asked, items, without_ids=False, **options):
        candidates = self.retrieval.embed_candidate(items, without_ids=without_ids, **options)
        similarities = tf.reduce_sum(queries * candidates, axis=1)
        if self.retrieval.remembers and not without_ids:
            similarities += tf.gather(self.retrieval.remembered(asked.history), items, batch_dims=1)
        return similarities

    def _blended(self, scores):
        return scores / (1.0 + self.ranking.similarity_weight)

    def _query(self, asked):
        return self.retrieval.embed_query(asked.users, asked.history, gaps=asked.gaps, context=asked.context)

    def _pairs(self, asked, items):
        pairs = {"user_index": asked.users, "history": asked.history, "item_index": items}
        return pairs if asked.context is None else {**pairs, "context": asked.context}

    def _ranked(self, pairs, vectors=None):
        # Other vectors than the items' own are no rows that could be looked up.
        rows = self.ranker_rows if vectors is None else None
        return tf.ensure_shape(self.ranking(pairs, rows=rows, vectors=vectors), pairs["item_index"].shape)

    def _ranked_without_each_part(self, pairs, similarities=None, and_ids=False):
        """`[batch, parts, n]` scores of `[batch, n]` items, as `_scores_without_each_part`.

        The items stand in one group as often as there are parts, so that the user is looked at once, and the graph
        holds the ranker once.

        Args:
            pairs: the ranker's inputs.
            similarities: `[batch, parts * n]`; None for none.
            and_ids: bool. Whether the ids are the last part.
        """
        items = pairs["item_index"]
        batch, count, parts = tf.shape(items)[0], tf.shape(items)[1], len(self.modalities) + and_ids

        def stands_at(place):
            return tf.repeat(tf.range(parts) == place, count)

        left_out = {"without": {name: stands_at(place) for place, name in enumerate(self.modalities)}}
        if and_ids:
            left_out["without_ids"] = stands_at(parts - 1)
        asked = {**pairs, "item_index": tf.tile(items, [1, parts])}
        if similarities is not None:
            asked["similarity"] = similarities
        return tf.reshape(self.ranking(asked, **left_out), [batch, parts, count])

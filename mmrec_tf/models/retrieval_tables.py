"""What a retrieval model says of many users and of all items, as arrays."""

from collections.abc import Sequence

import numpy as np
import tensorflow as tf

from mmrec_tf.data.trends import Trends
from mmrec_tf.features.context_features import Context
from mmrec_tf.models.batched_calls import call_in_batches
from mmrec_tf.models.neighbour_memory import scattered

MOST_HARD_ITEMS = 100
"""Hard negatives that are kept for each user."""


class RetrievalTables:
    """The part of `TwoTower` around training: what is set from the data, and what evaluation and serving ask."""

    def candidate_embeddings(
        self, batch_size: int = 4096, without_ids: bool = False, without: Sequence[str] = ()
    ) -> np.ndarray:
        """`[size, dim + 2]` float32 embeddings of all items, index 0 (no item) included; see `embed_candidate`."""
        index = np.arange(self.items.lookup.size, dtype=np.int32)
        return np.concatenate(
            [
                self.embed_candidate(
                    index[start : start + batch_size], without_ids=without_ids, without=without
                ).numpy()
                for start in range(0, len(index), batch_size)
            ]
        )

    def query_embeddings(
        self, user_index: np.ndarray, history: np.ndarray, batch_size: int = 1024, **known: np.ndarray | Context
    ) -> np.ndarray:
        """`[n, dim + 2]` float32 embeddings of users given their histories; see `embed_query`."""
        inputs = {"user_index": user_index, "history": history, **known}
        inputs = tf.nest.map_structure(_as_numbers, inputs)
        return call_in_batches(self.call, inputs, batch_size=batch_size)

    def place_by_content(self, item_index, vectors, training=False):
        """`[batch, dim]` places of items as if their ids were new, with other vectors than the stored ones.

        Args:
            item_index: `[batch]` int tensor.
            vectors: dict of modality -> `[batch, width]`; see `ItemEmbedding`.
            training: bool.
        """
        item = self.items(item_index, training=training, vectors=vectors, without_ids=True)
        return self.candidate_tower({"item": item}, training=training)

    def trend_scores(self, moments: np.ndarray) -> np.ndarray:
        """`[n, size]` float32: what being popular of late added to each item's score at each moment (a period)."""
        return self.trends_of(tf.range(self.items.lookup.size)).numpy().T[np.asarray(moments)]

    @property
    def remembers(self) -> bool:
        """Whether a memory of pairs counts in the score."""
        # Also asked while a graph is traced, which then holds the memories or does not.
        with tf.init_scope():
            return any(float(memory.weight) > 0.0 for memory in self.memories.values())

    def remembered(self, history):
        """`[batch, size]` what the neighbours of the latest items, `[batch, length]`, add to the score."""
        pairs = [memory.pairs(history) for memory in self.memories.values()]
        return scattered(*(tf.concat(parts, axis=1) for parts in zip(*pairs)), self.items.lookup.size)

    def settle(self) -> None:
        """After training: works out what propagation adds to each id, for whoever asks from now on."""
        if self.propagation is not None:
            self.propagation.settle(self._id_tables())

    def set_trends(self, trends: Trends) -> None:
        """Takes the popularity of every item over time; the last period is the present."""
        self.trends.assign(trends.table)

    def set_hard_items(self, items: np.ndarray) -> None:
        """Takes `[users + 1, n]` item indices that rank high for users who have not touched them, 0 for none."""
        items = items[:, :MOST_HARD_ITEMS]
        self.hard_items.assign(np.pad(items, [(0, 0), (0, MOST_HARD_ITEMS - items.shape[1])]))


def _as_numbers(array):
    array = np.asarray(array)
    return array if array.dtype == np.float32 else array.astype(np.int32)

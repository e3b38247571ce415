"""An approximate index by ScaNN, for servers that are built with its ops."""

import numpy as np
import tensorflow as tf

from mmrec_tf.recommend.exact_search import ExactSearch, Second, Wishes
from mmrec_tf.recommend.part_lists import in_order, pair_keys, raised_pairs, scored_alone
from mmrec_tf.recommend.scann_library import scann_ops
from mmrec_tf.recommend.search import NOTHING, Lists

LEAVES_FROM = 20_000
"""Items from which they are parted into leaves; fewer are looked at all together, as ScaNN's authors advise."""

MOST_SCORED = 0.1
"""Share of the catalogue beyond which every item is scored: there is little time to be won."""

# Numbers of an embedding that one code stands for, and how much an error along the embedding weighs more than one
# across it: what ScaNN's authors use for dot products.
_NUMBERS_IN_CODE, _ANISOTROPIC_THRESHOLD = 2, 0.2
_SAMPLED_OF_LEAF = 100
# A code has 16 values, which ScaNN refuses to find among fewer items where there are leaves.
_EXAMPLES_OF_LEAF = 16
# What a searcher is made of -> the argument of the op that makes it.
_ARGUMENTS = {
    "scann_config": "scann_config",
    "serialized_partitioner": "serialized_partitioner",
    "datapoint_to_token": "datapoint_to_token",
    "ah_codebook": "ah_codebook",
    "hashed_dataset": "hashed_dataset",
    "int8_dataset": "int8_dataset",
    "int8_multipliers": "int8_multipliers",
    "dp_norms": "dp_norms",
    "dataset": "x",
}


class ScannIndex(tf.Module):
    """Finds items by ScaNN's short codes, and scores the most promising of them by their own embeddings.

    ScaNN parts the catalogue into leaves, of which each query looks at the nearest, and keeps of each item a code of a
    sixteenth of the embedding's size. What the codes rank high is scored again from the table of the exact search, so
    that scores are exact and the table may be one of fewer bits; ScaNN holds no second copy of it. What holds for
    `InvertedFile` holds here: the `head`, the items that the `favoured` order puts first, is scored for every query; an
    item whose score is raised is scored wherever it lies; what a request hides takes no place, since as many more items
    are looked at; and longer lists than `depth` look at more in proportion. Where that becomes a large part of the
    catalogue, or a list would not be filled, all requests of the batch are answered by searching everything.

    Args:
        exact: the `ExactSearch` of all items, whose table and `is_offered` are used.
        embeddings: `[items, dim]` float32 array, as the codes are to see them; row 0 stands for no item.
        favoured: `[items]` array: the larger, the earlier an item is in the head.
        head: int. Items in the head. Defaults to 1024.
        depth: int. Length of the lists that `probes` and `rescored` are meant for. Defaults to 100.
        leaves: int. How many there are; None, the default, for the square root of the number of items from
            `LEAVES_FROM` items on, and 1 below.

    Call arguments:
        queries, k, wishes, second: as for `ExactSearch`; with `shares`, everything is searched.

    Returns:
        As `ExactSearch`, save that of items with equal scores at the end of a list any may be in it.

    Attributes:
        probes: int32 variable. Leaves that are looked at for each query; 1 until it is set.
        rescored: int32 variable. Items that are scored again for each query; 4 times `depth` until it is set.
        leaves: int; 0 where the head holds every item.

    Raises:
        ServingError: if the package scann is not installed, or does not fit the TensorFlow that is.

    Reference: Guo et al., Accelerating Large-Scale Inference with Anisotropic Vector Quantization (2020).
    """

    def __init__(
        self,
        exact: ExactSearch,
        embeddings: np.ndarray,
        favoured: np.ndarray,
        head: int = 1024,
        depth: int = 100,
        leaves: int | None = None,
    ):
        super().__init__()
        self._ops = scann_ops()
        self.exact = exact
        self.depth = depth
        items = len(embeddings)
        first = 1 + np.argsort(-favoured[1:], kind="stable")[:head]
        rest = np.setdiff1d(np.arange(1, items), first)
        rest = rest[exact.is_offered.numpy()[rest]]
        place_of = np.full(items, -1, np.int32)
        place_of[np.sort(first)] = np.arange(len(first))
        self.head = tf.Variable(np.sort(first).astype(np.int32), trainable=False, name="head")
        self.place_in_head = tf.Variable(place_of, trainable=False, name="place_in_head")
        self.item_of = tf.Variable(rest.astype(np.int32), trainable=False, name="item_of")
        self.probes = tf.Variable(1, trainable=False, name="probes")
        self.rescored = tf.Variable(4 * depth, trainable=False, name="rescored")
        if leaves is None:
            leaves = round(len(rest) ** 0.5) if len(rest) >= LEAVES_FROM else 1
        self.leaves = max(min(leaves, len(rest) // _EXAMPLES_OF_LEAF), min(len(rest), 1))
        # In a graph of its own: outside of one, TensorFlow takes an index of the same shape for this one.
        self._near = tf.function(self._nearest, reduce_retracing=True)
        self._state = self._build(embeddings[rest]) if self.leaves else {}

    @property
    def order(self) -> np.ndarray:
        """Which item each row of the table is."""
        return self.exact.order

    @property
    def most_probes(self) -> int:
        """All leaves."""
        return max(self.leaves, 1)

    @property
    def most_scored(self) -> int:
        """Items that are scored again for a query at most, before every item is scored."""
        return int(MOST_SCORED * self.place_in_head.shape[0])

    def embeddings_of(self, items: tf.Tensor) -> tf.Tensor:
        """`[n, dim]` embeddings of `[n]` items."""
        return self.exact.embeddings_of(items)

    def __call__(self, queries: tf.Tensor, k: tf.Tensor, wishes: Wishes, second: Second = None) -> Lists:
        if wishes.shares is not None:
            return self.exact(queries, k, wishes, second)
        batch = tf.shape(queries)[0]
        nothing = tf.zeros([batch, k], tf.int32), tf.fill([batch, k], NOTHING)
        count = self._count(batch, k, wishes)
        found = tf.cond(
            count <= tf.maximum(self.most_scored, self.rescored),
            lambda: self.probed(queries, k, wishes, self._in_proportion(self.probes, k)),
            lambda: nothing,
        )
        return tf.cond(
            tf.reduce_any(found[1][:, -1:] <= NOTHING), lambda: self.exact(queries, k, wishes), lambda: found
        )

    def probed(self, queries: tf.Tensor, k: tf.Tensor, wishes: Wishes, probes: tf.Tensor) -> Lists:
        """The best of the head, and of what ScaNN finds in `probes` leaves for each query."""
        batch, size = tf.shape(queries)[0], self.place_in_head.shape[0]
        outside, taken = [], pair_keys(wishes.rows, wishes.hidden, size)
        if wishes.added is not None:
            pairs = raised_pairs(wishes)
            outside = [scored_alone(queries, k, wishes, pairs, size, self.embeddings_of, self._is_offered)]
            taken = tf.concat([taken, pair_keys(*pairs[:2], size)], axis=0)
        # Whose scores are known, or are not to be told: each has no other place in the lists.
        taken = tf.sort(taken)

        def best_of(items, scores, is_there):
            keys = tf.reshape(pair_keys(tf.range(batch)[:, None], items, size), [-1])
            place = tf.minimum(tf.searchsorted(taken, keys), tf.maximum(tf.size(taken) - 1, 0))
            is_taken = tf.reshape(tf.gather(tf.concat([taken, [-1]], axis=0), place) == keys, tf.shape(items))
            scores = tf.where(is_there & ~is_taken, scores, NOTHING)
            scores, order = tf.math.top_k(scores, tf.minimum(k, tf.shape(scores)[1]))
            return tf.gather(items, order, batch_dims=1), scores

        first = self.head.read_value()
        scores = tf.matmul(queries, self.embeddings_of(first), transpose_b=True)
        lists = [*outside, best_of(tf.tile(first[None], [batch, 1]), scores, self._is_offered(first))]
        if self.leaves:
            items, is_there = self._near(queries, self._count(batch, k, wishes), tf.minimum(probes, self.leaves))
            rows = tf.reshape(self.embeddings_of(tf.reshape(items, [-1])), [batch, -1, queries.shape[1]])
            lists.append(best_of(items, tf.linalg.matvec(rows, queries), is_there))
        return in_order(*(tf.concat(parts, axis=1) for parts in zip(*lists)), k)

    def _is_offered(self, items):
        return tf.gather(self.exact.is_offered.read_value(), items)

    def _count(self, batch, k, wishes):
        """How many items are scored again: those that a request hides are no loss to it."""
        hidden = tf.math.bincount(wishes.rows, minlength=batch, maxlength=batch)
        return self._in_proportion(self.rescored, k) + tf.reduce_max(tf.concat([[0], hidden], axis=0))

    def _in_proportion(self, number, k):
        longer = tf.maximum(tf.cast(k, tf.float32) / self.depth, 1.0)
        return tf.cast(tf.math.ceil(tf.cast(number, tf.float32) * longer), tf.int32)

    def _nearest(self, queries, count, probes):
        """`[batch, n]` items and whether there is one, of which each query has at most `count`."""
        state = {name: variable.read_value() for name, variable in self._state.items()}
        count = tf.minimum(count, self.item_of.shape[0])
        # The nodes' names are how the op check says what brought the ops.
        with tf.name_scope("scann_index"):
            searcher = self._ops.tensors_to_scann(**state, name="searcher")
            rows, nearness = self._ops.scann_search_batched(
                searcher, queries, count, count, probes, parallel=False, name="search"
            )
        rows = tf.ensure_shape(rows, [None, None])
        # Lists are as long as the longest; behind the end of one stands row 0, and no number.
        return tf.gather(self.item_of.read_value(), rows), tf.math.is_finite(nearness)

    def _build(self, embeddings):
        """What the searcher is made of again wherever the model is loaded, as variables."""
        builder = self._ops.builder(embeddings, self.depth, "dot_product")
        if self.leaves > 1:
            sample = min(len(embeddings), _SAMPLED_OF_LEAF * self.leaves)
            builder = builder.tree(self.leaves, self.leaves, training_sample_size=sample)
        builder = builder.score_ah(_NUMBERS_IN_CODE, anisotropic_quantization_threshold=_ANISOTROPIC_THRESHOLD)
        state = vars(builder.build().serialize_to_module())
        return {argument: _variable(state[name], name) for name, argument in _ARGUMENTS.items()}


def _variable(state, name):
    return tf.Variable(state.read_value(), trainable=False, name=f"scann_{name}")

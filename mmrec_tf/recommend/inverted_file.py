"""An approximate index: most of a large catalogue is never looked at, and what is looked at is scored exactly."""

import numpy as np
import tensorflow as tf

from mmrec_tf.recommend.exact_search import ExactSearch, Second, Wishes
from mmrec_tf.recommend.item_cells import group_means, near_blocks
from mmrec_tf.recommend.item_rows import item_rows
from mmrec_tf.recommend.part_lists import in_order, raised_pairs, scored_alone
from mmrec_tf.recommend.search import NOTHING, Lists

BLOCK_WIDTH = 64
"""Items of a block. Narrower blocks find more with as many items looked at, and take longer to be chosen among."""

MOST_LOOKED_AT = 0.1
"""Share of the catalogue beyond which the whole of it is searched: there is little time to be won."""


class InvertedFile(tf.Module):
    """Finds the best items by looking at the blocks whose means have the largest dot products with the query.

    Items that lie near each other stand in one block of the table (`near_blocks`), so that a block is one read of
    memory; its items are scored by their own embeddings, and so the scores are exact, and only the choice of the blocks
    is not. A mean says nothing of the one item in a block that everybody likes, and to somebody of whom nothing is
    known all places are equally near: therefore the `head`, the items that the `favoured` order puts first, is scored
    for every query.

    What a request hides is hidden before the best are kept. An item whose score is raised is scored wherever it lies.
    Longer lists than `depth` look at more blocks in proportion; where that becomes a large part of the catalogue, or a
    list would not be filled, all requests of the batch are answered by searching everything.

    The table holds each embedding once, in the order of the blocks, behind the head.

    Args:
        embeddings: `[items, dim]` float32 array; row 0 stands for no item, and is left out.
        is_offered: `[items]` bool array. Items that are not offered are never found.
        favoured: `[items]` array: the larger, the earlier an item is in the head.
        head: int. Items in the head, rounded up to whole blocks. Defaults to 1024.
        width: int. Items of a block. Defaults to `BLOCK_WIDTH`.
        depth: int. Length of the lists that `probes` is meant for. Defaults to 100.
        seed: int. Of k-means.
        table: how the embeddings are kept, see `item_rows`; the blocks are chosen by the embeddings as they are given.
            Defaults to `float32`.

    Call arguments:
        queries, k, wishes, second: as for `ExactSearch`; with `shares`, everything is searched. The rows of `second`
            are in this index's `order`.

    Returns:
        As `ExactSearch`, save that of items with equal scores at the end of a list any may be in it.

    Attributes:
        probes: int32 variable. Blocks that are looked at for each query; 1 until it is set.
        blocks: int. How many there are beside the head.

    Reference: Jegou et al., Product quantization for nearest neighbor search (2011), section IV.
    """

    def __init__(
        self,
        embeddings: np.ndarray,
        is_offered: np.ndarray,
        favoured: np.ndarray,
        head: int = 1024,
        width: int = BLOCK_WIDTH,
        depth: int = 100,
        seed: int = 0,
        table: str = "float32",
    ):
        super().__init__()
        self.width = width
        self.depth = depth
        items, dim = embeddings.shape
        first = 1 + np.argsort(-favoured[1:], kind="stable")[: -(-head // width) * width]
        rest = np.setdiff1d(np.arange(1, items), first)
        blocks = [rest[rows] for rows in near_blocks(embeddings[rest], width, seed)]
        self.blocks = len(blocks)
        self.head_blocks = max(-(-len(first) // width), 1)
        order = np.zeros([(self.head_blocks + self.blocks) * width], np.int32)
        order[: len(first)] = np.sort(first)
        for place, block in enumerate(blocks, self.head_blocks):
            order[place * width : place * width + len(block)] = block
        there = np.flatnonzero(order)
        place_of = np.full(items, -1, np.int32)
        place_of[order[there]] = there
        inside = there[there >= self.head_blocks * width]
        means = group_means(embeddings[order[inside]], inside // width - self.head_blocks, self.blocks)

        rows = embeddings[order]
        rows[order == 0] = 0.0
        self.item_of = tf.Variable(order, trainable=False, name="item_of")
        self.place_of = tf.Variable(place_of, trainable=False, name="place_of")
        self.means = tf.Variable(means, trainable=False, name="block_means")
        self.probes = tf.Variable(1, trainable=False, name="probes")
        self.exact = ExactSearch(
            item_rows(rows, table),
            tf.Variable(is_offered[order] & (order > 0), trainable=False, name="row_is_offered"),
        )

    @property
    def order(self) -> np.ndarray:
        """Which item each row of the table is; 0 for none."""
        return self.item_of.numpy()

    @property
    def most_probes(self) -> int:
        """Blocks beyond which everything is searched."""
        return max(int(MOST_LOOKED_AT * self.blocks), 1)

    def embeddings_of(self, items: tf.Tensor) -> tf.Tensor:
        """`[n, dim]` embeddings of `[n]` items; for index 0 those of some item."""
        return self.exact.embeddings_of(tf.maximum(tf.gather(self.place_of, items), 0))

    def __call__(self, queries: tf.Tensor, k: tf.Tensor, wishes: Wishes, second: Second = None) -> Lists:
        if wishes.shares is not None:
            return self.everything(queries, k, wishes, second)
        longer = tf.maximum(tf.cast(k, tf.float32) / self.depth, 1.0)
        probes = tf.cast(tf.math.ceil(tf.cast(self.probes, tf.float32) * longer), tf.int32)
        batch = tf.shape(queries)[0]
        nothing = tf.zeros([batch, k], tf.int32), tf.fill([batch, k], NOTHING)
        found = tf.cond(
            probes <= tf.maximum(self.most_probes, self.probes),
            lambda: self.probed(queries, k, wishes, probes),
            lambda: nothing,
        )
        return tf.cond(
            tf.reduce_any(found[1][:, -1:] <= NOTHING), lambda: self.everything(queries, k, wishes, None), lambda: found
        )

    def everything(self, queries: tf.Tensor, k: tf.Tensor, wishes: Wishes, second: Second = None) -> Lists:
        """What the call gives, with every item looked at."""
        added = None if wishes.added is None else tf.gather(self.place_of, wishes.added)
        hidden = tf.gather(self.place_of, wishes.hidden)
        places, scores = self.exact(queries, k, wishes._replace(hidden=hidden, added=added), second)
        return in_order(tf.gather(self.item_of, places), scores, k)

    def _is_offered(self, items):
        return tf.gather(self.exact.is_offered.read_value(), tf.gather(self.place_of, items))

    def probed(self, queries: tf.Tensor, k: tf.Tensor, wishes: Wishes, probes: tf.Tensor) -> Lists:
        """The best of the head and of `probes` blocks for each query."""
        batch = tf.shape(queries)[0]
        probes = tf.minimum(probes, self.blocks)
        of_blocks = self.exact.rows.by_blocks(self.width)
        offered = tf.reshape(self.exact.is_offered, [-1, self.width])
        head = self.head_blocks * self.width
        blocks = tf.math.top_k(tf.matmul(queries, self.means, transpose_b=True), probes, sorted=False)[1]
        chosen = blocks + self.head_blocks

        # Query by query, so that what is read stays in the processor's cache until it is multiplied.
        scores = tf.map_fn(lambda one: of_blocks(*one), (queries, chosen), fn_output_signature=tf.float32)
        scores = tf.reshape(scores, [batch, probes * self.width])
        scores = tf.concat([self.exact.rows.scores(queries, 0, head), scores], axis=1)

        columns = _Columns(self.place_of, head, self.width, self.blocks, blocks)
        outside = None
        if wishes.added is not None:
            rows, added, values = raised_pairs(wishes)
            column = columns(rows, added)
            inside = tf.boolean_mask(tf.stack([rows, column], axis=1), column >= 0)
            scores = tf.tensor_scatter_nd_add(scores, inside, tf.boolean_mask(values, column >= 0))
            left = tuple(tf.boolean_mask(x, column < 0) for x in (rows, added, values))
            size = tf.shape(self.place_of)[0]
            outside = scored_alone(queries, k, wishes, left, size, self.embeddings_of, self._is_offered)
        is_offered = tf.reshape(tf.gather(offered, chosen), [batch, probes * self.width])
        first_offered = tf.broadcast_to(self.exact.is_offered[:head], [batch, head])
        scores = tf.where(tf.concat([first_offered, is_offered], axis=1), scores, NOTHING)
        column = columns(wishes.rows, wishes.hidden)
        inside = tf.boolean_mask(tf.stack([wishes.rows, column], axis=1), column >= 0)
        scores = tf.tensor_scatter_nd_update(scores, inside, tf.fill(tf.shape(inside)[:1], NOTHING))

        scores, column = tf.math.top_k(scores, tf.minimum(k, tf.shape(scores)[1]))
        items = tf.gather(self.item_of, columns.places(column))
        if outside is not None:
            items, scores = tf.concat([items, outside[0]], axis=1), tf.concat([scores, outside[1]], axis=1)
        return in_order(items, scores, k)


class _Columns:
    """Where items stand in the scores of a batch: the head in front, then the blocks of each query one by one."""

    def __init__(self, place_of, head, width, count, blocks):
        self.place_of = place_of
        self.head = head
        self.width = width
        self.blocks = blocks
        batch, probes = tf.shape(blocks)[0], tf.shape(blocks)[1]
        rows = tf.repeat(tf.range(batch), probes)
        slots = tf.tile(tf.range(probes), [batch])
        chosen = tf.stack([rows, tf.reshape(blocks, [-1])], axis=1)
        self.slot_of = tf.tensor_scatter_nd_update(tf.fill([batch, count], -1), chosen, slots)

    def __call__(self, rows, items):
        """`[n]` columns of `[n]` items in the scores of `[n]` queries; -1 for items that are not there."""
        place = tf.gather(self.place_of, items)
        behind = tf.maximum(place - self.head, 0)
        if self.slot_of.shape[1] == 0:
            return place
        slot = tf.gather_nd(self.slot_of, tf.stack([rows, behind // self.width], axis=1))
        column = tf.where(slot < 0, -1, self.head + slot * self.width + behind % self.width)
        return tf.where(place < self.head, place, column)

    def places(self, columns):
        """`[batch, n]` rows of the table of `[batch, n]` columns."""
        if self.slot_of.shape[1] == 0:
            return columns
        behind = tf.maximum(columns - self.head, 0)
        block = tf.gather(self.blocks, behind // self.width, batch_dims=1)
        return tf.where(columns < self.head, columns, self.head + block * self.width + behind % self.width)

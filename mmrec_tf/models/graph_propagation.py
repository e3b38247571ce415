"""Embeddings that take on something of their neighbours in a graph."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.models.recommender_model import consumed

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class GraphSmoothing(tf_keras.layers.Layer):
    """Adds to every item what its neighbours are like.

    An item that few have touched is placed by those that look like it or are bought with it. The graph is found once
    and stays as it is; what is learned is how much it counts:

        E' = E + share * A^layers E

    The graph is set by `set_graph`. Until then nobody has neighbours.

    A layer over the whole table holds `size * width * dim` numbers at a time (20,000 items with 10 neighbours of width
    64: 51 MB). Where few items are asked for, their `index` leaves out the rest of the last layer. With one layer their
    neighbours' rows are all that is needed, and `added` takes these alone.

    Args:
        size: int. Rows of the table.
        width: int. Neighbours of each item.
        layers: int. How far apart items still count. Defaults to 1.
        share: float. Of the neighbours, where training starts. Defaults to 1, as in FREEDOM.
        learned: bool. Let training change the share. Defaults to True.

    Call arguments:
        table: `[size, dim]` float tensor of all embeddings.
        index: `[n]` int tensor of the items asked for; None, the default, for all.

    Returns:
        `[size, dim]` or `[n, dim]` float tensor.

    Raises:
        ValueError: if `layers` is below 1.

    Reference: Zhou and Shen, A tale of two graphs: freezing and denoising graph structures for multimodal
    recommendation (FREEDOM, ACM Multimedia 2023); Zhang et al., Mining latent structures for multimedia recommendation
    (LATTICE, ACM Multimedia 2021).
    """

    def __init__(self, size: int, width: int, layers: int = 1, share: float = 1.0, learned: bool = True, **kwargs):
        super().__init__(**kwargs)
        _check_layers(layers)
        self.size = size
        self.width = width
        self.layers = layers
        self.share = share
        self.learned = learned
        self.indices = _fixed(self, "indices", [size, width], "int32")
        self.weights_of_neighbours = _fixed(self, "weights_of_neighbours", [size, width], "float32")
        start = tf_keras.initializers.Constant(share)
        self.neighbours_share = self.add_weight(name="neighbours_share", shape=[], initializer=start, trainable=learned)

    def set_graph(self, indices: np.ndarray, weights: np.ndarray) -> None:
        """Takes a graph as `item_graph` gives it: `[size, width]` table indices and weights."""
        self.indices.assign(indices)
        self.weights_of_neighbours.assign(weights)

    def call(self, table, index=None):
        far = table
        for _ in range(self.layers - 1):
            far = self.gathered(far, self.indices, self.weights_of_neighbours)
        asked = (self.indices, self.weights_of_neighbours)
        if index is not None:
            asked, table = [tf.gather(values, index) for values in asked], tf.gather(table, index)
        return table + self.neighbours_share * self.gathered(far, *asked)

    def added(self, rows, index):
        """What one layer adds to some items, of a table of which only their neighbours' rows are looked up.

        Args:
            rows: gives the embeddings `[n, width, dim]` of `[n, width]` table indices.
            index: `[n]` int tensor of the items.

        Returns:
            `[n, dim]` float tensor.
        """
        near = rows(tf.gather(self.indices, index))
        weights = tf.gather(self.weights_of_neighbours, index)
        return self.neighbours_share * tf.reduce_sum(tf.cast(weights, near.dtype)[..., None] * near, axis=1)

    def gathered(self, table, indices, weights):
        """`[n, dim]` weighted sums of rows of a table, given `[n, width]` indices and weights."""
        return tf.reduce_sum(tf.cast(weights, table.dtype)[..., None] * tf.gather(table, indices), axis=1)

    def get_config(self):
        own = {"size": self.size, "width": self.width, "layers": self.layers}
        return {**super().get_config(), **own, "share": self.share, "learned": self.learned}


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class LightGCN(tf_keras.layers.Layer):
    """Lets users and items take on each other's embeddings along what was consumed.

    A user becomes like their items, an item like its users, and over two layers like the items of its users:

        E^(l+1) = D^-1/2 A D^-1/2 E^(l),   E' = (E^(0) + ... + E^(layers)) / (layers + 1)

    with E users and items stacked, A who consumed what, and D how many each has. A row that has nothing, such as row 0,
    the unknown user or item, stays as it is.

    The graph is set by `set_edges`. Until then all rows stay as they are.

    Each layer moves `2 * edges * dim` numbers there and, in training, back (100,000 edges of width 64: 25 MB held at a
    time), so that the cost grows with the interactions and not with the batch.

    Args:
        users, items: int. Rows of the two tables, row 0 among them.
        edges: int. The most pairs of user and item.
        layers: int. Defaults to 2.

    Call arguments:
        tables: the users' `[users, dim]` and the items' `[items, dim]` float tensors.

    Returns:
        A pair of tensors of the same shapes.

    Raises:
        ValueError: if `layers` is below 1, or of `set_edges` if there are more pairs than `edges`.

    Reference: He et al., LightGCN: simplifying and powering graph convolution network for recommendation (SIGIR 2020).
    """

    def __init__(self, users: int, items: int, edges: int, layers: int = 2, **kwargs):
        super().__init__(**kwargs)
        _check_layers(layers)
        self.users = users
        self.items = items
        self.edges = edges
        self.layers = layers
        self.edge_users = _fixed(self, "edge_users", [edges], "int32")
        self.edge_items = _fixed(self, "edge_items", [edges], "int32")
        self.edge_weights = _fixed(self, "edge_weights", [edges], "float32")

    def set_edges(self, positives: csr_matrix) -> None:
        """Takes who consumed what: CSR `[users - 1, items - 1]`, whose rows and columns are those of the tables less 1.

        Repeats count once.
        """
        pairs = consumed(positives).tocoo()
        user_rows, item_rows = pairs.row, pairs.col
        if len(user_rows) > self.edges or positives.shape != (self.users - 1, self.items - 1):
            raise ValueError(
                f"LightGCN was made for {self.edges} pairs of {self.users - 1} users and {self.items - 1} items, got "
                f"{len(user_rows)} pairs of {positives.shape[0]} and {positives.shape[1]}. Make it with what is given."
            )
        degrees = (np.bincount(rows) for rows in (user_rows, item_rows))
        user_degrees, item_degrees = (found[rows] for found, rows in zip(degrees, (user_rows, item_rows)))
        # What is left over leads from row 0 to row 0 with weight 0.
        behind = (0, self.edges - len(user_rows))
        self.edge_users.assign(np.pad(user_rows + 1, behind))
        self.edge_items.assign(np.pad(item_rows + 1, behind))
        self.edge_weights.assign(np.pad(1.0 / np.sqrt(user_degrees * item_degrees), behind))

    def call(self, tables):
        start = user_table, item_table = tuple(tables)
        weights = tf.cast(self.edge_weights, user_table.dtype)[:, None]
        sums = list(start)
        for _ in range(self.layers):
            from_items = weights * tf.gather(item_table, self.edge_items)
            from_users = weights * tf.gather(user_table, self.edge_users)
            user_table = tf.math.unsorted_segment_sum(from_items, self.edge_users, self.users)
            item_table = tf.math.unsorted_segment_sum(from_users, self.edge_items, self.items)
            sums = [total + table for total, table in zip(sums, (user_table, item_table))]
        ends = ((self.edge_users, self.users), (self.edge_items, self.items))
        linked = [tf.math.unsorted_segment_sum(self.edge_weights, end, size)[:, None] > 0.0 for end, size in ends]
        return tuple(tf.where(has, total / (self.layers + 1), own) for has, total, own in zip(linked, sums, start))

    def get_config(self):
        own = {"users": self.users, "items": self.items, "edges": self.edges, "layers": self.layers}
        return {**super().get_config(), **own}


def _check_layers(layers):
    if layers < 1:
        raise ValueError(f"layers is {layers}; propagation needs 1 or more. Leave the layer out for none.")


def _fixed(layer, name, shape, dtype):
    return layer.add_weight(
        name=name, shape=shape, dtype=dtype, trainable=False, initializer="zeros", experimental_autocast=False
    )

"""What users and items take on from each other along what was consumed, kept for serving."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf
import tf_keras

from mmrec_tf.models.graph_propagation import LightGCN

if TYPE_CHECKING:
    from scipy.sparse import csr_matrix


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class IdPropagation(tf_keras.layers.Layer):
    """`LightGCN` over the id embeddings of a two-tower model.

    Training propagates through the whole graph at every step. Who is served one user or item at a time cannot: what
    propagation adds to each id is worked out once, by `settle`, and looked up from then on. Ids that training has not
    seen have no edges, and take on nothing. The graph is set by `set_edges`; it is no part of what is saved.

    Args:
        users, items: int. Number of indices on each side, 0 (nobody, no item) included.
        dim: int. Width of the id embeddings.
        layers: int. Of propagation. Defaults to 2.

    Call arguments:
        tables: the users' `[users, dim]` and the items' `[items, dim]` id embeddings.
        training: bool.

    Returns:
        What is added to the users' and to the items' id embeddings: a pair of tensors of the same shapes; outside
        training as `settle` left them, 0 until then.
    """

    def __init__(self, users: int, items: int, dim: int, layers: int = 2, **kwargs):
        super().__init__(**kwargs)
        self.users = users
        self.items = items
        self.dim = dim
        self.layers = layers
        self._propagate = None
        options = {"initializer": "zeros", "trainable": False, "experimental_autocast": False}
        self.settled = [
            self.add_weight(name=f"settled_{side}", shape=[size, dim], dtype="float32", **options)
            for side, size in (("users", users), ("items", items))
        ]

    def set_edges(self, positives: csr_matrix) -> None:
        """Takes who consumed what; see `LightGCN.set_edges`."""
        graph = LightGCN(self.users, self.items, positives.nnz, self.layers)
        graph.set_edges(positives)
        # A method and not the layer, which Keras would count among what is saved: a model is loaded without its data.
        self._propagate = graph.call

    def settle(self, tables: tuple[tf.Tensor, tf.Tensor]) -> None:
        """Works out what is added to each id as the embeddings stand now."""
        for variable, added in zip(self.settled, self(tables, training=True)):
            variable.assign(tf.cast(added, tf.float32))

    def call(self, tables, training=False):
        if not training:
            return tuple(tf.cast(settled, table.dtype) for settled, table in zip(self.settled, tables))
        if self._propagate is None:
            raise ValueError("propagation has no graph yet. Set it before training: propagation.set_edges(positives).")
        return tuple(propagated - table for propagated, table in zip(self._propagate(tables), tables))

    def get_config(self):
        own = {"users": self.users, "items": self.items, "dim": self.dim, "layers": self.layers}
        return {**super().get_config(), **own}

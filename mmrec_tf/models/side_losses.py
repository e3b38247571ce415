"""What a two-tower model's training asks for beside the right items."""

from __future__ import annotations

from typing import TYPE_CHECKING

import tensorflow as tf

from mmrec_tf.models.adversarial import adversarial_vectors
from mmrec_tf.models.negative_masks import NegativeMask
from mmrec_tf.models.retrieval_scores import Queries

if TYPE_CHECKING:
    from mmrec_tf.models.two_tower import TwoTower


def loss_of_pushed(model: TwoTower, queries: Queries, item_index: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
    """The in-batch retrieval loss on modality vectors that are pushed where it hurts; see `adversarial_vectors`."""
    vectors = model.items.lookup(item_index)["vectors"]
    counted = NegativeMask({"own": item_index}, {"ids": item_index})
    # What a window is padded with is no example, and no negative.
    examples = tf.maximum(tf.reduce_sum(tf.cast(item_index > 0, tf.float32)), 1.0)
    expected = tf.math.log(tf.gather(model.sampling_probabilities, item_index) * examples)

    def loss(vectors, queries):
        item = model.items(item_index, training=True, vectors=vectors, added=model.added(True)[1])
        candidates = model.candidates(item_index, item, training=True)
        return model.task(queries, candidates, candidates, counted, expected, sample_weight=weight)

    frozen = Queries(*(tf.stop_gradient(part) for part in queries))
    pushed = adversarial_vectors(vectors, lambda vectors: loss(vectors, frozen), model.adversarial["epsilon"])
    return loss(pushed, queries)


def misalignment(model: TwoTower, item_index: tf.Tensor) -> tf.Tensor:
    """How far the modalities of the batch's items, as the fusion takes them in, are from each other."""
    features = model.items.lookup(item_index)
    tokens = model.items.fusion.modality_tokens(features["vectors"], features["masks"])
    return model.alignment(tokens, masks=features["masks"], ids=item_index)


def squared_lengths(model: TwoTower, user_index: tf.Tensor, item_index: tf.Tensor) -> tf.Tensor:
    """The mean squared length of the batch's id embeddings of users and of items, summed, as BPR regularises them."""
    users = model.query_tower.ids(tf.gather(model.query_tower.lookup.id_index, user_index))
    items = model.items.ids(tf.gather(model.items.lookup.id_index, item_index))
    return tf.add_n([tf.reduce_mean(tf.reduce_sum(tf.square(tf.cast(x, tf.float32)), axis=1)) for x in (users, items)])

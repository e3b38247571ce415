"""Semi-supervised training: confident pairs as further examples, and views that have to agree."""

import numpy as np
import tensorflow as tf

from mmrec_tf.config_pretraining import PseudoLabelsConfig
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.pretraining.batches import Batches
from mmrec_tf.pretraining.confident_pairs import ConfidentPairs, find_confident_pairs
from mmrec_tf.pretraining.objectives import divergence
from mmrec_tf.pretraining.stage_model import StageModel, uniform
from mmrec_tf.pretraining.views import arrays_of


class PseudoLabelsStage(StageModel):
    """Goes on fitting a model to its interactions, together with what it is sure of and with what must not matter.

        loss = retrieval loss of the interactions
             + weight * mean over the pairs of confidence * -log p(item | user)
             + consistency * (disagreement of two views of a user + disagreement of two views of an item) / 2

    A pair's item did not come into the batch as the interactions' items did, so the softmax over the catalogue is
    estimated from these: p = exp(s_ui / T) / (exp(s_ui / T) + sum_j exp(s_uj / T) / (B q_j)), over the B items j of
    the interactions that are not the pair's own, q_j being the chance to be drawn.

    Views are embeddings as in training, with other parts dropped out. Two views of a user should order the batch's
    items alike, two views of an item (any of the catalogue) should please the same of the batch's users: the symmetric
    KL divergence of the softmax distributions, through the second view of each term.

    Args:
        model: a fitted `TwoTower`.
        weight: float. Of the pairs.
        consistency: float. Of the views.
        is_sure_of_any: bool. Whether batches hold pairs.

    Call arguments:
        batch: dict with `user_index`, `history`, `item_index` of interactions, as the model takes them, `any_item`
            `[batch]` int32 of the catalogue, and `pair_user`, `pair_history`, `pair_item`, `pair_confidence`.

    Returns:
        dict with `loss`, `retrieval`, `pairs` and `disagreement`.

    Reference: Lee, Pseudo-label (2013); Xie et al., Unsupervised data augmentation for consistency training (2020).
    """

    reported = ("loss", "retrieval", "pairs", "disagreement")
    draws_in_layers = True

    def __init__(
        self,
        model: TwoTower,
        weight: float = 0.3,
        consistency: float = 0.1,
        is_sure_of_any: bool = True,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.two_tower = model
        self.weight = weight
        self.consistency = consistency
        self.is_sure_of_any = is_sure_of_any

    def objective(self, batch, training):
        inputs = {name: batch[name] for name in ("user_index", "history", "item_index", "moment") if name in batch}
        zero = tf.constant(0.0)
        values = {"retrieval": tf.cast(self.two_tower.compute_loss(inputs, training=training), tf.float32)}
        candidates = self.two_tower.embed_candidate(batch["item_index"], training=training)
        pairs = self.is_sure_of_any and self.weight > 0.0
        values["pairs"] = self.pairs_loss(batch, candidates, training) if pairs else zero
        values["disagreement"] = self.disagreement(batch, candidates, training) if self.consistency else zero
        values["loss"] = values["retrieval"] + self.weight * values["pairs"] + self.consistency * values["disagreement"]
        return values

    def pairs_loss(self, batch, candidates, training):
        """The mean over the pairs of confidence * -log p(item | user)."""
        queries = self.two_tower.embed_query(batch["pair_user"], batch["pair_history"], training=training)
        own = self.two_tower.embed_candidate(batch["pair_item"], training=training)
        index = batch["item_index"]
        drawn = tf.gather(self.two_tower.sampling_probabilities, index) * float(index.shape[0])
        logits = tf.matmul(queries, candidates, transpose_b=True) / self.two_tower.temperature
        # What the user is known to like is no negative of theirs.
        liked = tf.reduce_any(batch["pair_history"][:, :, None] == index[None, None, :], axis=1)
        excluded = tf.logical_or(liked, batch["pair_item"][:, None] == index[None, :])
        logits = tf.where(excluded, -1e9, logits - tf.math.log(drawn)[None, :])
        own = tf.reduce_sum(queries * own, axis=1) / self.two_tower.temperature
        total = tf.reduce_logsumexp(tf.concat([own[:, None], logits], axis=1), axis=1)
        return tf.reduce_mean(batch["pair_confidence"] * (total - own))

    def disagreement(self, batch, candidates, training):
        """The mean of the symmetric KL divergences of two views of users and of two views of items."""
        users = (batch["user_index"], batch["history"])
        if self.is_sure_of_any:
            users = (batch["pair_user"], batch["pair_history"])
        queries = [self.two_tower.embed_query(*users, training=training) for _ in range(2)]
        items = [self.two_tower.embed_candidate(batch["any_item"], training=training) for _ in range(2)]
        # What is compared with stays where it is.
        return 0.5 * (
            self._symmetric(queries, tf.stop_gradient(candidates))
            + self._symmetric(
                items, tf.stop_gradient(self.two_tower.embed_query(batch["user_index"], batch["history"]))
            )
        )

    def _symmetric(self, views, compared):
        one, other = (tf.matmul(view, compared, transpose_b=True) / self.two_tower.temperature for view in views)
        counted = tf.ones_like(one, tf.bool)
        return tf.reduce_mean(0.5 * (divergence(one, other, counted) + divergence(other, one, counted)))


class WithPairs:
    """Adds drawn pairs, and drawn items of the catalogue, to batches of interactions, in tf.data.

    Args:
        pairs: what to draw from.
        history: `[n, length]` int32. The pairs' users' latest items.
        items: int. Number of items in the catalogue.
    """

    def __init__(self, pairs: ConfidentPairs, history: np.ndarray, items: int):
        self.count = len(pairs)
        self.items = items
        self.columns = {
            "pair_user": tf.constant(pairs.user_index, tf.int32),
            "pair_history": tf.constant(history, tf.int32),
            "pair_item": tf.constant(pairs.item_index, tf.int32),
            "pair_confidence": tf.constant(pairs.confidence, tf.float32),
        }

    def __call__(self, batch: dict) -> dict:
        seed = batch.pop("seed")
        shape = tf.shape(batch["item_index"])
        batch["any_item"] = 1 + self._draw(seed, 0, shape, self.items)
        if self.count:
            rows = self._draw(seed, 1, shape, self.count)
            batch.update({name: tf.gather(column, rows) for name, column in self.columns.items()})
        return batch

    def _draw(self, seed, draw, shape, count):
        # The largest uniform number times a large count may round up to the count itself.
        return tf.minimum(tf.cast(uniform(seed, draw, shape) * count, tf.int32), count - 1)


def pseudo_labels(
    model: TwoTower, prepared: Prepared, options: PseudoLabelsConfig, seed: int
) -> tuple[PseudoLabelsStage, Batches, list[np.ndarray]]:
    """The stage for a fitted model, its batches, and the arrays that its result depends on."""
    train = prepared.sequences()
    pairs = find_confident_pairs(model, prepared, options, seed)
    history = train.latest(pairs.user_index - 1)
    arrays = {
        "user_index": train.user_index,
        "history": train.before(np.arange(len(train))),
        "item_index": train.item_index,
    }
    moments = prepared.moments(train)
    if moments is not None:
        arrays["moment"] = moments
    change = WithPairs(pairs, history, len(prepared.data.items))
    stage = PseudoLabelsStage(model, options.weight, options.consistency, is_sure_of_any=len(pairs) > 0)
    sources = [*arrays.values(), pairs.user_index, pairs.item_index, pairs.confidence, history]
    sources += arrays_of(prepared.items, prepared.users)
    return stage, Batches(arrays, options.batch_size, seed, change), sources

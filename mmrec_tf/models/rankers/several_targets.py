"""What rankers of several targets share: their losses and how these add up, and what orders a list."""

from collections.abc import Mapping
from typing import Any

import tensorflow as tf
import tf_keras

from mmrec_tf.losses.uncertainty import UncertaintyWeighting
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.rankers.fields import Pairs, flattened, with_repeated
from mmrec_tf.models.rankers.target_head import TargetHead, joint_logits

_LEAST_CHANCE = 1e-30
"""Chances below it have one logarithm, which float32 still holds."""


class SeveralTargets(Ranker):
    """Learns what comes of a pair besides the click or the rating: a purchase, the time that is spent, stars.

    Rare targets learn from frequent ones, whose fields they share. The main target is that of every `Ranker`; each
    other target t has, for its network's output o_t, weights l of its own for all embeddings:

        y   = b + sum_f w_f + o(v_1, ..., v_F)                                 the main target
        y_t = centre_t + scale_t (sum_f l_tf . v_f + o_t(v_1, ..., v_F))       each other one; see `TargetHead`

    A target that comes `after` another one says how likely it is once the other has happened. It is learned from all
    rows, as one that happens with the other: with p = sigmoid(y_click) sigmoid(y_t), the loss is the log loss of p.
    Learned from the clicks alone, it would be known only for what is clicked, and not for what is to be shown.

    The losses are added up with weights that are learned (see `UncertaintyWeighting`) or fixed; each is the mean over
    the rows that say something of its target. `fit` logs each one, as `<target> loss`.

    A list is ordered by the main target, or by

        sum over targets t of x_t log p_t for what happens, + x_t y_t for numbers

    with the exponents x of `order_by`: the product of the calibrated chances to those powers. With a click and a
    purchase after it, each with exponent 1, it is the chance of both.

    A subclass implements `target_outputs`.

    Args:
        hidden: list of int. Widths of the layers, those that are shared first.
        dropout: float in [0, 1). After each of them. Defaults to 0.
        targets: dict of name -> dict with `kind`, `loss` (see `TargetHead`), `after` (name of a target, or None) and
            `weight` (float), all optional. None, the default, for the main target alone.
        weighting: `uncertainty` or `fixed`. Defaults to `uncertainty`.
        order_by: dict of target -> float. Defaults to None, the main target.

    Call arguments:
        inputs: as for `Ranker`. For training also `targets`, a dict of target -> dict of `label` and `weight` in the
            shape of `item_index`, float32. What has weight 0 is not known. The label of a target that comes after
            another is whether both happened.
        is_raw: bool. Give a dict of target -> what its loss judges instead, in the shape of `item_index`; of what comes
            after another target the logit once that has happened.

    Raises:
        ValueError: for an unknown weighting.

    References: Kendall, Gal and Cipolla, Multi-task learning using uncertainty to weigh losses (CVPR 2018), for the
    weights; Ma et al., Entire space multi-task model (SIGIR 2018), for what comes after a click.
    """

    def __init__(
        self,
        users,
        items,
        dim,
        hidden: list[int],
        dropout: float = 0.0,
        targets: Mapping[str, Mapping[str, Any]] | None = None,
        weighting: str = "uncertainty",
        order_by: Mapping[str, float] | None = None,
        **kwargs,
    ):
        super().__init__(users, items, dim, **kwargs)
        if weighting not in ("uncertainty", "fixed"):
            raise ValueError(f"weighting {weighting!r} is none. Allowed: uncertainty, fixed.")
        self.hidden = list(hidden)
        self.dropout = dropout
        self.targets = {name: {**_TARGET, **target} for name, target in (targets or {}).items()}
        self.weighting = weighting
        self.order_by = None if order_by is None else {name: float(power) for name, power in order_by.items()}
        self.target_heads = {
            name: TargetHead(target["kind"], target["loss"], self.calibration, name=f"head_{name}")
            for name, target in self.targets.items()
        }
        self.balance = None
        if self.targets:
            self.linear_of_item = tf_keras.layers.Dense(len(self.targets), use_bias=False, name="linear_of_item")
            self.linear_of_user = tf_keras.layers.Dense(len(self.targets), use_bias=False, name="linear_of_user")
            if weighting == "uncertainty":
                sorts = {self.target: "classification" if self.target == "click" else "regression"}
                sorts |= {name: head.sort for name, head in self.target_heads.items()}
                starts = {name: target["weight"] for name, target in self.targets.items()}
                self.balance = UncertaintyWeighting(sorts, starts, name="balance")
        names = self.target_names if self.targets else ()
        self.means = {name: tf_keras.metrics.Mean(name=f"{name} loss", dtype="float32") for name in names}

    @property
    def target_names(self) -> list[str]:
        """All targets, the main one first."""
        return [self.target, *self.targets]

    def target_outputs(self, pairs: Pairs, training: bool) -> dict[str, tf.Tensor]:
        """Target -> `[pairs]` float32: what the embeddings tell of it together."""
        raise NotImplementedError

    def interactions(self, pairs, training):
        return self.target_outputs(pairs, training)[self.target]

    def call(self, inputs, training=False, without=None, without_ids=None, vectors=None, rows=None, is_raw=False):
        pairs = self._pairs(inputs, training, without, without_ids, vectors, rows)
        outputs = self.target_outputs(pairs, training)
        raw = {self.target: self._raw(inputs, pairs, outputs[self.target], training)}
        if self.targets:
            shape = tf.shape(inputs["item_index"])
            linear = self.linear_of_item(flattened(pairs.item_vectors))
            linear = with_repeated(linear, self.linear_of_user(flattened(pairs.user_vectors)))
            for column, name in enumerate(self.targets):
                output = outputs[name] + tf.cast(linear[:, column], tf.float32)
                raw[name] = self.target_heads[name](tf.reshape(output, shape))
        return raw if is_raw else self.answer(raw, inputs)

    def judge(self, inputs, raw):
        losses = {self.target: super().judge(inputs, raw[self.target])}
        if not self.targets:
            return losses[self.target]
        counted = {self.target: tf.reduce_sum(inputs["weight"])}
        for name, head in self.target_heads.items():
            said = inputs["targets"][name]
            losses[name] = head.loss(self.joint(raw, name), said["label"], said["weight"])
            counted[name] = tf.reduce_sum(said["weight"])
        for name, mean in self.means.items():
            mean.update_state(losses[name], sample_weight=counted[name])
        if self.balance is not None:
            return self.balance(losses, counted={name: count > 0.0 for name, count in counted.items()})
        return losses[self.target] + tf.add_n(
            [self.targets[name]["weight"] * losses[name] for name in self.target_heads]
        )

    def mean_of(self, losses, weights):
        # Of several targets a row may say nothing of the main one; each is judged by the rows that do.
        if not self.targets:
            return super().mean_of(losses, weights)
        return tf.math.divide_no_nan(tf.reduce_sum(losses), tf.reduce_sum(weights))

    def joint(self, scores: dict[str, tf.Tensor], name: str) -> tf.Tensor:
        """The logit of a target and of all that it comes after, of `target_scores`; or the number."""
        after = self.targets[name]["after"] if name in self.targets else None
        return scores[name] if after is None else joint_logits(self.joint(scores, after), scores[name])

    def scores_of(self, raw):
        return {**raw, self.target: self._expected(raw[self.target])}

    def target_predictions(self, scores):
        own = {name: head.predictions(scores[name]) for name, head in self.target_heads.items()}
        return {self.target: self.predictions(scores[self.target]), **own}

    def order(self, scores):
        if self.order_by is None:
            return scores[self.target]
        said = self.target_predictions(scores)
        return tf.add_n(
            [
                power * (tf.math.log(tf.maximum(said[name], _LEAST_CHANCE)) if self._happens(name) else said[name])
                for name, power in self.order_by.items()
            ]
        )

    def start_from(self, levels: Mapping[str, tuple[float, float]]) -> None:
        """Takes the mean and the standard deviation of each target's training labels, before training.

        Args:
            levels: target -> (mean, standard deviation), of what comes after another target once that has happened.
        """
        for name, level in levels.items():
            self.target_heads[name].start_from(*level)

    def get_config(self):
        own = {
            "hidden": self.hidden,
            "dropout": self.dropout,
            "targets": {name: dict(target) for name, target in self.targets.items()},
            "weighting": self.weighting,
            "order_by": None if self.order_by is None else dict(self.order_by),
        }
        return {**super().get_config(), **own}

    def _happens(self, name):
        return (self.target if name == self.target else self.targets[name]["kind"]) == "click"


_TARGET = {"kind": "click", "loss": None, "after": None, "weight": 1.0}

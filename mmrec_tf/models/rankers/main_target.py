"""What a ranker learns and says of its main target: the loss, and what becomes of a score."""

import tensorflow as tf

from mmrec_tf.losses.float32_tasks import float32_tasks


class MainTarget:
    """The part of `Ranker` that judges scores and reads them, after they have been worked out.

    A score is what orders items; a prediction is the chance of a click or the rating that it stands for. Rankers of
    several targets answer with more than one of each.
    """

    order_by = None
    """Exponents of the targets where more than the main one orders a list."""

    def compute_loss(self, inputs, training=False):
        return self.loss_of(inputs, self(inputs, training=training, is_raw=True), training)

    def loss_of(self, inputs: dict, raw: tf.Tensor, training: bool) -> tf.Tensor:
        """The loss, a float32 scalar, of what the call with `is_raw` gives, with what holds the weights down."""
        loss = self.judge(inputs, raw)
        if training and self.embedding_l2:
            loss += self.embedding_l2 * self._squared_lengths(inputs)
        return loss

    def judge(self, inputs: dict, raw: tf.Tensor) -> tf.Tensor:
        """The loss, a float32 scalar, of what the call with `is_raw` gives."""
        labels, weights = inputs["label"], inputs["weight"]
        if self.judges_groups:
            # A pair without company is a group of one.
            labels, raw, weights = (x if x.shape.rank == 2 else x[:, None] for x in (labels, raw, weights))
        else:
            columns = 1 if self.thresholds is None else len(self.levels) - 1
            labels, raw, weights = (
                tf.reshape(labels, [-1, 1]),
                tf.reshape(raw, [-1, columns]),
                tf.reshape(weights, [-1]),
            )
        with float32_tasks():
            losses = self.task(labels=labels, predictions=raw, sample_weight=weights)
        return losses if self.judges_groups else self.mean_of(losses, weights)

    def mean_of(self, losses: tf.Tensor, weights: tf.Tensor) -> tf.Tensor:
        """A float32 scalar of `[pairs]` weighted losses: their mean over all pairs, whatever their weights."""
        return tf.math.divide_no_nan(tf.reduce_sum(losses), tf.cast(tf.size(losses), losses.dtype))

    def target_scores(self, inputs: dict, **options) -> dict[str, tf.Tensor]:
        """Each target's score by name, the main one first, without similarity: a click's logit, or a rating.

        Args:
            inputs, options: call arguments.
        """
        return self.scores_of(self(inputs, is_raw=True, **options))

    def scores_of(self, raw: tf.Tensor) -> dict[str, tf.Tensor]:
        """Target -> score, of what the call with `is_raw` gives."""
        return {self.target: self._expected(raw)}

    def answer(self, raw: tf.Tensor, inputs: dict) -> tf.Tensor:
        """What the call gives, of what it gives with `is_raw`."""
        return self._with_similarity(self.order(self.scores_of(raw)), inputs)

    def target_predictions(self, scores: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """What `target_scores` say: chances, calibrated where there is a calibration, and numbers."""
        return {self.target: self.predictions(scores[self.target])}

    def predictions(self, scores: tf.Tensor) -> tf.Tensor:
        """What scores of the main target say, in their shape: the chance of a click, or the rating."""
        return scores if self.calibrator is None else self.calibrator(scores)

    def order(self, scores: dict[str, tf.Tensor]) -> tf.Tensor:
        """What lists are ordered by, of `target_scores`."""
        return scores[self.target]

    def _expected(self, raw):
        return raw if self.thresholds is None else self.thresholds.expected(raw)

    def _with_similarity(self, scores, inputs):
        return scores + self.similarity_weight * inputs["similarity"] if "similarity" in inputs else scores

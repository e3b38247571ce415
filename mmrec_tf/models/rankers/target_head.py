"""One of several targets of a ranker: from the output of its network to logit or number, loss and chance."""

import math

import tensorflow as tf
import tf_keras

from mmrec_tf.models.calibrators import build_calibrator


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class TargetTower(tf_keras.layers.Layer):
    """What one target makes of the layers that it shares with others: a multilayer perceptron.

    Args:
        hidden: list of int. Widths of its hidden layers, relu behind each; none for a linear output.
        dropout: float in [0, 1). Before each layer. Defaults to 0.

    Call arguments:
        inputs: `[rows, width]` float tensor.
        training: bool.

    Returns:
        `[rows]` float32 tensor.
    """

    def __init__(self, hidden: list[int], dropout: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.hidden = list(hidden)
        self.dropout = dropout
        self.layers = [tf_keras.layers.Dense(width, activation="relu") for width in self.hidden]
        self.score = tf_keras.layers.Dense(1, dtype="float32", name="score")
        self.drop = tf_keras.layers.Dropout(dropout)

    def call(self, inputs, training=False):
        output = self.drop(inputs, training=training)
        for layer in self.layers:
            output = self.drop(layer(output), training=training)
        return self.score(output)[:, 0]

    def get_config(self):
        return {**super().get_config(), "hidden": self.hidden, "dropout": self.dropout}


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class TargetHead(tf_keras.layers.Layer):
    """Reads the output of a target's network: as the logit of what happens or not, or as a number.

        raw = centre + scale * output

    Centre and scale are those of the training labels (of what happens the logit of how often it does, and 1), so that
    training starts from what is true on average, and a number's loss is the same for stars and for percents. They are
    no part of the training.

    Args:
        kind: `click` or `rating`. Defaults to `click`.
        loss: `log_loss`, or of ratings `mse` or `huber`, which is linear beyond one standard deviation. None, the
            default, for the first that fits.
        calibration: str. Of clicks; see `build_calibrator`. Defaults to `none`.

    Call arguments:
        outputs: float tensor of any shape.

    Returns:
        float32 tensor of the same shape.

    Raises:
        ValueError: for an unknown kind or loss.
    """

    def __init__(self, kind: str = "click", loss: str | None = None, calibration: str = "none", **kwargs):
        super().__init__(**{"autocast": False, **kwargs})
        if kind not in _LOSSES:
            raise ValueError(f"a target is of kind {kind!r}; allowed: {', '.join(_LOSSES)}.")
        self.kind = kind
        self.loss_name = _LOSSES[kind][0] if loss is None else loss
        if self.loss_name not in _LOSSES[kind]:
            raise ValueError(f"loss {loss!r} is none for the kind {kind}. Allowed: {', '.join(_LOSSES[kind])}.")
        self.calibration = calibration
        self.calibrator = build_calibrator(calibration) if kind == "click" else None
        fixed = {"shape": [], "dtype": "float32", "trainable": False, "experimental_autocast": False}
        self.centre = self.add_weight(name="centre", initializer="zeros", **fixed)
        self.scale = self.add_weight(name="scale", initializer="ones", **fixed)

    @property
    def sort(self) -> str:
        """Of the loss, as `UncertaintyWeighting` takes it."""
        return "classification" if self.kind == "click" else "regression"

    def call(self, outputs):
        return self.centre + self.scale * tf.cast(outputs, tf.float32)

    def loss(self, raw: tf.Tensor, label: tf.Tensor, weight: tf.Tensor) -> tf.Tensor:
        """The mean loss over what has a weight, 0 where nothing does: a float32 scalar.

        Args:
            raw: what the call gives, or another logit that is to be judged.
            label, weight: float32 in its shape; the label of what has weight 0 is any finite number.
        """
        if self.kind == "click":
            values = tf.nn.sigmoid_cross_entropy_with_logits(labels=label, logits=raw)
        else:
            distance = tf.abs(raw - label) / self.scale
            values = tf.square(distance)
            if self.loss_name == "huber":
                values = tf.where(distance <= 1.0, 0.5 * values, distance - 0.5)
        return tf.math.divide_no_nan(tf.reduce_sum(weight * values), tf.reduce_sum(weight))

    def predictions(self, scores: tf.Tensor) -> tf.Tensor:
        """What scores say, in their shape: the chance, or the number."""
        return scores if self.calibrator is None else self.calibrator(scores)

    def start_from(self, mean: float, spread: float) -> None:
        """Sets centre and scale by the mean and the standard deviation of the training labels."""
        if self.kind == "click":
            self.centre.assign(math.log(mean / (1.0 - mean)))
        else:
            self.centre.assign(mean)
            self.scale.assign(spread)

    def get_config(self):
        own = {"kind": self.kind, "loss": self.loss_name, "calibration": self.calibration}
        return {**super().get_config(), **own}


def joint_logits(one: tf.Tensor, other: tf.Tensor) -> tf.Tensor:
    """The logit of two things happening, of the logits of the one and of the other once the one has happened.

        p = sigmoid(a) sigmoid(b),   log p / (1 - p) = -log(e^-a + e^-b + e^-(a + b))

    Written so, neither a product near 0 nor a rest near 0 loses its digits.

    Args:
        one, other: float32 tensors of the same shape.

    Returns:
        float32 tensor of that shape.
    """
    return -tf.reduce_logsumexp(tf.stack([-one, -other, -(one + other)]), axis=0)


_LOSSES = {"click": ("log_loss",), "rating": ("mse", "huber")}

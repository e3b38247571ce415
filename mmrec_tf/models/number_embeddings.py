"""A number as an embedding: on a line, by waves, by pieces of a line, or by buckets."""

from statistics import NormalDist

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.errors import ConfigError, suggestion


class NumberEmbedding(tf_keras.layers.Layer):
    """Embeds one number of each row.

    A subclass implements `encode(value)`, which tells a number that is there by as many columns as it likes. These and
    a column that says whether the number is there are mapped by one matrix, whose last row is the presence:

        z = [present * encode(x); present] W

    so that a missing number is told apart from any value, and is embedded by zeros.

    Args:
        dim: int. Width of the embedding.
        stddev: float. Of the normal distribution that W starts from, where embeddings meet in products and those of
            numbers must not begin larger than the others; None, the default, for Glorot's uniform one.

    Call arguments:
        numbers: `[..., 2]` float tensor: the standardised value, 0 where it is missing, and whether it is there.

    Returns:
        `[..., dim]` float tensor.
    """

    def __init__(self, dim: int, stddev: float | None = None, **kwargs):
        super().__init__(**kwargs)
        self.dim = dim
        self.stddev = stddev

    @property
    def columns(self) -> int:
        """How many columns `encode` gives."""
        raise NotImplementedError

    def encode(self, value: tf.Tensor) -> tf.Tensor:
        """`[..., columns]` of `[..., 1]` float32 values."""
        raise NotImplementedError

    def build(self, input_shape):
        start = "glorot_uniform" if self.stddev is None else tf_keras.initializers.RandomNormal(stddev=self.stddev)
        self.kernel = self.add_weight(name="kernel", shape=[self.columns + 1, self.dim], initializer=start)
        super().build(input_shape)

    def call(self, numbers):
        numbers = tf.cast(numbers, tf.float32)
        value, present = numbers[..., :1], numbers[..., 1:]
        told = tf.concat([self.encode(value) * present, present], axis=-1)
        return tf.matmul(tf.cast(told, self.compute_dtype), self.kernel)

    def get_config(self):
        return {**super().get_config(), "dim": self.dim, "stddev": self.stddev}


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class LinearNumber(NumberEmbedding):
    """A number scales a learned direction: encode(x) = x.

    See `NumberEmbedding` for arguments and shapes.
    """

    columns = 1

    def encode(self, value):
        return value


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class PeriodicNumber(NumberEmbedding):
    """Waves of learned frequencies, by which a model that is linear in them can follow any smooth curve.

        encode(x) = [sin(2 pi c_1 x), cos(2 pi c_1 x), ...]   (the sines first)

    Args:
        frequencies: int. Waves. Defaults to 16.
        scale: float. Standard deviation of the frequencies at the start, in waves per standard deviation of the number.
            Defaults to 0.1, where a wave spans the range of most values.

    See `NumberEmbedding` for the other arguments and shapes.

    Reference: Gorishniy et al., On embeddings for numerical features in tabular deep learning (NeurIPS 2022).
    """

    def __init__(self, dim: int, frequencies: int = 16, scale: float = 0.1, **kwargs):
        super().__init__(dim=dim, **kwargs)
        self.frequencies = frequencies
        self.scale = scale

    @property
    def columns(self):
        return 2 * self.frequencies

    def build(self, input_shape):
        self.waves = self.add_weight(
            name="waves",
            shape=[self.frequencies],
            initializer=tf_keras.initializers.RandomNormal(stddev=self.scale),
            # A phase in half precision is off by a good part of a wave.
            experimental_autocast=False,
        )
        super().build(input_shape)

    def encode(self, value):
        phase = 2.0 * np.pi * value * self.waves
        return tf.concat([tf.sin(phase), tf.cos(phase)], axis=-1)

    def get_config(self):
        return {**super().get_config(), "frequencies": self.frequencies, "scale": self.scale}


class BinnedNumber(NumberEmbedding):
    """What needs to know where the values lie.

    Args:
        edges: list of float, rising. Edges of the bins, the first bin's lower and the last bin's upper one included.

    See `NumberEmbedding` for the other arguments and shapes.

    Raises:
        ValueError: for fewer than two edges, or edges that do not rise.
    """

    def __init__(self, dim: int, edges: list[float], **kwargs):
        super().__init__(dim=dim, **kwargs)
        if len(edges) < 2 or any(not low < high for low, high in zip(edges, edges[1:])):
            raise ValueError(f"edges must be two or more rising numbers, got {edges}.")
        self.edges = [float(edge) for edge in edges]

    @property
    def columns(self):
        return len(self.edges) - 1

    def get_config(self):
        return {**super().get_config(), "edges": self.edges}


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class PiecewiseLinearNumber(BinnedNumber):
    """How far a number has come through each bin: with it a model is linear within bins and bends at their edges.

        encode(x)_t = clip((x - e_t) / (e_(t+1) - e_t), 0, 1)

    where the first bin goes on below and the last one above, so that values beyond the edges are told apart too.

    See `BinnedNumber` for arguments and shapes.

    Reference: Gorishniy et al., On embeddings for numerical features in tabular deep learning (NeurIPS 2022).
    """

    def encode(self, value):
        edges = np.asarray(self.edges, np.float32)
        # One bin is a straight line, which is bounded on neither side.
        lowest = np.array([-np.inf] + [0.0] * (self.columns - 1), np.float32)
        highest = np.array([1.0] * (self.columns - 1) + [np.inf], np.float32)
        return tf.clip_by_value((value - edges[:-1]) / (edges[1:] - edges[:-1]), lowest, highest)


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class BucketisedNumber(BinnedNumber):
    """One embedding for each bin: encode(x)_t is 1 for the bin that x lies in, and 0 for the others.

    A value on an edge belongs to the bin above it; values beyond the edges belong to the first and the last bin.

    See `BinnedNumber` for arguments and shapes.
    """

    def encode(self, value):
        inner = np.asarray(self.edges[1:-1], np.float32)
        place = tf.reduce_sum(tf.cast(value >= inner, tf.int32), axis=-1)
        return tf.one_hot(place, self.columns)


_EMBEDDINGS: dict[str, type[NumberEmbedding]] = {
    "linear": LinearNumber,
    "periodic": PeriodicNumber,
    "piecewise_linear": PiecewiseLinearNumber,
    "bucketised": BucketisedNumber,
}


def build_number_embedding(kind: str, dim: int, edges: list[float] | None = None, **options) -> NumberEmbedding:
    """The embedding of that kind.

    Args:
        kind: `linear`, `periodic`, `piecewise_linear` or `bucketised`.
        dim: int. Width of the embedding.
        edges: of the bins; where they are not known, those that cut a standard normal into `DEFAULT_BINS` equal shares.
        options: further arguments of the layer, such as `stddev` and `name`.

    Raises:
        ConfigError: for an unknown kind, with the nearest known one.
    """
    if kind not in _EMBEDDINGS:
        raise ConfigError(
            f"models.ranking.number_embedding {kind!r} is unknown.{suggestion(kind, _EMBEDDINGS)} "
            f"Allowed: {', '.join(_EMBEDDINGS)}."
        )
    embedding = _EMBEDDINGS[kind]
    if issubclass(embedding, BinnedNumber):
        options["edges"] = normal_edges(DEFAULT_BINS) if edges is None else edges
    return embedding(dim=dim, **options)


DEFAULT_BINS = 8


def normal_edges(bins: int) -> list[float]:
    """Edges that cut a standard normal into equal shares; the outer ones lie where the 1 and 99 % quantiles are."""
    inner = [NormalDist().inv_cdf(place / bins) for place in range(1, bins)]
    return [NormalDist().inv_cdf(0.01), *inner, NormalDist().inv_cdf(0.99)]


def quantile_edges(numbers: np.ndarray, bins: int) -> list[float] | None:
    """Edges that cut the values that are there into equal shares.

    Args:
        numbers: `[n, 2]` float: value and presence.
        bins: int. The most bins; ties make them fewer.

    Returns:
        The edges, or None where fewer than two values differ.
    """
    values = numbers[numbers[:, 1] > 0.0, 0]
    if not len(values):
        return None
    edges = np.unique(np.quantile(values.astype(np.float64), np.linspace(0.0, 1.0, bins + 1)))
    return None if len(edges) < 2 else edges.tolist()

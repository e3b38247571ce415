"""BERT's encoder in plain Keras, with weights from a Hugging Face state dict."""

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.encoders.adapters import ADAPTERS, Bottleneck, LoraDense

_MASKED = -1e9


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class BertBlock(tf_keras.layers.Layer):
    """One block of a transformer encoder: self-attention, then two dense layers, each added and normalised.

    Args:
        width: int. Of the vectors.
        heads: int. Of the attention; they share the width.
        inner_width: int. Of the first dense layer.
        dropout: float in [0, 1). Of attention weights and of both parts' outputs. Defaults to 0.1.
        epsilon: float. Added to the variance in the normalisation. Defaults to 1e-12.
        adapter: str. `lora` in every dense layer, or a `bottleneck` behind the block, for tuning; None without.
        rank: int. Of the adapters. Defaults to 8.

    Call arguments:
        vectors: `[batch, length, width]`.
        bias: `[batch, 1, 1, length]` float32, added to the attention scores: about minus infinity at the padding.
        seed: `[2]` int32, of the dropout; drawn when None. Given the same one, the block drops the same.

    Returns:
        `[batch, length, width]`.

    Reference: Devlin et al., BERT (2019)
    """

    def __init__(
        self, width, heads, inner_width, dropout=0.1, epsilon=1e-12, adapter: str | None = None, rank=8, **kwargs
    ):
        super().__init__(**kwargs)
        if width % heads:
            raise ValueError(f"{heads} heads cannot share a width of {width}.")
        if adapter not in (None, *ADAPTERS):
            raise ValueError(f"adapter {adapter!r} is unknown. Allowed: {', '.join(ADAPTERS)}, or None.")
        self.width, self.heads, self.inner_width = width, heads, inner_width
        self.dropout, self.epsilon = dropout, epsilon
        self.adapter, self.rank = adapter, rank
        self.query, self.key, self.value, self.attended = (
            self._dense(width, name) for name in ("query", "key", "value", "attended")
        )
        self.attention_norm, self.output_norm = (
            tf_keras.layers.LayerNormalization(epsilon=epsilon, dtype=self.dtype_policy, name=name)
            for name in ("attention_norm", "output_norm")
        )
        # The exact function: published weights were trained with it, not with the tanh approximation.
        self.inner = self._dense(inner_width, "inner", activation=tf.nn.gelu)
        self.outer = self._dense(width, "outer")
        if adapter == "bottleneck":
            self.bottleneck = Bottleneck(rank, dtype=self.dtype_policy, name="bottleneck")

    def call(self, vectors, bias, training=False, seed=None):
        drop = _dropout(self.dropout if training else 0.0, seed)
        query, key, value = (self._by_head(layer(vectors)) for layer in (self.query, self.key, self.value))
        scores = tf.matmul(query, key, transpose_b=True) * (self.width // self.heads) ** -0.5
        # In half precision the padding's bias would overflow.
        weights = tf.cast(tf.nn.softmax(tf.cast(scores, tf.float32) + bias), value.dtype)
        weights = drop(weights)
        heard = tf.reshape(tf.transpose(tf.matmul(weights, value), [0, 2, 1, 3]), tf.shape(vectors))
        vectors = self.attention_norm(vectors + drop(self.attended(heard)))
        vectors = self.output_norm(vectors + drop(self.outer(self.inner(vectors))))
        return self.bottleneck(vectors) if self.adapter == "bottleneck" else vectors

    def _by_head(self, vectors):
        batch, length = tf.unstack(tf.shape(vectors)[:2])
        split = tf.reshape(vectors, [batch, length, self.heads, self.width // self.heads])
        return tf.transpose(split, [0, 2, 1, 3])

    def _dense(self, units, name, activation=None):
        rank = self.rank if self.adapter == "lora" else 0
        return LoraDense(units, rank, activation=activation, dtype=self.dtype_policy, name=name)

    def get_config(self):
        names = ("width", "heads", "inner_width", "dropout", "epsilon", "adapter", "rank")
        return {**super().get_config(), **{name: getattr(self, name) for name in names}}


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class BertEncoder(tf_keras.layers.Layer):
    """Token ids into one vector per token.

    Args:
        vocabulary_size: int. Number of word pieces.
        positions: int. Longest sequence.
        width, heads, inner_width, dropout, epsilon, adapter, rank: of the blocks; see `BertBlock`.
        blocks: int. How many.
        checkpointing: bool. In training, work out each block again for its gradients instead of keeping what it has
            computed: less memory for more time. Defaults to False.

    Call arguments:
        ids: `[batch, length]` int32.
        mask: `[batch, length]`, 1 for a token, 0 for padding.

    Returns:
        `[batch, length, width]`.
    """

    def __init__(
        self,
        vocabulary_size,
        positions,
        width,
        heads,
        inner_width,
        blocks,
        dropout=0.1,
        epsilon=1e-12,
        adapter: str | None = None,
        rank=8,
        checkpointing=False,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.vocabulary_size, self.positions, self.width, self.heads = vocabulary_size, positions, width, heads
        self.inner_width, self.dropout, self.epsilon = inner_width, dropout, epsilon
        self.adapter, self.rank, self.checkpointing = adapter, rank, checkpointing
        self.words, self.places, self.segments = (
            tf_keras.layers.Embedding(size, width, dtype=self.dtype_policy, name=name)
            for size, name in ((vocabulary_size, "words"), (positions, "places"), (2, "segments"))
        )
        self.norm = tf_keras.layers.LayerNormalization(epsilon=epsilon, dtype=self.dtype_policy, name="norm")
        self.blocks = [
            BertBlock(
                width,
                heads,
                inner_width,
                dropout,
                epsilon,
                adapter,
                rank,
                dtype=self.dtype_policy,
                name=f"block_{number}",
            )
            for number in range(blocks)
        ]

    def call(self, ids, mask, training=False):
        places = self.places(tf.range(tf.shape(ids)[1]))[tf.newaxis]
        # A single text is all of segment 0.
        vectors = self.words(ids) + places + self.segments(tf.zeros([1, 1], tf.int32))
        vectors = _dropout(self.dropout if training else 0.0)(self.norm(vectors))
        bias = (1.0 - tf.cast(mask, tf.float32))[:, tf.newaxis, tf.newaxis, :] * _MASKED
        for block in self.blocks:
            vectors = (
                self._kept_small(block, vectors, bias)
                if training and self.checkpointing
                else block(vectors, bias, training=training)
            )
        return vectors

    def _kept_small(self, block, vectors, bias):
        # Drawn outside: worked out again, the block must drop what it dropped the first time.
        seed = _random_seed() if self.dropout else None
        if not block.built:
            block(vectors, bias)
        return tf.recompute_grad(lambda given: block(given, bias, training=True, seed=seed))(vectors)

    def load_hugging_face(self, state: dict[str, np.ndarray]) -> None:
        """Sets all weights from a state dict of Hugging Face's `BertModel`; its pooling layer is not needed.

        Raises:
            KeyError: if a tensor is missing.
            ValueError: if one has another shape.
        """
        self(tf.zeros([1, 1], tf.int32), tf.ones([1, 1], tf.int32))

        def dense(layer, name):
            layer.set_weights([state[f"{name}.weight"].T, state[f"{name}.bias"]])

        def norm(layer, name):
            layer.set_weights([state[f"{name}.weight"], state[f"{name}.bias"]])

        self.words.set_weights([state["embeddings.word_embeddings.weight"]])
        self.places.set_weights([state["embeddings.position_embeddings.weight"]])
        self.segments.set_weights([state["embeddings.token_type_embeddings.weight"]])
        norm(self.norm, "embeddings.LayerNorm")
        for number, block in enumerate(self.blocks):
            prefix = f"encoder.layer.{number}"
            dense(block.query, f"{prefix}.attention.self.query")
            dense(block.key, f"{prefix}.attention.self.key")
            dense(block.value, f"{prefix}.attention.self.value")
            dense(block.attended, f"{prefix}.attention.output.dense")
            norm(block.attention_norm, f"{prefix}.attention.output.LayerNorm")
            dense(block.inner, f"{prefix}.intermediate.dense")
            dense(block.outer, f"{prefix}.output.dense")
            norm(block.output_norm, f"{prefix}.output.LayerNorm")

    def get_config(self):
        names = ("vocabulary_size", "positions", "width", "heads", "inner_width", "dropout", "epsilon")
        names += ("adapter", "rank", "checkpointing")
        return {
            **super().get_config(),
            **{name: getattr(self, name) for name in names},
            "blocks": len(self.blocks),
        }


def _random_seed() -> tf.Tensor:
    return tf.random.uniform([2], maxval=tf.int32.max, dtype=tf.int32)


def _dropout(rate: float, seed: tf.Tensor | None = None):
    """A function that drops out, each time it is called something else, all of it decided by the seed."""
    if not rate:
        return lambda values: values
    seed = _random_seed() if seed is None else seed
    calls = iter(range(1 << 30))
    return lambda values: tf.nn.experimental.stateless_dropout(values, rate, seed + next(calls))

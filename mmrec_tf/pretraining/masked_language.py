"""Masked-language modelling: a text encoder reads the catalogue before it embeds it."""

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.config_pretraining import MaskedLanguageConfig
from mmrec_tf.encoders.adapters import own_weights
from mmrec_tf.encoders.base import Encoder
from mmrec_tf.encoders.pretrained.bert import BertEncoder
from mmrec_tf.errors import DataError, EncoderError
from mmrec_tf.pretraining.batches import Batches
from mmrec_tf.pretraining.objectives import masked_mean
from mmrec_tf.pretraining.stage_model import StageModel
from mmrec_tf.pretraining.token_masking import HiddenWords, token_ids, vocabulary_of


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class MaskedLanguageHead(tf_keras.layers.Layer):
    """Which word piece stands behind a vector: a dense layer, and the word embeddings as the last one's weights.

        logits = E LayerNorm(gelu(W h + c)) + b

    Args:
        width: int. Of the vectors.
        vocabulary_size: int. Number of word pieces.

    Call arguments:
        vectors: `[..., width]`.
        embeddings: `[vocabulary_size, width]`, E; those that the network reads with, so that little is new.

    Returns:
        `[..., vocabulary_size]` float32.

    Reference: Devlin et al., BERT (2019).
    """

    def __init__(self, width: int, vocabulary_size: int, **kwargs):
        super().__init__(**kwargs)
        self.width = width
        self.vocabulary_size = vocabulary_size
        self.dense = tf_keras.layers.Dense(width, activation=tf.nn.gelu, name="dense")
        self.norm = tf_keras.layers.LayerNormalization(epsilon=1e-12, dtype="float32", name="norm")

    def build(self, input_shape):
        self.bias = self.add_weight(name="bias", shape=[self.vocabulary_size], dtype="float32", initializer="zeros")
        super().build(input_shape)

    def call(self, vectors, embeddings):
        hidden = self.norm(tf.cast(self.dense(vectors), tf.float32))
        logits = tf.einsum("...d,vd->...v", hidden, tf.cast(embeddings, tf.float32))
        return logits + tf.cast(self.bias, tf.float32)

    def get_config(self):
        return {**super().get_config(), "width": self.width, "vocabulary_size": self.vocabulary_size}


class MaskedLanguageStage(StageModel):
    """Trains a network of BERT's kind to find hidden word pieces by what stands around them.

    A published encoder has read the web; a catalogue has words, and ways of putting them, of its own. Its texts are at
    hand without a label, those of new items too. The loss is the cross entropy of the hidden word pieces.

    Args:
        network: `BertEncoder`. All its weights learn but those of adapters, which are there for tuning.

    Call arguments:
        batch: dict as `HiddenWords` gives it.

    Returns:
        dict with `loss`, whose exponential is the perplexity, and `accuracy`, the share of hidden word pieces found.

    Reference: Devlin et al., BERT (2019); Gururangan et al., Don't stop pretraining (ACL 2020), for doing it again.
    """

    reported = ("loss", "accuracy")
    draws_in_layers = True

    def __init__(self, network: BertEncoder, **kwargs):
        super().__init__(**kwargs)
        self.network = network
        self.head = MaskedLanguageHead(network.width, network.vocabulary_size, dtype=network.dtype_policy)

    @property
    def trainable_weights(self):
        return own_weights(super().trainable_weights)

    def objective(self, batch, training):
        vectors = self.network(batch["ids"], batch["mask"], training=training)
        asked = tf.gather(vectors, batch["positions"], batch_dims=1)
        logits = self.head(asked, self.network.words.embeddings)
        losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels=batch["labels"], logits=logits)
        hits = tf.cast(tf.argmax(logits, axis=-1, output_type=tf.int32) == batch["labels"], tf.float32)
        return {"loss": masked_mean(losses, batch["weights"]), "accuracy": masked_mean(hits, batch["weights"])}


def masked_language(
    encoder: Encoder, texts: list[str], options: MaskedLanguageConfig, seed: int
) -> tuple[MaskedLanguageStage, Batches, list[np.ndarray]]:
    """The stage for an encoder, its batches, and the arrays that its result depends on.

    Args:
        encoder: one whose `prepare` gives `ids` with `lengths` or a `mask`, whose `network` is a `BertEncoder`, and
            whose word pieces are its `vocabulary` or lie beside its built module.
        texts: as `encoder.decode` gives them.
        options: the stage's settings.
        seed: int.

    Raises:
        EncoderError: if the encoder is of another kind.
        DataError: if no text has a word.
    """
    network = getattr(encoder, "network", None)
    if not isinstance(network, BertEncoder):
        raise EncoderError(
            f"masked_language needs an encoder around a BERT network, got {type(encoder).__name__}. Set the feature's "
            "encoder to minilm, or take the stage out of pretraining."
        )
    vocabulary = vocabulary_of(encoder)
    if not texts:
        raise DataError("masked_language has no text to read: the feature is empty in every item.")
    ids, lengths = token_ids(encoder, texts)
    hidden = HiddenWords(ids, lengths, vocabulary, options.share)
    readable = hidden.wanted > 0
    if not readable.any():
        raise DataError(f"masked_language found no word in {len(texts)} texts. Take the stage out of pretraining.")
    arrays = {"ids": ids[readable], "lengths": lengths[readable], "wanted": hidden.wanted[readable]}
    most = options.max_steps // options.epochs if options.max_steps else None
    batches = Batches(arrays, options.batch_size, seed, change=hidden, most=most)
    return MaskedLanguageStage(network), batches, list(arrays.values())

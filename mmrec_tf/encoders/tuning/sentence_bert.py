"""A sentence encoder of BERT's kind as a network of layers, to be tuned."""

from pathlib import Path

import tensorflow as tf
import tf_keras

from mmrec_tf.config_encoders import CleaningConfig
from mmrec_tf.encoders.pretrained.bert import BertEncoder
from mmrec_tf.encoders.pretrained.minilm import MAX_TOKENS, WordPieces, mean_of_tokens, read_network
from mmrec_tf.encoders.readers import TextReader
from mmrec_tf.encoders.tuning.network import NetworkEncoder, layer_weights


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class SentenceBertEncoder(NetworkEncoder):
    """Turns text into a vector as the module `minilm` does, with a network whose layers can learn.

    Splitting into word pieces is done in `prepare`, so that a training step computes with numbers alone.

    Args:
        handle, adapter, rank, checkpointing, batch_size: see `NetworkEncoder`.
        max_tokens: int. Word pieces of a text that are read, with its two marks; 256, the published number, when None.
        clean: what is done to a text first, as in the configuration; nothing by default.

    Call arguments:
        batch: `[batch]` string tensor, UTF-8.

    Returns:
        `[batch, width]` float32 tensor.

    Raises:
        EncoderError: if the directory holds no module of this kind.

    Reference: Reimers and Gurevych, Sentence-BERT (2019)
    """

    modality = "text"

    def __init__(
        self,
        handle: str,
        max_tokens: int | None = None,
        clean: CleaningConfig | dict | None = None,
        adapter: str | None = None,
        rank: int = 8,
        checkpointing: bool = False,
        batch_size: int = 64,
        **kwargs,
    ):
        super().__init__(handle, adapter, rank, checkpointing, batch_size, **kwargs)
        self.reader = TextReader(clean)
        try:
            config, vocabulary = read_network(Path(self.handle))
            # The module itself has no adapters, whatever this one is to have.
            changed = {"adapter": adapter, "rank": rank, "checkpointing": checkpointing, "dtype": self.dtype_policy}
            self.network = BertEncoder.from_config({**config, **changed})
        except (OSError, ValueError, TypeError) as error:
            raise self._other_module(f"{error}.") from error
        self.max_tokens = max_tokens or min(MAX_TOKENS, config["positions"])
        if self.max_tokens > config["positions"]:
            raise self._other_module(f"it reads {config['positions']} word pieces, not `max_tokens` {max_tokens}.")
        self.dim = config["width"]
        self._tokens = WordPieces(vocabulary, self.max_tokens)
        self.network(tf.zeros([1, 1], tf.int32), tf.ones([1, 1], tf.int32))
        self.load_module_weights()

    def prepare(self, batch, static_shape=False):
        """`[batch]` strings -> `ids` `[batch, tokens]`, filled up with 0, and `lengths` `[batch]`, int32."""
        ids = self._tokens(self.reader.prepare(batch))
        shape = [batch.shape[0], self.max_tokens if static_shape else None]
        lengths = tf.ensure_shape(tf.cast(ids.row_lengths(), tf.int32), shape[:1])
        return {"ids": tf.ensure_shape(ids.to_tensor(shape=[None, shape[1]]), shape), "lengths": lengths}

    def encode(self, prepared, training=False):
        ids = prepared["ids"]
        mask = tf.sequence_mask(prepared["lengths"], tf.shape(ids)[1], tf.float32)
        vectors = mean_of_tokens(self.network(ids, mask, training=training), mask)
        return tf.ensure_shape(vectors, [None, self.dim])

    def tuning_blocks(self):
        network = self.network
        below = layer_weights([network.words, network.places, network.segments, network.norm])
        return [("embeddings", below), *((block.name, layer_weights([block])) for block in network.blocks)]

    def get_config(self):
        return {**super().get_config(), "max_tokens": self.max_tokens, **self.reader.get_config()}

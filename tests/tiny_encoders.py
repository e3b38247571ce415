"""Pretrained encoders of a few numbers: modules as `build_pretrained` writes them, with random weights."""

from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.encoders.pretrained.bert import BertEncoder
from mmrec_tf.encoders.pretrained.efficientnet_lite import ImageFeatures, LiteShape, efficientnet_lite
from mmrec_tf.encoders.pretrained.minilm import SentenceEncoder, write_network

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "a", "tale", "of", "the", "##s", *(f"word{n}" for n in range(40))]
WIDTH, BLOCKS = 32, 3
IMAGE_SIZE, FEATURES = 16, 24


def make_text_network(folder: Path, dropout: float = 0.0) -> Path:
    """What the layers of `make_text_module` are read from, without the module's graph, which takes longer to write."""
    network = text_network(dropout)
    folder.mkdir(parents=True)
    tf.train.Checkpoint(variables=list(network.variables)).write(str(folder / "variables" / "variables"))
    write_network(folder, network, WORDS)
    return folder


def make_text_module(folder: Path) -> Path:
    """A MiniLM of 3 blocks and 49 word pieces: `word0` to `word39`, and a few words that say nothing."""
    network = text_network()
    folder.mkdir(parents=True)
    SentenceEncoder(network, WORDS, max_tokens=16).save(folder, tf.TensorSpec([None], tf.string, "texts"))
    write_network(folder, network, WORDS)
    return folder


def text_network(dropout: float = 0.0) -> BertEncoder:
    # Else each process would test an encoder of its own.
    tf_keras.utils.set_random_seed(0)
    network = BertEncoder(
        len(WORDS), 24, WIDTH, heads=2, inner_width=48, blocks=BLOCKS, dropout=dropout, dtype="float32", name="bert"
    )
    network(tf.zeros([1, 1], tf.int32), tf.ones([1, 1]))
    _randomise(network, 0.05)
    return network


def make_image_module(folder: Path) -> Path:
    """An EfficientNet-Lite of 4 blocks for images of 16 pixels."""
    shape = LiteShape(
        stages=((1, 3, 1, 1, 8), (2, 3, 2, 2, 16), (1, 5, 1, 2, 16)), stem=8, features=FEATURES, image_size=IMAGE_SIZE
    )
    tf_keras.utils.set_random_seed(0)
    network = efficientnet_lite(shape)
    _randomise(network, 0.1)
    folder.mkdir(parents=True)
    ImageFeatures(network).save(folder, tf.TensorSpec([None, IMAGE_SIZE, IMAGE_SIZE, 3], tf.float32, "images"))
    shape.save(folder)
    return folder


def _randomise(network, scale: float) -> None:
    """Adds noise, so that no two weights are alike; variances stay positive."""
    random = np.random.default_rng(0)
    for weight in network.weights:
        noise = random.normal(size=weight.shape) * scale
        weight.assign_add((np.abs(noise) if "variance" in weight.name else noise).astype(np.float32))

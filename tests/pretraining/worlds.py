"""The tiny world with stages of pretraining: models to warm up, and a stage of three weights for what all share."""

from pathlib import Path

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf.config import Config, FusionConfig
from mmrec_tf.encoders.pretrained.bert import BertEncoder
from mmrec_tf.encoders.pretrained.minilm import SentenceEncoder, write_network
from mmrec_tf.encoders.tuning.sentence_bert import SentenceBertEncoder
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.fusion import build_fusion
from mmrec_tf.models.build import build_two_tower
from mmrec_tf.models.feature_lookup import FeatureLookup
from mmrec_tf.models.item_embedding import ItemEmbedding
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.pretraining.stage_model import StageModel
from tests import tiny_world


class Killed(Exception):
    """Takes the place of a signal."""


def killed_after(epochs: int):
    """A progress function that ends the process, so to say, when that many epochs are done."""

    def progress(description, done, total):
        if done == epochs:
            raise Killed

    return progress


def world(folder: Path, *stages, **sections) -> tuple[TwoTower, Prepared]:
    """An untrained retrieval model, the same one each time, and its data."""
    prepared = tiny_world.prepared(folder, pretraining=list(stages), **sections)
    tf_keras.utils.set_random_seed(0)
    return build_two_tower(prepared.config, prepared.users, prepared.items, prepared.sequences().item_index), prepared


def weights_of(model) -> list[np.ndarray]:
    return [variable.numpy() for variable in model.trainable_variables]


def assert_same_weights(found: list[np.ndarray], expected: list[np.ndarray]) -> None:
    assert len(found) == len(expected)
    for one, other in zip(found, expected):
        np.testing.assert_array_equal(one, other)


def write_tables(folder: Path) -> dict[str, Path]:
    """The tiny world as CSV files: `interactions`, `items` and `users`, as the section `data` names them."""
    data = tiny_world.rec_data()
    items = data.items.copy()
    for feature in data.schema.item:
        if feature.kind == "multi_categorical":
            items[feature.name] = items[feature.name].map("|".join)
        if feature.kind == "vector":
            items[feature.name] = [
                "" if vector is None else "|".join(str(float(number)) for number in vector)
                for vector in items[feature.name]
            ]
    frames = {"interactions": data.interactions, "items": items, "users": data.users}
    paths = {name: folder / f"{name}.csv" for name in frames}
    for name, frame in frames.items():
        frame.to_csv(paths[name], index=False)
    return paths


def file_config(folder: Path, *stages, **sections) -> Config:
    """A configuration of the tiny world in files."""
    return tiny_world.config(pretraining=list(stages), data=write_tables(folder), store=folder / "store", **sections)


class Line(StageModel):
    """Fits y = w . x by the mean of squares; with a rate it drops inputs, as layers of models do."""

    def __init__(self, rate: float = 0.0, **kwargs):
        super().__init__(**kwargs)
        self.draws_in_layers = rate > 0.0
        self.drop = tf_keras.layers.Dropout(rate)
        self.line = tf_keras.layers.Dense(1, use_bias=False, kernel_initializer="zeros")

    def objective(self, batch, training):
        found = tf.cast(self.line(self.drop(batch["x"], training=training))[:, 0], tf.float32)
        return {"loss": tf.reduce_mean(tf.square(found - batch["y"]))}


def line_data(rows: int = 24) -> dict[str, np.ndarray]:
    """Rows for `Line`, whose best weights are 1, -2 and 0.5."""
    x = np.random.default_rng(0).normal(size=[rows, 3]).astype(np.float32)
    return {"x": x, "y": (x @ np.float32([1.0, -2.0, 0.5])).astype(np.float32)}


def items_of(vectors: dict, masks: dict | None = None, kernel=None, method: str = "concat", dim: int = 2):
    """An `ItemEmbedding` over vectors as they are, and the indices of its items.

    Args:
        vectors: modality -> rows of numbers.
        masks: modality -> one flag a row; all there by default.
        kernel: for `concat`, the rows of its map without those of the masks, which are 0 then.
    """
    vectors = {name: np.asarray(rows, np.float32) for name, rows in vectors.items()}
    count = len(next(iter(vectors.values())))
    masks = {name: np.ones(count, bool) for name in vectors} if masks is None else masks
    index = np.arange(count + 1, dtype=np.int32)
    table = FeatureTable([f"i{row}" for row in range(count)], index, count + 1)
    for name, rows in vectors.items():
        mask = np.asarray(masks[name], bool)
        table.vectors[name] = np.concatenate([np.zeros_like(rows[:1]), np.where(mask[:, None], rows, 0)])
        table.masks[name] = np.concatenate([[False], mask])
    fusion = build_fusion(FusionConfig(method=method, dim=dim))
    items = ItemEmbedding(FeatureLookup.from_table(table), fusion, dim)
    items(index)
    if kernel is not None:
        fusion.mix.kernel.assign(np.concatenate([kernel, np.zeros([len(vectors), dim])]))
    return items, index[1:]


def linked(items: int = 240, noise: float = 0.1) -> dict[str, np.ndarray]:
    """Two modalities of width 12 and 10 that say the same four things of each item, and noise; of about length 1."""
    random = np.random.default_rng(11)
    meant = random.normal(size=[items, 4])
    vectors = {}
    for name, width in (("a", 12), ("b", 10)):
        rows = meant @ random.normal(size=[4, width]) + noise * random.normal(size=[items, width])
        vectors[name] = (rows / np.sqrt(np.mean(np.sum(rows**2, axis=1)))).astype(np.float32)
    return vectors


def info_nce(first, second, temperature: float) -> float:
    """Symmetric InfoNCE of two `[n, d]` arrays in NumPy."""
    one, other = (rows / np.linalg.norm(rows, axis=1, keepdims=True) for rows in (first, second))
    logits = one @ other.T / temperature
    losses = [np.log(np.exp(side).sum(axis=1)) - np.diag(side) for side in (logits, logits.T)]
    return float(np.mean(losses))


MASKED_WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "a", "tale", "of", *(f"word{n}" for n in range(40))]


def masked_module(folder: Path, width: int = 32, dropout: float = 0.0, with_graph: bool = False) -> Path:
    """What the layers of a tiny BERT with a `[MASK]` are read from: random weights, 2 blocks, 48 word pieces.

    With its graph, which takes longer to write, it is a module too.
    """
    network = BertEncoder(
        len(MASKED_WORDS), 24, width, heads=2, inner_width=48, blocks=2, dropout=dropout, dtype="float32", name="bert"
    )
    network(tf.zeros([1, 1], tf.int32), tf.ones([1, 1]))
    random = np.random.default_rng(0)
    for weight in network.weights:
        weight.assign_add(random.normal(size=weight.shape).astype(np.float32) * 0.05)
    folder.mkdir(parents=True)
    if with_graph:
        texts = tf.TensorSpec([None], tf.string, "texts")
        SentenceEncoder(network, MASKED_WORDS, max_tokens=16).save(folder, texts)
    else:
        tf.train.Checkpoint(variables=list(network.variables)).write(str(folder / "variables" / "variables"))
    write_network(folder, network, MASKED_WORDS)
    return folder


def masked_encoder(folder: Path, **options) -> SentenceBertEncoder:
    """An encoder around it."""
    return SentenceBertEncoder(str(masked_module(folder, **options)), max_tokens=12)

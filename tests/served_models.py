"""Tiny SavedModels for the tests of the server: what they answer can be worked out in the head."""

import shutil
from pathlib import Path

import tensorflow as tf

ITEMS = ["p", "q", "r", "s"]
"""Best first, for everybody."""

IDS = tf.TensorSpec([None], tf.string)
LISTS = tf.TensorSpec([None, None], tf.string)


class Shelf(tf.Module):
    """Recommends `ITEMS` in their order, with the scores 4, 3, 2, 1 times `scale`."""

    def __init__(self, scale: float):
        super().__init__()
        self.scale = tf.Variable(scale)
        self.items = tf.constant(ITEMS)
        self.scores = tf.constant([4.0, 3.0, 2.0, 1.0])

    @tf.function
    def recommend(self, user_id, k, exclude_ids, history_item_ids):
        """The largest k of the batch sets the width; what is excluded or in the history gives way to empty places."""
        rows = tf.shape(user_id)[0]
        items = tf.tile(self.items[None], [rows, 1])
        gone = tf.concat([exclude_ids, history_item_ids], axis=1)
        is_gone = tf.reduce_any(items[:, :, None] == gone[:, None, :], axis=2)
        scores = tf.where(is_gone, tf.float32.min, self.scores * self.scale)
        best, places = tf.math.top_k(scores, tf.clip_by_value(tf.reduce_max(k), 1, 4))
        names = tf.where(best == tf.float32.min, "", tf.gather(items, places, batch_dims=1))
        return {"item_id": names, "score": best}

    @tf.function
    def explain(self, user_id, item_id):
        """A score is what the title says, 0.75, and what is left of it."""
        place = tf.argmax(tf.cast(item_id[:, None] == self.items[None], tf.int32), axis=1)
        score = tf.gather(self.scores * self.scale, place)
        parts = tf.tile([["title", "id"]], [tf.shape(item_id)[0], 1])
        return {"score": score, "part": parts, "contribution": tf.stack([0.75 + 0 * score, score - 0.75], axis=1)}

    @tf.function
    def pick(self, index):
        """The graph refuses an index that is not 0 to 3."""
        return {"score": tf.gather(self.scores, index)}

    @tf.function
    def total(self, values):
        """One number for all rows, so that no two requests can share a call."""
        return {"total": tf.reduce_sum(values)}


def save_shelf(folder: Path, scale: float = 1.0) -> None:
    """Writes a `Shelf` as a SavedModel."""
    shelf = Shelf(scale)
    numbers = tf.TensorSpec([None], tf.int32)
    inputs = {
        "recommend": {"user_id": IDS, "k": numbers, "exclude_ids": LISTS, "history_item_ids": LISTS},
        "explain": {"user_id": IDS, "item_id": IDS},
        "pick": {"index": numbers},
        "total": {"values": tf.TensorSpec([None], tf.float32)},
    }
    signatures = {
        name: getattr(shelf, name).get_concrete_function(
            **{key: tf.TensorSpec(spec.shape, spec.dtype, name=key) for key, spec in specs.items()}
        )
        for name, specs in inputs.items()
    }
    signatures["serving_default"] = signatures["pick"]
    tf.saved_model.save(shelf, str(folder), signatures=signatures)


class Examples(tf.Module):
    """Reads `tf.Example`s with a number `x`, 0 where there is none, and the bytes `name`."""

    def _parse(self, inputs):
        features = {
            "x": tf.io.FixedLenFeature([], tf.float32, 0.0),
            "name": tf.io.FixedLenFeature([], tf.string, ""),
            "n": tf.io.FixedLenFeature([], tf.int64, 0),
        }
        return tf.io.parse_example(inputs, features)

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def classify(self, inputs):
        """The class named as the example, with x as its score, and `other` with 1 - x."""
        parsed = self._parse(inputs)
        other = tf.fill(tf.shape(parsed["name"]), "other")
        return {
            "classes": tf.stack([parsed["name"], other], axis=1),
            "scores": tf.stack([parsed["x"], 1 - parsed["x"]], axis=1),
        }

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="inputs")])
    def regress(self, inputs):
        """Twice x, and n."""
        parsed = self._parse(inputs)
        return {"outputs": (2 * parsed["x"] + tf.cast(parsed["n"], tf.float32))[:, None]}


def save_examples(folder: Path, method_names: bool = True) -> None:
    """Writes an `Examples` as a SavedModel, with the method names that estimators write, or as TensorFlow 2 does."""
    from tensorflow.core.protobuf import saved_model_pb2

    module = Examples()
    signatures = {name: getattr(module, name).get_concrete_function() for name in ("classify", "regress")}
    signatures["serving_default"] = signatures["regress"]
    tf.saved_model.save(module, str(folder), signatures=signatures)
    if not method_names:
        return
    # TensorFlow 2 writes the method name of predict for every signature.
    path = folder / "saved_model.pb"
    saved = saved_model_pb2.SavedModel.FromString(path.read_bytes())
    for name, method in (("classify", "classify"), ("regress", "regress"), ("serving_default", "regress")):
        saved.meta_graphs[0].signature_def[name].method_name = f"tensorflow/serving/{method}"
    path.write_bytes(saved.SerializeToString())


class Halves(tf.Module):
    """Halves of numbers from 1 to 3, and their places as text."""

    @tf.function(input_signature=[tf.TensorSpec([None], tf.int64, name="index")])
    def pick(self, index):
        return {"half": tf.gather([0.5, 1.0, 1.5], index), "text": tf.strings.as_string(index)}


def save_halves(folder: Path) -> None:
    """Writes a `Halves` as a SavedModel."""
    model = Halves()
    tf.saved_model.save(model, str(folder), signatures={"pick": model.pick.get_concrete_function()})


def add_version(saved: Path, export_dir: Path, number: int) -> None:
    """Adds a version of `halves` as an export does: in one rename."""
    shutil.copytree(saved, export_dir / "halves" / f".{number}")
    (export_dir / "halves" / f".{number}").rename(export_dir / "halves" / str(number))


def states(store, name: str = "halves") -> dict[int, str]:
    """Version -> its state, as the status call tells it."""
    return {version.version: version.state for version in store.versions(name)}

"""Small SavedModels for the tests of gRPC and of the client: the exported signatures, and one with every type."""

from pathlib import Path

import tensorflow as tf

LOWEST = -3.4028234663852886e38


def spec(name, dtype=tf.string, rank=1):
    return tf.TensorSpec([None] * rank, dtype, name=name)


class Recommend(tf.Module):
    """Items "p", "q", "é" have the scores 0.5, 0.25, 0.125 plus `bonus`; excluded ones go last, unnamed.

    Each item of the history adds 10 to all scores, a country 100 for each of its letters, the first hour its own value,
    and an entry of tags that is not empty 1000.
    """

    def __init__(self, bonus):
        super().__init__()
        self.scores = tf.Variable([0.5, 0.25, 0.125])
        self.bonus = tf.Variable(bonus)

    @tf.function(
        input_signature=[
            spec("user_id"),
            spec("k", tf.int32),
            spec("exclude_ids", rank=2),
            spec("history_item_ids", rank=2),
            spec("country"),
            spec("hour", tf.float32, 2),
            spec("tags", rank=2),
        ]
    )
    def recommend(self, user_id, k, exclude_ids, history_item_ids, country, hour, tags):
        items = tf.tile([["p", "q", "é"]], [tf.shape(user_id)[0], 1])
        hour = tf.pad(hour, [[0, 0], [0, 1]])[:, 0]
        extra = 10 * _count(history_item_ids) + 100 * tf.cast(tf.strings.length(country), tf.float32)
        extra += tf.where(tf.math.is_nan(hour), 0.0, hour) + 1000 * _count(tags)
        excluded = tf.reduce_any(items[:, :, None] == exclude_ids[:, None, :], axis=-1)
        scores = tf.where(excluded, LOWEST, self.scores + self.bonus + extra[:, None])
        top_scores, places = tf.math.top_k(scores, k=tf.minimum(tf.reduce_max(k), 3))
        named = tf.where(excluded, "", items)
        return {"item_id": tf.gather(named, places, batch_dims=1), "score": top_scores}

    @tf.function(input_signature=[spec("user_id")])
    def default(self, user_id):
        return {"greeting": tf.strings.join(["hello ", user_id])}


def _count(names):
    return tf.reduce_sum(tf.cast(names != "", tf.float32), axis=1)


class Retrieval(tf.Module):
    """An id's embedding is its length in bytes and 1; similar items repeat the item, with scores 1, 1/2, 1/3, ..."""

    @tf.function(input_signature=[spec("item_id"), spec("k", tf.int32)])
    def similar_items(self, item_id, k):
        k = tf.clip_by_value(tf.reduce_max(k), 0, 100)
        scores = 1.0 / tf.cast(tf.range(1, k + 1), tf.float32)
        rows = tf.shape(item_id)[0]
        return {"item_id": tf.tile(item_id[:, None], [1, k]), "score": tf.tile(scores[None], [rows, 1])}

    @tf.function(input_signature=[spec("user_id")])
    def embed_user(self, user_id):
        return self._embed(user_id)

    @tf.function(input_signature=[spec("item_id")])
    def embed_item(self, item_id):
        return self._embed(item_id)

    def _embed(self, names):
        lengths = tf.cast(tf.strings.length(names), tf.float32)
        return {"embedding": tf.stack([lengths, tf.ones_like(lengths)], axis=1)}


class Ranking(tf.Module):
    """An item's score is its own length and that of the user's name together."""

    @tf.function(input_signature=[spec("user_id"), spec("item_ids", rank=2)])
    def rank(self, user_id, item_ids):
        return {"score": tf.cast(tf.strings.length(item_ids) + tf.strings.length(user_id)[:, None], tf.float32)}


class Echo(tf.Module):
    """Returns what it gets; `slow` counts as far as it is told."""

    TYPES = (
        "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool",
    )  # fmt: skip

    def __init__(self):
        super().__init__()
        self.scores = tf.Variable([0.5, 0.25, 0.125])

    def echo(self, *dtypes):
        specs = [tf.TensorSpec([None, 2], getattr(tf, dtype), name=f"{dtype}_in") for dtype in dtypes]
        return tf.function(
            lambda *given: {f"{dtype}_out": tf.identity(value) for dtype, value in zip(dtypes, given)},
            input_signature=specs,
        )

    @tf.function(input_signature=[spec("text"), spec("blob")])
    def strings(self, text, blob):
        return {"text": text, "blob_bytes": blob}

    @tf.function(input_signature=[spec("blob")])
    def raw(self, blob):
        return {"text": blob}

    @tf.function(input_signature=[tf.TensorSpec([], tf.float32, name="factor"), spec("value", tf.float32)])
    def scaled(self, factor, value):
        return {"scaled": factor * value, "factor_out": factor}

    @tf.function(input_signature=[spec("index", tf.int64)])
    def pick(self, index):
        return {"score": tf.gather(self.scores, index)}

    @tf.function(input_signature=[spec("steps", tf.int32)])
    def slow(self, steps):
        count = tf.while_loop(lambda i: i < tf.reduce_max(steps), lambda i: i + 1, [tf.constant(0)])
        return {"count": count[0] + tf.zeros_like(steps)}


class Examples(tf.Module):
    """Signatures for `tf.Example`s: the label is the number's sign, the score and the value are the number."""

    def _number(self, inputs):
        return tf.io.parse_example(inputs, {"number": tf.io.FixedLenFeature([], tf.float32)})["number"]

    @tf.function(input_signature=[spec("inputs")])
    def classify(self, inputs):
        number = self._number(inputs)[:, None]
        return {"classes": tf.where(number < 0, "negative", "positive"), "scores": number}

    @tf.function(input_signature=[spec("inputs")])
    def regress(self, inputs):
        return {"outputs": self._number(inputs)}

    @tf.function(input_signature=[spec("inputs")])
    def other(self, inputs):
        return {"length": tf.strings.length(inputs)}


def save(folder: Path, module: tf.Module, **functions) -> None:
    signatures = {name: function.get_concrete_function() for name, function in functions.items()}
    tf.saved_model.save(module, str(folder), signatures=signatures)


def export_models(folder: Path) -> Path:
    """Writes two versions of "recommend", labelled, one of each other model, and one that does not load."""
    for version in (1, 2):
        model = Recommend(float(version - 1))
        save(folder / "recommend" / str(version), model, recommend=model.recommend, serving_default=model.default)
    for name, model in (("retrieval", Retrieval()), ("ranking", Ranking()), ("examples", Examples())):
        public = [key for key, value in vars(type(model)).items() if not key.startswith("_") and callable(value)]
        save(folder / name / "1", model, **{key: getattr(model, key) for key in public})
    echo = Echo()
    signatures = {name: getattr(echo, name) for name in ("strings", "raw", "scaled", "pick", "slow")}
    signatures["types"] = echo.echo(*Echo.TYPES)
    signatures["wide"] = echo.echo("half", "bfloat16", "complex64", "complex128")
    save(folder / "echo" / "1", echo, **signatures)
    (folder / "broken" / "3").mkdir(parents=True)
    (folder / "broken" / "3" / "saved_model.pb").write_bytes(b"not a SavedModel")
    (folder / "models.config").write_text(
        'model_config_list { config { name: "recommend" model_version_policy { all {} } '
        'version_labels { key: "latest" value: 2 } version_labels { key: "previous" value: 1 } } }'
    )
    return folder


def is_repeated(field) -> bool:
    """Whether a field of a message holds several values; later protobufs tell it in another way."""
    return field.is_repeated if hasattr(field, "is_repeated") else field.label == field.LABEL_REPEATED

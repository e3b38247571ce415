"""Items that were born after training, from their raw content to the embedding that finds them."""

from collections.abc import Mapping, Sequence

import tensorflow as tf

from mmrec_tf._keras import weight_name
from mmrec_tf.data.number_scale import NumberScale
from mmrec_tf.encoders.base import Encoder
from mmrec_tf.encoders.readers import AudioReader, ImageReader, TextReader
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.recommend.asked import scaled_number
from mmrec_tf.recommend.id_table import id_table, looked_up
from mmrec_tf.schema import Feature
from mmrec_tf.serving.images_in_graph import decode_images
from mmrec_tf.serving.op_check import check_graph
from mmrec_tf.serving.waveforms_in_graph import decode_waveforms

_TEXT = tf.TensorSpec([None], tf.string)
_TEXTS = tf.TensorSpec([None, None], tf.string)
_NUMBERS = tf.TensorSpec([None, None], tf.float32)


class ItemEncoder(tf.Module):
    """Embeds items by their content alone: what the shop put up this morning, and no training has seen.

    The embedding is the one that the retrieval model gives an item whose id is new: its dot product with what
    `embed_user` gives is the retrieval score, as nothing is remembered of new items. Texts, files, categories and
    numbers come as they are in the tables; all decoding, tokenising and looking up is inside the graph. Files are
    decoded by TensorFlow's own ops, which know fewer formats than the Python decoders: JPEG, PNG, GIF and BMP, and WAV
    of 16 bits. Texts are best sent in NFC.

    An encoder that the server could not run, and any for video, is left out: the items then count as having no such
    content, and `notes` says so.

    Args:
        retrieval: the trained model.
        features: the schema's item features.
        items: the table that the model was built with.
        numbers: feature name -> `NumberScale` of the training.
        encoders: by the name of the feature; those of the training, with the weights they have learned.

    Attributes:
        inputs: dict of input name -> `tf.TensorSpec`. A text, a category and the bytes of a file are `[batch]` string,
            `""` where there is none; categories are `[batch, n]` string; a number is `[batch, n]` float32 of which the
            first column counts, missing where there is none or it is no number; a vector is `[batch, n]` float32, n its
            width or 0, missing where it is all zeros or holds what is no finite number; another n is refused. Inputs
            are named as features; those of files end in `_bytes`.
        notes: what is left out, and why; one sentence each.
    """

    def __init__(
        self,
        retrieval: TwoTower,
        features: Sequence[Feature],
        items: FeatureTable,
        numbers: Mapping[str, NumberScale],
        encoders: Mapping[str, Encoder],
    ):
        super().__init__()
        self._retrieval = retrieval
        self._numbers = dict(numbers)
        self._widths = items.widths
        self._scaling = {
            name: (tf.Variable(items.centres[name], trainable=False), float(items.scales[name]))
            for name in items.vectors
        }
        self._features = {feature.name: feature for feature in features if feature.kind != "id"}
        reasons = {name: why_not_served(encoder) for name, encoder in encoders.items()}
        self._encoders = {name: encoder for name, encoder in encoders.items() if reasons[name] is None}
        self.notes = tuple(
            f"item_encoder takes no {name!r}: {reason}. Items that it embeds count as having none."
            for name, reason in reasons.items()
            if reason is not None
        )
        self.tables = {
            name: id_table(vocabulary.values, f"item_values_{place}")
            for place, (name, vocabulary) in enumerate(items.vocabularies.items())
        }
        self.inputs, self._input_of = {}, {}
        for feature in self._features.values():
            if feature.name in self.tables or feature.name in self._numbers or self._takes(feature):
                self._add_input(feature)

    def __call__(self, given: Mapping[str, tf.Tensor]) -> tf.Tensor:
        """`[batch, dim + 2]` embeddings; see `TwoTower`.

        Args:
            given: a tensor for each of `inputs`.
        """
        given = {feature: given[name] for feature, name in self._input_of.items()}
        rows = tf.shape(next(iter(given.values())))[0]
        width = self._retrieval.dim + 2
        # Not every network takes a batch of none.
        embeddings = tf.cond(rows > 0, lambda: self._embed(given, rows), lambda: tf.zeros([0, width]))
        return tf.ensure_shape(embeddings, [None, width])

    def _embed(self, given, rows):
        items, new = self._retrieval.items, tf.zeros([rows], tf.int32)
        embedding = items.ids(new)
        if items.lookup.has_side_features:
            fields = items.side(self._side(given))
            embedding += items.mix_side(tf.reshape(fields, [-1, fields.shape[1] * fields.shape[2]]))
        if items.lookup.has_modalities:
            embedding += items.fusion(*self._modalities(given, rows), training=False)
        place = self._retrieval.candidate_tower({"item": embedding})
        # Nobody has touched it: it has the popularity of the unknown id, and no trend.
        popularity = tf.cast(self._retrieval.popularity(new), tf.float32) + self._retrieval.newness
        return tf.concat([place, popularity, tf.zeros_like(popularity)], axis=1)

    def _takes(self, feature):
        return feature.name in self._encoders or (feature.kind == "vector" and feature.name in self._widths)

    def _add_input(self, feature):
        name = weight_name(feature.name)
        specs = {"multi_categorical": _TEXTS, "number": _NUMBERS, "timestamp": _NUMBERS, "vector": _NUMBERS}
        ending = "_bytes" if feature.kind in ("image", "audio") else ""
        while f"{name}{ending}" in self.inputs or not name[0].isalnum():
            name = f"item_{name}"
        self.inputs[f"{name}{ending}"] = specs.get(feature.kind, _TEXT)
        self._input_of[feature.name] = f"{name}{ending}"

    def _side(self, given):
        groups = {"categorical": {}, "multi_categorical": {}, "numbers": {}}
        for name, feature in self._features.items():
            if feature.kind == "categorical":
                groups["categorical"][name] = looked_up(self.tables[name], given[name])
            elif feature.kind == "multi_categorical":
                groups["multi_categorical"][name] = looked_up(self.tables[name], given[name])
            elif feature.is_number:
                first = tf.pad(given[name], [[0, 0], [0, 1]], constant_values=float("nan"))[:, 0]
                groups["numbers"][name] = scaled_number(first, *self._numbers[name])
        return groups

    def _modalities(self, given, rows):
        vectors, masks = {}, {}
        for name, width in self._widths.items():
            if name not in given:
                vectors[name], masks[name] = tf.zeros([rows, width]), tf.zeros([rows], tf.bool)
                continue
            encoder = self._encoders.get(name)
            found, there = (
                _given_vectors(given[name], width, name) if encoder is None else _encoded(encoder, given[name])
            )
            centre, scale = self._scaling[name]
            vectors[name] = tf.where(there[:, None], (found - centre) / scale, 0.0)
            masks[name] = there
        return vectors, masks


def item_encoder(
    retrieval: TwoTower,
    features: Sequence[Feature],
    items: FeatureTable,
    numbers: Mapping[str, NumberScale],
    encoders: Mapping[str, Encoder],
) -> ItemEncoder | None:
    """The `ItemEncoder` of these, or None where items have nothing but an id."""
    encoder = ItemEncoder(retrieval, features, items, numbers, encoders)
    return encoder if encoder.inputs else None


def why_not_served(encoder: Encoder) -> str | None:
    """Why an encoder cannot be part of a served graph; None where it can."""
    reader = encoder.reader
    if isinstance(reader, AudioReader) and (reader.loudness is not None or reader.trim_silence):
        return "its clips are brought to one loudness or trimmed, which is done in Python"
    if not isinstance(reader, TextReader | ImageReader | AudioReader):
        return f"the content that {type(encoder).__name__} takes is decoded in Python"
    try:
        graph = tf.function(lambda files: _encoded(encoder, files)[0], input_signature=[_TEXT]).get_concrete_function()
    # A network of another library, such as Keras 3, raises whatever its own tracing raises.
    except Exception as error:  # noqa: BLE001
        return f"{type(encoder).__name__} does not become a graph ({type(error).__name__})"
    # What holds tables of its own is no part of the model that is saved; its constants would be saved without them.
    untracked = [tensor for tensor, _ in graph.graph.captures if tensor.dtype == tf.resource]
    known = {id(variable.handle) for variable in encoder.variables}
    if any(id(tensor) not in known for tensor in untracked):
        return f"{type(encoder).__name__} holds tables of its own"
    _, refusals = check_graph(graph.graph.as_graph_def())
    return f"TensorFlow Serving has no {refusals[0].op}" if refusals else None


def _encoded(encoder, contents):
    reader = encoder.reader
    if isinstance(reader, TextReader):
        return encoder(contents), reader.is_there(contents)
    there = tf.strings.length(contents) > 0
    if isinstance(reader, ImageReader):
        return encoder(decode_images(contents, reader.size)), there
    return encoder(decode_waveforms(contents, reader)), there


def _given_vectors(vectors, width, name):
    given = tf.shape(vectors)[1]
    checked = tf.debugging.Assert(
        (given == width) | (given == 0),
        [tf.strings.join([f"{name} takes vectors of {width} numbers, or of 0 for none; got ", tf.as_string(given)])],
    )
    # Outside a graph an assertion that holds leaves no operation behind.
    with tf.control_dependencies([] if checked is None else [checked]):
        filled = tf.pad(vectors, [[0, 0], [0, tf.maximum(width - given, 0)]])
    vectors = tf.ensure_shape(filled[:, :width], [None, width])
    # As in training, a vector with what is no number is none.
    there = tf.reduce_any(tf.not_equal(vectors, 0.0), axis=1) & tf.reduce_all(tf.math.is_finite(vectors), axis=1)
    return vectors, there

"""Users and items as fields, the form in which rankers let features meet: one embedding for each feature."""

from typing import NamedTuple

import tensorflow as tf
import tf_keras

from mmrec_tf.models.feature_lookup import FeatureLookup
from mmrec_tf.models.row_sums import row_sums
from mmrec_tf.models.side_features import SideFeatures

_SIDE = ("categorical", "multi_categorical", "numbers")

STDDEV = 0.01
"""Of the normal distribution that the embeddings of ids and numbers start from: products of fields must begin small."""


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class TableFields(tf_keras.layers.Layer):
    """Every feature of a table's rows as a field.

    The fields stand in this order: the id; the categorical, multi-categorical and number features; the modalities. Each
    group is in alphabetical order. A modality is projected, W v + w_1 where it is there; the stand-in for where it is
    not is learned too.

    A step looks up the same items over and over. Where it needs more rows than the table has, the categories, numbers
    and media of the whole table are embedded once and gathered from.

    Args:
        lookup: `FeatureLookup` of the table.
        dim: int. Width of each field.
        number_embedding, number_edges: see `SideFeatures`.

    Call arguments:
        index: `[...]` int32 tensor of table indices.
        id_index: the ids to embed, in the shape of `index`: what the lookup says, or 0 where an id is hidden.
        present: `[batch, length]` bool or None. With it `index` is `[batch, length]` too, no id is hidden, and each
            field is averaged over those that are present and have it, as a history's are.
        without: dict of modality -> bool tensor that is broadcast to `index`: the rows that stand there as if they did
            not have it; None, the default, for none.
        vectors: dict of modality -> `[rows, width]`, the rows as in `index` flattened: centred and scaled, they stand
            in for the stored ones where these are there.

    Returns:
        `[..., fields, dim]` float tensor, `[batch, fields, dim]` with `present`. A mean over nothing is 0 for ids,
        categories and numbers, and the stand-in for modalities.
    """

    def __init__(
        self,
        lookup: FeatureLookup,
        dim: int,
        number_embedding: str = "linear",
        number_edges: dict[str, list[float]] | None = None,
        **kwargs,
    ):
        super().__init__(**kwargs)
        self.lookup = lookup
        self.dim = dim
        self.number_embedding = number_embedding
        self.number_edges = number_edges
        self.ids = tf_keras.layers.Embedding(
            lookup.id_vocabulary_size, dim, embeddings_initializer=tf_keras.initializers.RandomNormal(stddev=STDDEV)
        )
        if lookup.has_side_features:
            self.side = SideFeatures(dim, lookup.vocabulary_sizes, number_embedding, number_edges, STDDEV)
        self.projections = {name: tf_keras.layers.Dense(dim) for name in sorted(lookup.tables["vectors"])}
        for name, projection in self.projections.items():
            projection.build([None, lookup.tables["vectors"][name].shape[1] + 1])

    @property
    def count(self) -> int:
        """Number of fields."""
        return 1 + sum(len(self.lookup.tables[group]) for group in (*_SIDE, "vectors"))

    def call(self, index, id_index, present=None, without=None, vectors=None):
        if present is not None:
            return self._mean(index, id_index, present)
        fields = [tf.expand_dims(self.ids(id_index), -2)]
        if self.lookup.has_side_features:
            fields.append(self._side(index))
        for name in self.projections:
            media = self._media(name, index, (vectors or {}).get(name))
            if name in (without or {}):
                stand_in = tf.cast(self.projections[name].bias, media.dtype)
                media = tf.where(tf.expand_dims(without[name], -1), stand_in, media)
            fields.append(tf.expand_dims(media, -2))
        return tf.concat(fields, axis=-2)

    def columns(self, index: tf.Tensor | None = None) -> tf.Tensor:
        """What a mean over rows of the table adds up, and `mean_of` makes fields of.

        Args:
            index: `[rows]` int32; None, the default, for all rows.

        Returns:
            `[rows, columns]`: the fields that are averaged over all rows, those that are averaged where they are there,
            0 elsewhere, and for each of these whether it is.
        """
        id_index, masks = self.lookup.id_index, [self.lookup.tables["masks"][name] for name in self.projections]
        if index is None:
            id_index = tf.convert_to_tensor(id_index)
            side = self._side_of_table() if self.lookup.has_side_features else None
            media = [self._media_of_table(name) for name in self.projections]
        else:
            id_index, masks = tf.gather(id_index, index), [tf.gather(mask, index) for mask in masks]
            side = self._side(index) if self.lookup.has_side_features else None
            media = [self._media(name, index, None) for name in self.projections]
        ids = self.ids(id_index)[:, None]
        plain = ids if side is None else tf.concat([ids, side], axis=1)
        masks = [tf.cast(mask, self.compute_dtype)[:, None] for mask in masks]
        return tf.concat([flattened(plain), *(one * mask for one, mask in zip(media, masks)), *masks], axis=1)

    def mean_of(self, added: tf.Tensor, count: tf.Tensor) -> tf.Tensor:
        """The mean that the call gives, `[batch, fields, dim]`.

        Args:
            added: `[batch, columns]`, the sum of `columns` of some rows.
            count: `[batch, 1]` float tensor: how many.
        """
        named = len(self.projections)
        plain, media, counts = tf.split(added, [(self.count - named) * self.dim, named * self.dim, named], axis=1)
        plain = tf.reshape(plain / tf.maximum(count, 1.0), [-1, self.count - named, self.dim])
        if not named:
            return plain
        counts = counts[:, :, None]
        media = tf.reshape(media, [-1, named, self.dim]) / tf.maximum(counts, 1.0)
        stand_ins = tf.stack([tf.cast(projection.bias, added.dtype) for projection in self.projections.values()])
        return tf.concat([plain, media + tf.cast(counts <= 0.0, added.dtype) * stand_ins], axis=1)

    def get_config(self):
        return {
            **super().get_config(),
            "lookup": tf_keras.saving.serialize_keras_object(self.lookup),
            "dim": self.dim,
            "number_embedding": self.number_embedding,
            "number_edges": self.number_edges,
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{**config, "lookup": tf_keras.saving.deserialize_keras_object(config["lookup"])})

    def _side(self, index):
        if self._covers(index):
            return tf.gather(self._side_of_table(), index)
        flat = tf.reshape(index, [-1])
        tables = {group: self.lookup.tables[group] for group in _SIDE}
        fields = self.side(tf.nest.map_structure(lambda table: tf.gather(table, flat), tables))
        return _unflattened(fields, index)

    def _side_of_table(self):
        tables = {group: self.lookup.tables[group] for group in _SIDE}
        return self.side(tf.nest.map_structure(tf.convert_to_tensor, tables))

    def _media(self, name, index, vectors):
        if vectors is None and self._covers(index):
            return tf.gather(self._media_of_table(name), index)
        flat = tf.reshape(index, [-1])
        mask = tf.gather(self.lookup.tables["masks"][name], flat)
        vectors = tf.gather(self.lookup.tables["vectors"][name], flat) if vectors is None else vectors
        return _unflattened(self._projected(name, vectors, mask), index)

    def _media_of_table(self, name):
        return self._projected(name, self.lookup.tables["vectors"][name], self.lookup.tables["masks"][name])

    def _projected(self, name, vectors, mask):
        """A modality as a field; the last row of the kernel and the bias tell where it is there and where it is not."""
        kernel, bias = (tf.cast(weight, self.compute_dtype) for weight in self.projections[name].weights)
        mask = tf.cast(mask, self.compute_dtype)[:, None]
        # Masked after the product, which is narrower than the vectors. A product adds up gradients sooner than a sum.
        told = tf.matmul(tf.cast(vectors, self.compute_dtype), kernel[:-1]) * mask
        return told + tf.matmul(tf.concat([mask, tf.ones_like(mask)], axis=1), tf.stack([kernel[-1], bias]))

    def _mean(self, index, id_index, present):
        """Everything that is averaged stands side by side, so that one gather and one product do for all fields."""
        if not self._covers(index):
            return self._mean_of_vectors(index, id_index, present)
        # The gradient of a reshape is dense, so that the rows are added up once and not for each part of `concat`.
        columns = tf.reshape(self.columns(), [self.lookup.size, -1])
        count = tf.reduce_sum(tf.cast(present, columns.dtype), axis=1, keepdims=True)
        return self.mean_of(row_sums(columns, index, present), count)

    def _mean_of_vectors(self, index, id_index, present):
        """The projection is linear, so the mean may be projected instead of every vector."""
        plain = [self.ids(id_index)]
        if self.lookup.has_side_features:
            plain.append(_unflattened(flattened(self._side(tf.reshape(index, [-1]))), index))
        media, masks = [], []
        for name in self.projections:
            mask = tf.gather(self.lookup.tables["masks"][name], index)
            masks.append(tf.cast(mask, self.compute_dtype)[..., None])
            vectors = tf.gather(tf.cast(self.lookup.tables["vectors"][name], self.compute_dtype), index)
            media.append(vectors * masks[-1])
        columns = tf.concat([*plain, *media, *masks], axis=-1)
        present = tf.cast(present, columns.dtype)
        added = tf.matmul(present[:, None, :], columns)[:, 0]
        count = tf.maximum(tf.reduce_sum(present, axis=1, keepdims=True), 1.0)
        named, widths = len(media), [vectors.shape[-1] for vectors in media]
        plain, *sums = tf.split(added, [(self.count - named) * self.dim, *widths, *[1] * named], axis=1)
        fields = [tf.reshape(plain / count, [-1, self.count - named, self.dim])]
        for name, total, count in zip(self.projections, sums, sums[named:]):
            mean = self._projected(name, total / tf.maximum(count, 1.0), count[:, 0] > 0)
            fields.append(tf.expand_dims(mean, 1))
        return tf.concat(fields, axis=1)

    def _covers(self, index) -> bool:
        """Whether the whole table is no more than what is asked for."""
        needed = index.shape.num_elements()
        return needed is not None and needed >= self.lookup.size


class Pairs(NamedTuple):
    """A batch of users, each beside a group of items, as fields.

    Attributes:
        item_vectors: `[pairs, item fields, dim]`, of every user's first item, second item, ...; None where the ranker
            has looked up all that it makes of them.
        item_weights: `[pairs, item fields]`, the fields' weights in the linear part; of fields that the ranker has
            looked up, their sum in one column.
        user_vectors: `[batch, user fields, dim]`: the user's own fields, those of the history and of the context.
        user_weights: `[batch, user fields]`.
        item_index, item_ids: `[batch, group]` int32: indices, and ids as the model may know them.
        history, history_ids: `[batch, length]` int32, likewise.
        user_index: `[batch]` int32.
        context: nested dict of `[batch, ...]`, or None.
        item_parts: what `PairFields.item_parts` gives, `[pairs, ...]` each; None where it has not been looked up.
        target: `[batch, group, dim]`, the items as the history's are embedded; None where the ranker does not ask.
        steps: `[batch, length, dim]`, the history's items; None likewise.
    """

    item_vectors: tf.Tensor | None
    item_weights: tf.Tensor
    user_vectors: tf.Tensor
    user_weights: tf.Tensor
    item_index: tf.Tensor
    item_ids: tf.Tensor
    history: tf.Tensor
    history_ids: tf.Tensor
    user_index: tf.Tensor
    context: dict | None
    item_parts: dict[str, tf.Tensor] | None = None
    target: tf.Tensor | None = None
    steps: tf.Tensor | None = None

    def vectors(self) -> tf.Tensor:
        """`[pairs, fields, dim]`: all embeddings of each pair, the item's first."""
        return tf.concat([self.item_vectors, repeated(self.user_vectors, self.item_vectors)], axis=1)


def weights_and_vectors(fields: tf.Tensor) -> tuple[tf.Tensor, tf.Tensor]:
    """`[rows, fields, 1 + dim]` as `[rows, fields]` float32, each field's weight, and `[rows, fields, dim]`."""
    # One split, because the gradient of each slice would fill a tensor of the whole size with zeros first.
    weights, vectors = tf.split(fields, [1, fields.shape[-1] - 1], axis=-1)
    return tf.cast(tf.squeeze(weights, -1), tf.float32), vectors


def repeated(values: tf.Tensor, pairs: tf.Tensor) -> tf.Tensor:
    """`[pairs, ...]` of `[batch, ...]`: each user's row once for each item of the group.

    Args:
        values: `[batch, ...]` tensor.
        pairs: `[pairs, ...]` tensor, whose rows are counted.
    """
    rows, users = _rows_and_users(pairs, values)
    # Nothing to copy where each user stands beside one item, as a log that tells its own negatives is trained on.
    is_one = isinstance(rows, int) and rows == users
    return values if is_one else tf.repeat(values, rows // users, axis=0)


def with_repeated(pairs: tf.Tensor, values: tf.Tensor) -> tf.Tensor:
    """`pairs + repeated(values, pairs)`, `[pairs, width]`, without writing down what is repeated."""
    rows, users = _rows_and_users(pairs, values)
    grouped = tf.reshape(pairs, [users, rows // users, pairs.shape[1]])
    return tf.reshape(grouped + tf.expand_dims(values, 1), [rows, pairs.shape[1]])


def flattened(fields: tf.Tensor) -> tf.Tensor:
    """`[rows, fields * dim]` of `[rows, fields, dim]`."""
    return tf.reshape(fields, [-1, fields.shape[1] * fields.shape[2]])


def _rows_and_users(pairs, values):
    rows, users = (tensor.shape[0] for tensor in (pairs, values))
    if rows is None or users is None:
        rows, users = tf.shape(pairs)[0], tf.shape(values)[0]
    # A server may be asked for nobody: no rows, to be repeated no times.
    return rows, max(users, 1) if isinstance(users, int) else tf.maximum(users, 1)


def _unflattened(rows, index):
    shape = [size if size is not None else tf.shape(index)[axis] for axis, size in enumerate(index.shape)]
    return tf.reshape(rows, [*shape, *rows.shape[1:]])

"""The items' embeddings as a search reads them: as they are, or in fewer bits."""

from collections.abc import Callable

import numpy as np
import tensorflow as tf

from mmrec_tf.errors import ServingError

TABLES = ("float32", "float16", "int8")

BEHIND = 2
"""Columns behind an embedding's place: popularity and trend, see `TwoTower`."""

_DECODED_AT_ONCE = 2**20
"""Numbers that are turned into float32 at a time: 4 MB, which stay in the processor's cache until they are used."""


class PlainRows(tf.Module):
    """Embeddings in float32.

    Args:
        embeddings: `[rows, dim]` float32 variable.

    Attributes:
        shape: `(rows, dim)`.
        most_at_once: int. Rows that `scores` is to be asked for at a time; None where it costs no further memory.
    """

    most_at_once: int | None = None

    def __init__(self, embeddings: tf.Variable):
        super().__init__()
        self.embeddings = embeddings
        self.shape = tuple(embeddings.shape.as_list())

    @property
    def content(self) -> bytes:
        """All that is kept."""
        return self.embeddings.numpy().tobytes()

    def of(self, index: tf.Tensor) -> tf.Tensor:
        """`[n, dim]` float32 embeddings of `[n]` rows."""
        # Read first: a variable that was ever gathered from itself is copied whole whenever it is read from then on.
        return tf.gather(self.embeddings.read_value(), index)

    def scores(self, queries: tf.Tensor, start: tf.Tensor | int, end: tf.Tensor | int) -> tf.Tensor:
        """`[batch, end - start]` float32 dot products of `[batch, dim]` queries and the rows from `start` to `end`."""
        return tf.matmul(queries, self.embeddings[start:end], transpose_b=True)

    def by_blocks(self, width: int) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        """A function from one query `[dim]` and `[n]` blocks of `width` rows to `[n * width]` float32 dot products."""
        dim = self.shape[1]
        table = tf.reshape(self.embeddings, [-1, width * dim])
        return lambda query, blocks: tf.linalg.matvec(tf.reshape(tf.gather(table, blocks), [-1, dim]), query)


class QuantizedRows(tf.Module):
    """Embeddings in fewer bits, which become float32 a block at a time, so that the saving is one of memory too.

    In int8 each row has a scale of its own, since rows differ in length, and the products are scaled instead of the
    rows, once for each item:

        x_i = s_i c_i,   s_i = max_j |x_ij| / 127,   |x_ij - s_i c_ij| <= s_i / 2
        q . x_i = s_i (q . c_i)

    The columns behind the place, popularity and trend, are of another size than a cosine's and decide alone for whoever
    is not known. They are kept in 16 bits with a scale for each column: to 1 / 65534 of the column's largest.

    Args:
        embeddings: `[rows, dim]` float32 array.
        table: `int8` or `float16`.
        behind: int. The last columns, which are kept in 16 bits. Defaults to 2.

    Attributes:
        shape: `(rows, dim)`.
        most_at_once: int. Rows that `scores` is to be asked for at a time.

    Raises:
        ServingError: for a table that is not known, or numbers that are not finite or too large for float16.
    """

    def __init__(self, embeddings: np.ndarray, table: str, behind: int = BEHIND):
        super().__init__()
        if table not in TABLES[1:]:
            raise ServingError(f"table is {table!r}. Allowed: {', '.join(TABLES)}.")
        embeddings = np.asarray(embeddings, np.float32)
        self.shape = embeddings.shape
        self.place = self.shape[1] - behind
        place, back = embeddings[:, : self.place], embeddings[:, self.place :]
        self.scales = None
        if table == "int8":
            codes, scales = quantized(place, np.int8, axis=1)
            self.scales = tf.Variable(scales, trainable=False, name="row_scales")
        else:
            most = float(np.finfo(np.float16).max)
            if not np.abs(place).max(initial=0.0) <= most:
                raise ServingError(f"embeddings beyond {most:.0f} do not fit float16. Use the table int8 or float32.")
            codes = place.astype(np.float16)
        self.codes = tf.Variable(codes, trainable=False, name="row_codes")
        codes, scales = quantized(back, np.int16, axis=0)
        self.behind = tf.Variable(codes, trainable=False, name="row_codes_behind")
        self.behind_scales = tf.Variable(scales, trainable=False, name="column_scales")
        self.most_at_once = max(_DECODED_AT_ONCE // self.shape[1], 1)

    @property
    def content(self) -> bytes:
        """All that is kept."""
        return b"".join(variable.numpy().tobytes() for variable in self.variables)

    def of(self, index: tf.Tensor) -> tf.Tensor:
        """`[n, dim]` float32 embeddings of `[n]` rows."""
        place = _floats(tf.gather(self.codes.read_value(), index))
        if self.scales is not None:
            place *= tf.gather(self.scales.read_value(), index)[:, None]
        behind = _floats(tf.gather(self.behind.read_value(), index)) * self.behind_scales
        return tf.concat([place, behind], axis=1)

    def scores(self, queries: tf.Tensor, start: tf.Tensor | int, end: tf.Tensor | int) -> tf.Tensor:
        """`[batch, end - start]` float32 dot products of `[batch, dim]` queries and the rows from `start` to `end`."""
        query, query_behind = self._parted(queries)
        scores = tf.matmul(query, _floats(self.codes[start:end]), transpose_b=True)
        if self.scales is not None:
            scores *= self.scales[start:end]
        return scores + tf.matmul(query_behind, _floats(self.behind[start:end]), transpose_b=True)

    def by_blocks(self, width: int) -> Callable[[tf.Tensor, tf.Tensor], tf.Tensor]:
        """A function from one query `[dim]` and `[n]` blocks of `width` rows to `[n * width]` float32 dot products."""
        dims = self.place, self.shape[1] - self.place
        codes, behind = (
            tf.reshape(table, [-1, width * dim]) for table, dim in zip((self.codes, self.behind), dims, strict=True)
        )
        scales = None if self.scales is None else tf.reshape(self.scales, [-1, width])

        def product(table, dim, blocks, query):
            return tf.linalg.matvec(_floats(tf.reshape(tf.gather(table, blocks), [-1, dim])), query)

        def scores(query, blocks):
            query, query_behind = self._parted(query)
            found = product(codes, dims[0], blocks, query)
            if scales is not None:
                found *= tf.reshape(tf.gather(scales, blocks), [-1])
            return found + product(behind, dims[1], blocks, query_behind)

        return scores

    def _parted(self, queries):
        # The columns' scales are the same for all items, so the query takes them.
        return queries[..., : self.place], queries[..., self.place :] * self.behind_scales


def item_rows(embeddings: np.ndarray | tf.Variable, table: str, behind: int = BEHIND) -> PlainRows | QuantizedRows:
    """Rows of a table: `float32` as they are, `float16` and `int8` in fewer bits.

    Args:
        embeddings: `[rows, dim]` float32.
        table: one of `TABLES`.
        behind: int. See `QuantizedRows`. Defaults to 2.

    Raises:
        ServingError: see `QuantizedRows`.
    """
    is_variable = isinstance(embeddings, tf.Variable)
    if table == "float32":
        return PlainRows(embeddings if is_variable else tf.Variable(embeddings, trainable=False, name="item_rows"))
    return QuantizedRows(embeddings.numpy() if is_variable else embeddings, table, behind)


def quantized(values: np.ndarray, dtype: type[np.signedinteger], axis: int) -> tuple[np.ndarray, np.ndarray]:
    """Whole numbers and float32 scales whose product is nearest to the values: `values ~ codes * scales`.

    Symmetric around 0, which stays 0: the scale is the largest size along the axis divided by the type's largest
    number, and no value moves by more than half a scale.

    Args:
        values: `[rows, columns]` float32.
        dtype: `np.int8` or `np.int16`.
        axis: int. 1 gives each row a scale, 0 each column.

    Returns:
        The codes in the shape of the values, and the scales, `[rows]` or `[columns]`.

    Raises:
        ServingError: if a value is not finite.
    """
    values = np.asarray(values, np.float32)
    if not np.isfinite(values).all():
        count = int((~np.isfinite(values)).sum())
        raise ServingError(
            f"{count} of {values.size} numbers of the items' embeddings are not finite, so they have no scale. Train "
            "again with a lower train.learning_rate."
        )
    scales = (np.abs(values).max(axis=axis, initial=0.0) / np.iinfo(dtype).max).astype(np.float32)
    steps = np.expand_dims(np.where(scales > 0.0, scales, 1.0), axis)
    return np.rint(values / steps).astype(dtype), scales


def _floats(codes):
    return tf.cast(codes, tf.float32)

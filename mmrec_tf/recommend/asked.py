"""What a request says of who asks, as indices and numbers."""

from typing import NamedTuple

import tensorflow as tf

from mmrec_tf.features.context_features import CLOCK, ContextFeatures
from mmrec_tf.recommend.id_table import id_table, looked_up

Context = dict[str, dict[str, tf.Tensor]]
"""The groups of `ContextFeatures.encode`, as tensors."""

_MONDAY = 3
# The first day of 1970 was a Thursday.


class Asked(NamedTuple):
    """Requests for lists or scores.

    Attributes:
        users: `[batch]` int32 table indices, 0 for users who are not known.
        history: `[batch, length]` int32, the latest items last, padded in front with 0.
        gaps: `[batch, length]` int32; see `Sequences.asked_at`. 0 where nothing is known.
        hidden: `[batch, n]` int32 items that are not to be returned beside what the user has seen; 0 for none. None for
            no column.
        context: what else is known of the request; None for nothing.
    """

    users: tf.Tensor
    history: tf.Tensor
    gaps: tf.Tensor
    hidden: tf.Tensor | None = None
    context: Context | None = None


def with_given_history(asked: Asked, items: tf.Tensor) -> Asked:
    """Requests in which the history that came with them, where one came, stands in for the stored one.

    Args:
        asked: the requests with the stored histories.
        items: `[batch, n]` int32, oldest first; 0 for what is not known, which is passed over. A row without any item
            keeps its stored history.

    Returns:
        The requests; what was given counts as seen.
    """
    length = asked.history.shape[1]
    # A stable sort that brings the gaps to the front keeps the order of the items.
    order = tf.argsort(tf.cast(items > 0, tf.int32), axis=1, stable=True)
    packed = tf.pad(tf.gather(items, order, batch_dims=1), [[0, 0], [length, 0]])
    latest = tf.ensure_shape(packed[:, tf.shape(packed)[1] - length :], [None, length])
    is_given = tf.reduce_any(items > 0, axis=1, keepdims=True)
    return asked._replace(
        history=tf.where(is_given, latest, asked.history),
        gaps=tf.where(is_given, 0, asked.gaps),
        hidden=items if asked.hidden is None else tf.concat([asked.hidden, items], axis=1),
    )


class ContextInputs(tf.Module):
    """Turns what a client says of a request into what the models take: device, place, moment.

    Args:
        features: the `ContextFeatures` that the models were trained with.

    Attributes:
        specs: dict of the schema's name -> `tf.TensorSpec` of the input. A category is `[batch]` string, `""` where it
            is not known; categories are `[batch, n]` string; a number is `[batch, n]` float32 of which the first column
            counts, not known where there is none or it is no number; and the timestamp, which is asked for where the
            models know the clock, is `[batch, n]` int64 seconds, not known where there is none or it is 0.
    """

    def __init__(self, features: ContextFeatures):
        super().__init__()
        self.features = features
        self.tables = {
            name: id_table(vocabulary.values, f"context_{place}")
            for place, (name, vocabulary) in enumerate({**features.categorical, **features.multi_categorical}.items())
        }
        wide = [None, None]
        self.specs = {name: tf.TensorSpec([None], tf.string) for name in features.categorical}
        self.specs |= {name: tf.TensorSpec(wide, tf.string) for name in features.multi_categorical}
        self.specs |= {name: tf.TensorSpec(wide, tf.float32) for name in features.numbers}
        if features.clock:
            self.specs[features.timestamp] = tf.TensorSpec(wide, tf.int64)

    def __call__(self, given: dict[str, tf.Tensor]) -> Context:
        """The context of requests; see `ContextFeatures.encode`.

        Args:
            given: by the schema's names, one tensor for each of `specs`.
        """
        features = self.features
        categorical = {name: looked_up(self.tables[name], given[name]) for name in features.categorical}
        if features.clock:
            seconds = _first(given[features.timestamp], tf.constant(0, tf.int64))
            categorical |= {name: clock_values_in_graph(name, seconds) for name in features.clock}
        multi_categorical = {
            # One column at least, as in training.
            name: tf.pad(looked_up(self.tables[name], given[name])[:, : features.widths[name]], [[0, 0], [0, 1]])
            for name in features.multi_categorical
        }
        numbers = {
            name: scaled_number(_first(given[name], float("nan")), *scale) for name, scale in features.numbers.items()
        }
        return {"categorical": categorical, "multi_categorical": multi_categorical, "numbers": numbers}


def scaled_number(values: tf.Tensor, mean: float, deviation: float) -> tf.Tensor:
    """What `NumberScale.apply` gives, `[batch, 2]` float32, of `[batch]` float32."""
    there = tf.math.is_finite(values)
    if deviation > 0.0:
        # Float32 holds no large number such as a year in seconds to the unit; the difference is taken in float64.
        scaled = (tf.cast(values, tf.float64) - mean) / deviation
        scaled = tf.cast(tf.clip_by_value(scaled, -LARGEST_NUMBER, LARGEST_NUMBER), tf.float32)
    else:
        scaled = tf.zeros_like(values)
    return tf.stack([tf.where(there, scaled, 0.0), tf.cast(there, tf.float32)], axis=1)


LARGEST_NUMBER = 5.0
"""What standardised numbers are clipped to; see `NumberScale`."""


def clock_values_in_graph(name: str, seconds: tf.Tensor) -> tf.Tensor:
    """What `clock_values` gives, int32, of int64 seconds since 1970 (UTC); 0 for a moment of 0 or before."""
    days = seconds // 86_400
    if name == "hour_of_day":
        values = seconds // 3600 % 24 + 1
    elif name == "day_of_week":
        values = (days + _MONDAY) % 7 + 1
    elif name == "month":
        values = _month(days)
    else:
        raise ValueError(f"the clock has no {name!r}. Allowed: {', '.join(CLOCK)}.")
    return tf.cast(tf.where(seconds > 0, values, 0), tf.int32)


def _month(days):
    # Years that begin in March have their leap day at the end, and then months follow a line of slope 153 / 5.
    days += 719_468
    day = days % 146_097
    year = (day - day // 1_460 + day // 36_524 - day // 146_096) // 365
    since_march = (5 * (day - (365 * year + year // 4 - year // 100)) + 2) // 153
    return tf.where(since_march < 10, since_march + 3, since_march - 9)


def _first(columns, otherwise):
    """`[batch]`: the first column, or `otherwise` where there is none."""
    filled = tf.pad(columns, [[0, 0], [0, 1]], constant_values=otherwise)
    return filled[:, 0]

"""How much each modality counts in one request: what is allowed, checked in Python and in the served graph."""

import math
from collections.abc import Mapping, Sequence
from numbers import Real

import tensorflow as tf

from mmrec_tf.errors import MmrecError

LARGEST_WEIGHT = 1000.0
"""The most that a modality can count. Beyond it the order no longer changes, while float32 runs out of digits."""


def checked_weights(weights: Mapping[str, float], modalities: Sequence[str]) -> dict[str, float]:
    """A request's weights as plain floats.

    Args:
        weights: modality -> weight. Modalities that are not named keep weight 1.
        modalities: the names that the model has.

    Raises:
        MmrecError: for a name that the model does not have, and for a weight that is no number from 0 to
            `LARGEST_WEIGHT`.
    """
    allowed = ", ".join(modalities) or "none, for its items have no modality"
    if not isinstance(weights, Mapping):
        raise MmrecError(f'modality weights are a dict such as {{"photo": 2.0}}, got {weights!r}.')
    unknown = [name for name in weights if name not in modalities]
    if unknown:
        names = ", ".join(map(repr, unknown))
        raise MmrecError(f"modality weights: this model has no modality {names}. Its modalities: {allowed}.")
    for name, weight in weights.items():
        is_number = isinstance(weight, Real) and not isinstance(weight, bool) and math.isfinite(weight)
        if not is_number or not 0.0 <= weight <= LARGEST_WEIGHT:
            raise MmrecError(
                f"modality weights: {name} must be a number from 0 (left out) by way of 1 (as trained) to "
                f"{LARGEST_WEIGHT:.0f}, got {weight!r}."
            )
    return {name: float(weight) for name, weight in weights.items()}


def weight_rows(modality: tf.Tensor, weight: tf.Tensor, modalities: Sequence[str]) -> tf.Tensor:
    """Named weights as one column per modality; those that a row does not name get 1.

    Args:
        modality: `[batch, n]` string. An empty name fills up a row that names fewer than the others.
        weight: `[batch, n]` float32.
        modalities: the names that the model has, in the order of the columns.

    Returns:
        `[batch, len(modalities)]` float32.

    Raises:
        tf.errors.InvalidArgumentError: when the graph runs, for whatever `checked_weights` refuses, for shapes that
            differ, and for a row that names a modality twice.
    """
    allowed = f"weights are given for: {', '.join(modalities) or 'nothing, for no item has a modality'}"
    same_shape = tf.debugging.Assert(
        tf.reduce_all(tf.equal(tf.shape(modality), tf.shape(weight))),
        ["modality and weight must have the same shape: one weight for each name"],
    )
    with tf.control_dependencies(_existing(same_shape)):
        named = tf.equal(tf.expand_dims(modality, 2), tf.constant(list(modalities), tf.string))
    unknown = tf.boolean_mask(modality, ~(tf.reduce_any(named, axis=2) | tf.equal(modality, "")))
    # Also false for what is not a number.
    in_range = (weight >= 0.0) & (weight <= LARGEST_WEIGHT)
    wrong = tf.boolean_mask(weight, ~in_range)
    is_repeated = tf.reduce_any(tf.reduce_sum(tf.cast(named, tf.int32), axis=1) > 1)
    checks = [
        _require(tf.equal(tf.size(unknown), 0), "unknown modality: ", _first(unknown), f"; {allowed}"),
        _require(
            tf.equal(tf.size(wrong), 0),
            f"a weight must be from 0 to {LARGEST_WEIGHT:.0f}, got ",
            _first(tf.strings.as_string(wrong, shortest=True)),
            f"; {allowed}",
        ),
        _require(~is_repeated, f"a row names a modality twice; {allowed}"),
    ]
    with tf.control_dependencies(_existing(*checks)):
        return 1.0 + tf.reduce_sum(tf.where(named, tf.expand_dims(weight - 1.0, 2), 0.0), axis=1)


def _require(condition, *message):
    return tf.debugging.Assert(condition, [tf.strings.join(message)])


def _first(texts):
    # Whatever was sent, an error must be UTF-8, and short.
    text = tf.strings.unicode_transcode(tf.strings.reduce_join(texts[:1]), "UTF-8", "UTF-8", errors="replace")
    return tf.strings.substr(text, 0, 60, unit="UTF8_CHAR")


def _existing(*operations):
    # Outside a graph an assertion that holds leaves no operation behind.
    return [operation for operation in operations if operation is not None]

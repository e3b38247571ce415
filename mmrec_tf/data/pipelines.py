"""tf.data pipelines: integers with static shapes, nothing else, reach the train step."""

from collections.abc import Collection

import numpy as np
import tensorflow as tf

from mmrec_tf.data.prefetched import prefetched
from mmrec_tf.data.sequences import Sequences

_OF_THE_REQUEST = ("moment", "position", "context", "statistics")


def retrieval_dataset(
    sequences: Sequences,
    batch_size: int,
    seed: int = 0,
    moments: np.ndarray | None = None,
    weights: np.ndarray | None = None,
    all_positions: bool = False,
    context: dict | None = None,
    before_moment: bool = False,
) -> tf.data.Dataset:
    """Batches for the retrieval model: a user, what they did before, and what they did next.

    The histories are cut out of the one array of interactions while the batches are made, so that memory grows with
    the interactions and not with the length of a history.

    What a user has touched before is never recommended to them, so that an interaction with it is part of histories and
    no example.

    Args:
        sequences: the training interactions in order.
        batch_size: int. Examples a batch; the last, smaller batch is dropped so that shapes stay static.
        seed: int. Of the order, which changes from epoch to epoch.
        moments: `[n]` int32. The period of each interaction; see `Trends.periods`. Defaults to 0 everywhere.
        weights: `[n]` float32. What each interaction counts in the loss. Defaults to 1.
        all_positions: bool. A row is a window of a user's interactions, and each of them an example, with what stands
            before it in the window as its history. `batch_size` still counts examples. Defaults to False, where a row
            is one example with a full history.
        context: nested dict of `[n, ...]` arrays, what is known of the request behind each interaction; None, the
            default, for nothing.
        before_moment: bool. Histories end before the moment of the interaction, as those of whoever asks at a later
            one do: what was in the same basket is not known. Of a user's first moment they hold what stands before it
            in the table, for they would be empty. Not for all positions. Defaults to False.

    Returns:
        A dataset of dicts: `user_index` `[rows]`, `history`, `gaps` `[rows, length]`, and `since`, `moment`,
        `item_index` (int32) and `weight` (float32), `[rows]` or, of all positions, `[rows, length]` with weight 0 and
        item 0 where a window is padded. See `Sequences.asked_at` and `Sequences.windows`. Where it is given, `context`
        in the same nesting, with a row for each example: of all positions `[rows * length, ...]`.
    """
    n, length, is_example = len(sequences), sequences.length, sequences.is_first()
    weights = np.ones(n, np.float32) if weights is None else np.asarray(weights, np.float32)
    flat = {
        "item_index": tf.constant(sequences.item_index),
        "gaps": tf.constant(sequences.gaps),
        "moment": tf.zeros([n], tf.int32) if moments is None else tf.constant(moments, tf.int32),
        "weight": tf.constant(weights * is_example),
    }
    if all_positions:
        ends, users = sequences.window_ends()
        before = ends - 1
        batch_size = max(batch_size // max(length, 1), 1)
    else:
        ends = np.flatnonzero(is_example)
        before, users = (sequences.moment_starts()[ends] if before_moment else ends), sequences.user_rows[ends]
    rows = {
        "end": tf.constant(ends, tf.int64),
        "before": tf.constant(before, tf.int64),
        "start": tf.constant(sequences.starts[users], tf.int64),
        "user_index": tf.constant(users + 1, tf.int32),
    }

    size = min(batch_size, max(len(ends), 1))
    context = tf.nest.map_structure(tf.constant, context or {})

    def known(values, row):
        if not all_positions:
            return tf.gather(values, row["end"])
        return tf.reshape(windows_of(values, row["end"], row["start"], length), [size * length, *values.shape[1:]])

    def cut(row):
        end, before, start = row["end"], row["before"], row["start"]
        batch = {"user_index": row["user_index"]}
        batch["history"] = windows_of(flat["item_index"], before, start, length)
        batch["gaps"] = windows_of(flat["gaps"], before, start, length)
        # How long ago the last interaction was is told beside the first one after it.
        for name, source, place in (
            ("since", "gaps", end if all_positions else before),
            ("moment", "moment", end),
            ("item_index", "item_index", end),
            ("weight", "weight", end),
        ):
            values = flat[source]
            batch[name] = windows_of(values, place, start, length) if all_positions else tf.gather(values, place)
        if context:
            batch["context"] = tf.nest.map_structure(lambda values: known(values, row), context)
        return batch

    batches = gathered_batches(rows, size, seed)
    return prefetched(batches.map(cut, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True))


def windows_of(values: tf.Tensor, ends: tf.Tensor, starts: tf.Tensor, length: int) -> tf.Tensor:
    """`[batch, length, ...]` values before each end, none before its start, padded in front with 0."""
    wanted = ends[:, None] - tf.range(length, 0, -1, dtype=ends.dtype)[None, :]
    inside = wanted >= starts[:, None]
    found = tf.gather(values, tf.maximum(wanted, 0))
    for _ in values.shape[1:]:
        inside = inside[..., None]
    return tf.where(inside, found, tf.zeros([], values.dtype))


def multi_task_dataset(
    batches: tf.data.Dataset, rated: dict[str, np.ndarray] | None, batch_size: int, seed: int = 0
) -> tf.data.Dataset:
    """Batches for multi-task training: those of `retrieval_dataset`, with as many labelled interactions beside them.

    Args:
        batches: what `retrieval_dataset` gives.
        rated: row-aligned arrays of labelled interactions, which begin anew when all have been drawn; None for none.
        batch_size: int. Labelled interactions a batch.
        seed: int. Of the orders, which change from epoch to epoch.

    Returns:
        A dataset of dicts, as long as `batches`.
    """
    if rated is None:
        return batches
    size = min(batch_size, len(next(iter(rated.values()))))
    beside = gathered_batches(rated, size, seed + 1).repeat()
    return tf.data.Dataset.zip((batches, beside)).map(lambda one, other: {**one, **other})


def gathered_batches(arrays: dict, batch_size: int, seed: int | None) -> tf.data.Dataset:
    """Shuffled batches of row-aligned arrays, which may be nested, drawn by position rather than row by row.

    One gather per batch is about a hundred times cheaper than slicing and re-batching single rows. With a seed the
    order changes every epoch and the incomplete last batch is dropped; with None the order is kept and nothing is
    dropped.
    """
    count = len(tf.nest.flatten(arrays)[0])
    tensors = tf.nest.map_structure(tf.constant, arrays)
    if seed is None:
        places = tf.data.Dataset.range(count).batch(batch_size)
    else:
        places = _shuffled_places(count, batch_size, seed)
    dataset = places.map(lambda rows: tf.nest.map_structure(lambda tensor: tf.gather(tensor, rows), tensors))
    return prefetched(dataset)


def _shuffled_places(count: int, batch_size: int, seed: int) -> tf.data.Dataset:
    """`[batch_size]` int64 places from 0 to count - 1, in an order of each epoch's own, without the smaller last batch.

    A keyed permutation is worked out place by place, so that no epoch begins with the shuffling of all.
    """
    batches = count // batch_size

    def epoch(key):
        def places(batch):
            place = batch * batch_size + tf.range(batch_size, dtype=tf.int64)
            return tf.random.experimental.index_shuffle(place, tf.cast([key, seed], tf.uint32), count - 1)

        return tf.data.Dataset.range(batches).map(places)

    keys = tf.data.Dataset.random(seed=seed, rerandomize_each_iteration=True).take(1)
    return keys.flat_map(epoch).apply(tf.data.experimental.assert_cardinality(batches))


def ranking_dataset(
    examples: dict[str, np.ndarray],
    catalogue: np.ndarray,
    batch_size: int,
    negatives: int = 0,
    hard_negatives: np.ndarray | None = None,
    hard_per_example: int = 0,
    seed: int = 0,
    after_click: Collection[str] = (),
) -> tf.data.Dataset:
    """Batches for the ranking model: each example with negatives drawn anew every epoch.

    Random negatives are uniform over the items of the training interactions, hard ones uniform over the items that
    retrieval ranks high for the user. Items that training has no interaction with are no negatives: a model that only
    ever meets them as such learns that whatever is new is bad. A drawn item that is the example's own or stands in its
    history gets weight 0, and so do the negatives of an example whose label is 0. A drawn item was never shown: it says
    nothing of other targets, but that what comes after a click did not happen.

    Args:
        examples: `user_index`, `item_index` `[n]` int32, `history` `[n, length]` int32, `label` `[n]` float32; and
            where they are known, `moment` and `position` `[n]` int32, `context`, a nested dict of `[n, ...]` arrays,
            and, where nothing is drawn, `statistics`, a dict of `[n, columns]` arrays. Of several targets also
            `targets`, a dict of name -> dict of `label` and `weight` `[n]` float32. Of graded likes `grade`, `[n]`
            int32.
        catalogue: `[m]` int. Indices of the items that may be drawn.
        batch_size: int. Pairs a batch, negatives included.
        negatives: int. Random negatives for each example.
        hard_negatives: `[users + 1, m]` int. Item indices by user index, 0 where there is none.
        hard_per_example: int. How many of them for each example.
        seed: int. Of order and draws.
        after_click: names of the targets that come after the main one.

    Returns:
        A dataset of dicts: `user_index` `[batch]`, `history` `[batch, length]`, `moment`, `position`, `context` and
        `statistics` as in the examples, a drawn item standing in its example's place; `item_index`, `label`, `weight`
        `[batch, 1 + negatives + hard_per_example]`, the example's own item first, and `targets` and `grade`, -1 for a
        drawn item, in the same shape.
    """
    hard_per_example = 0 if hard_negatives is None or hard_negatives.shape[1] == 0 else hard_per_example
    group = 1 + negatives + hard_per_example
    count = len(examples["item_index"])
    batches = gathered_batches(examples, min(max(batch_size // group, 1), count), seed)
    if group == 1:
        return prefetched(batches.map(_without_negatives))
    items = tf.constant(catalogue, tf.int32)
    hard = tf.constant(hard_negatives, tf.int32) if hard_per_example else None

    def add_negatives(rows, step):
        own, label = rows["item_index"][:, None], rows["label"][:, None]
        size = tf.shape(own)[0]
        # Draws depend on seed and step alone, so they are the same whatever the threads do. The order of the examples
        # changes with every epoch, and with it the negatives that an example meets.
        places = tf.random.stateless_uniform([size, negatives], [seed, step], 0, len(catalogue), tf.int32)
        drawn = [tf.gather(items, places)]
        if hard is not None:
            columns = tf.random.stateless_uniform(
                [size, hard_per_example], [seed + 1, step], 0, hard.shape[1], tf.int32
            )
            drawn.append(tf.gather(tf.gather(hard, rows["user_index"]), columns, batch_dims=1))
        drawn = tf.concat(drawn, axis=1)
        known = tf.concat([rows["history"], own], axis=1)
        clash = tf.reduce_any(drawn[:, :, None] == known[:, None, :], axis=2) | (drawn == 0)
        use = tf.cast(tf.logical_and(~clash, label > 0.0), tf.float32)
        none = tf.zeros_like(use)
        targets = {
            name: {
                "label": tf.concat([said["label"][:, None], none], axis=1),
                "weight": tf.concat([said["weight"][:, None], use if name in after_click else none], axis=1),
            }
            for name, said in rows.get("targets", {}).items()
        }
        grade = {}
        if "grade" in rows:
            grade["grade"] = tf.pad(rows["grade"][:, None], [[0, 0], [0, group - 1]], constant_values=-1)
        return {
            **_of_the_user(rows),
            **grade,
            "item_index": tf.concat([own, drawn], axis=1),
            "label": tf.concat([label, none], axis=1),
            "weight": tf.concat([tf.ones_like(label), use], axis=1),
            **({"targets": targets} if targets else {}),
        }

    return prefetched(tf.data.Dataset.zip((batches, tf.data.Dataset.counter())).map(add_negatives))


def _without_negatives(rows):
    own = {name: rows[name] for name in ("item_index", "label", "targets", "grade") if name in rows}
    own = tf.nest.map_structure(lambda values: values[:, None], own)
    return {**_of_the_user(rows), **own, "weight": tf.ones_like(own["label"])}


def _of_the_user(rows):
    return {name: rows[name] for name in ("user_index", "history", *_OF_THE_REQUEST) if name in rows}

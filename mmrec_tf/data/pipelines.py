"""tf.data pipelines: integers with static shapes, nothing else, reach the train step."""

import numpy as np
import tensorflow as tf

from mmrec_tf.data.sequences import Sequences


def retrieval_dataset(
    sequences: Sequences, batch_size: int, seed: int = 0, positions: np.ndarray | None = None
) -> tf.data.Dataset:
    """Batches for the retrieval model: a user, what they did before, and what they did next.

    Args:
        sequences: the training interactions in order.
        batch_size: int. Examples a batch; the last, smaller batch is dropped so that shapes stay static.
        seed: int. Of the order, which changes from epoch to epoch.
        positions: `[n]` int. Which interactions are examples (the rest are history only). Defaults to all.

    Returns:
        A dataset of dicts: `user_index` `[batch]`, `history` `[batch, length]`, `item_index` `[batch]`, all int32.
    """
    positions = np.arange(len(sequences)) if positions is None else np.asarray(positions)
    batch_size = min(batch_size, max(len(positions), 1))
    arrays = {
        "user_index": sequences.user_index[positions],
        "history": sequences.before(positions),
        "item_index": sequences.item_index[positions],
    }
    return gathered_batches(arrays, batch_size, seed)


def multi_task_dataset(
    sequences: Sequences, rated: dict[str, np.ndarray] | None, batch_size: int, seed: int = 0
) -> tf.data.Dataset:
    """Batches for multi-task training: those of `retrieval_dataset`, with as many labelled interactions beside them.

    Args:
        sequences: the training interactions that retrieval learns from, in order.
        rated: row-aligned arrays of labelled interactions, which begin anew when all have been drawn; None for none.
        batch_size: int. Examples a batch, of either sort.
        seed: int. Of the orders, which change from epoch to epoch.

    Returns:
        A dataset of dicts, an epoch of `retrieval_dataset` long.
    """
    batches = retrieval_dataset(sequences, batch_size, seed)
    if rated is None:
        return batches
    size = min(batch_size, max(len(sequences), 1), len(next(iter(rated.values()))))
    beside = gathered_batches(rated, size, seed + 1).repeat()
    return tf.data.Dataset.zip((batches, beside)).map(lambda one, other: {**one, **other})


def gathered_batches(arrays: dict[str, np.ndarray], batch_size: int, seed: int | None) -> tf.data.Dataset:
    """Shuffled batches of row-aligned arrays, drawn by position rather than row by row.

    One gather per batch is about a hundred times cheaper than slicing and re-batching single rows. With a seed the
    order changes every epoch and the incomplete last batch is dropped; with None the order is kept and nothing is
    dropped.
    """
    count = len(next(iter(arrays.values())))
    tensors = {name: tf.constant(array) for name, array in arrays.items()}
    dataset = tf.data.Dataset.range(count)
    if seed is not None:
        dataset = dataset.shuffle(count, seed=seed, reshuffle_each_iteration=True)
    dataset = dataset.batch(batch_size, drop_remainder=seed is not None)
    dataset = dataset.map(lambda rows: {name: tf.gather(tensor, rows) for name, tensor in tensors.items()})
    return dataset.prefetch(tf.data.AUTOTUNE)


def ranking_dataset(
    examples: dict[str, np.ndarray],
    catalogue: np.ndarray,
    batch_size: int,
    negatives: int = 0,
    hard_negatives: np.ndarray | None = None,
    hard_per_example: int = 0,
    seed: int = 0,
) -> tf.data.Dataset:
    """Batches for the ranking model: each example with negatives drawn anew every epoch.

    Random negatives are uniform over the items of the training interactions, hard ones uniform over the items that
    retrieval ranks high for the user. Items that training has no interaction with are no negatives: a model that only
    ever meets them as such learns that whatever is new is bad. A drawn item that is the example's own or stands in its
    history gets weight 0, and so do the negatives of an example whose label is 0.

    Args:
        examples: `user_index`, `item_index` `[n]` int32, `history` `[n, length]` int32, `label` `[n]` float32.
        catalogue: `[m]` int. Indices of the items that may be drawn.
        batch_size: int. Pairs a batch, negatives included.
        negatives: int. Random negatives for each example.
        hard_negatives: `[users + 1, m]` int. Item indices by user index, 0 where there is none.
        hard_per_example: int. How many of them for each example.
        seed: int. Of order and draws.

    Returns:
        A dataset of dicts: `user_index` `[batch]`, `history` `[batch, length]`, `item_index`, `label`, `weight`
        `[batch, 1 + negatives + hard_per_example]`, the example's own item first.
    """
    hard_per_example = 0 if hard_negatives is None or hard_negatives.shape[1] == 0 else hard_per_example
    group = 1 + negatives + hard_per_example
    count = len(examples["item_index"])
    batches = gathered_batches(examples, min(max(batch_size // group, 1), count), seed)
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
        use = tf.logical_and(~clash, label > 0.0)
        return {
            "user_index": rows["user_index"],
            "history": rows["history"],
            "item_index": tf.concat([own, drawn], axis=1),
            "label": tf.concat([label, tf.zeros_like(drawn, tf.float32)], axis=1),
            "weight": tf.concat([tf.ones_like(label), tf.cast(use, tf.float32)], axis=1),
        }

    return tf.data.Dataset.zip((batches, tf.data.Dataset.counter())).map(add_negatives).prefetch(tf.data.AUTOTUNE)

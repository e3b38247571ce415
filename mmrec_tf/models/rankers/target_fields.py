"""What became of earlier pairs with the same user, item or category, as fields."""

from typing import Any

import numpy as np
import tensorflow as tf
import tf_keras

from mmrec_tf._keras import weight_name
from mmrec_tf.data.target_statistics import ITEM_COLUMNS, USER_COLUMNS, TargetStatistics
from mmrec_tf.models.rankers.fields import STDDEV


@tf_keras.utils.register_keras_serializable(package="mmrec_tf")
class TargetFields(tf_keras.layers.Layer):
    """Embeds target statistics, one field for each column.

    The tables are looked up by index wherever a pair is asked about. Of training rows the tables would tell their own
    labels; these bring what the other rows say.

    Args:
        dim: int. Width of each field.
        spec: dict of `users`, `items`: numbers of indices; `features`: how many of the items' features have means;
            `crossed`: dict of those that are crossed with users -> `[categories, most values]`.

    Call arguments:
        user_index: `[batch]` int32.
        item_index: `[batch, group]` int32.
        told: dict of `user` `[batch, columns]`, `item` and `pair` `[batch * group, columns]`, as
            `TargetStatistics.of` gives them; None, the default, to look them up.
        hides_user: `[batch]` bool, of whom nothing is to be known; None, the default, for nobody.
        hides_item: `[batch, group]` bool, of which only the categories' means are to be known.

    Returns:
        `[batch, user fields, dim]`, and `[batch * group, item and pair fields, dim]`.
    """

    def __init__(self, dim: int, spec: dict[str, Any], **kwargs):
        super().__init__(**kwargs)
        self.dim = dim
        self.spec = spec
        options = {"dtype": "float32", "initializer": "zeros", "trainable": False, "experimental_autocast": False}
        crossed = spec["crossed"]
        self.widths = {"user": USER_COLUMNS, "item": ITEM_COLUMNS + spec["features"], "pair": 2 * len(crossed)}
        self.user = self.add_weight(name="user", shape=[spec["users"], self.widths["user"]], **options)
        self.item = self.add_weight(name="item", shape=[spec["items"], self.widths["item"]], **options)
        self.lists, self.crossed = {}, {}
        for name, (categories, most) in crossed.items():
            self.lists[name] = self.add_weight(
                name=f"list_{weight_name(name)}", shape=[spec["items"], most], **{**options, "dtype": "int32"}
            )
            self.crossed[name] = self.add_weight(
                name=f"crossed_{weight_name(name)}", shape=[spec["users"], categories, 2], **options
            )
        self.scales = {
            name: self.add_weight(name=f"scale_{name}", shape=[2, width], **options)
            for name, width in self.widths.items()
        }
        self.embeddings = {
            name: self.add_weight(
                name=f"embedding_{name}",
                shape=[2, width, dim],
                initializer=tf_keras.initializers.RandomNormal(stddev=STDDEV),
            )
            for name, width in self.widths.items()
            if width
        }

    def set(self, statistics: TargetStatistics, told: dict[str, np.ndarray] | None = None) -> None:
        """Takes the tables, and with what training rows are told the columns' means and spreads."""
        self.user.assign(statistics.user)
        self.item.assign(statistics.item)
        for name, table in statistics.crossed.items():
            self.lists[name].assign(statistics.lists[name])
            self.crossed[name].assign(table)
        for name, columns in (told or {}).items():
            if columns.size:
                spread = columns.std(axis=0)
                self.scales[name].assign(np.stack([columns.mean(axis=0), np.where(spread > 1e-6, spread, 1.0)]))

    def call(self, user_index, item_index, told=None, hides_user=None, hides_item=None):
        told = self._looked_up(user_index, item_index) if told is None else told
        # What training has not met has a mean, that of all, but no count.
        met_user, met_item = told["user"][:, 1] > 0.0, told["item"][:, 1] > 0.0
        if hides_user is not None:
            met_user &= ~hides_user
        if hides_item is not None:
            met_item &= ~tf.reshape(hides_item, [-1])
        met_user_of_item = tf.repeat(met_user, tf.shape(item_index)[1])
        known = tf.reshape(item_index, [-1]) > 0
        of_item = [met_item] * ITEM_COLUMNS + [known] * self.spec["features"]
        of_pair = [met_user_of_item & known] * self.widths["pair"]
        item = [self._fields("item", told, of_item), *([self._fields("pair", told, of_pair)] if of_pair else [])]
        return self._fields("user", told, [met_user] * USER_COLUMNS), tf.concat(item, axis=1)

    def get_config(self):
        return {**super().get_config(), "dim": self.dim, "spec": self.spec}

    def _looked_up(self, users, item_index):
        items = tf.reshape(item_index, [-1])
        users_of_items = tf.repeat(users, tf.shape(item_index)[1])[:, None]
        pairs = [tf.zeros([tf.size(items), 0])]
        for name, table in self.crossed.items():
            values = tf.gather(self.lists[name], items)
            there = values > 0
            # What has no value is told what is known of none, the first row.
            is_first = tf.range(values.shape[1]) == 0
            there |= is_first & ~tf.reduce_any(there, axis=1, keepdims=True)
            there = tf.cast(there, tf.float32)[..., None]
            found = tf.gather(tf.reshape(table, [-1, 2]), users_of_items * table.shape[1] + values)
            total = tf.reduce_sum(found * there, axis=1)
            pairs.append(total / tf.maximum(tf.reduce_sum(there, axis=1), 1.0))
        return {
            "user": tf.gather(self.user, users),
            "item": tf.gather(self.item, items),
            "pair": tf.concat(pairs, axis=1),
        }

    def _fields(self, name, told, present):
        """`[rows, columns, dim]`: each column on a line of its own, `present * (x w_1 + w_2)`."""
        mean, spread = tf.unstack(self.scales[name])
        columns = (told[name] - mean) / tf.where(spread > 0.0, spread, 1.0)
        present = tf.cast(tf.stack(present, axis=1), tf.float32)
        numbers = tf.cast(tf.stack([columns * present, present]), self.compute_dtype)
        return tf.einsum("krc,kcd->rcd", numbers, self.embeddings[name])

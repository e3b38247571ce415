"""Where the fields of a batch come from: worked out from the tables, or looked up where nothing is learned any more."""

import numpy as np
import tensorflow as tf

from mmrec_tf.models.item_embedding import hide_ids
from mmrec_tf.models.rankers.fields import Pairs, flattened, weights_and_vectors

_BLOCK = 4096

STRANGERS = 0.5
"""Share of the hidden ids of which statistics tell nothing either. The others are as those that came after training
are: they have statistics once these are brought up to date, and no embedding of their own."""


class PairFields:
    """The part of `Ranker` that makes `Pairs` of its inputs."""

    looks_up_vectors = True
    """Whether `interactions` asks for `item_vectors` where the `item_parts` are looked up: yes, unless the class whose
    interactions they are says otherwise."""

    def __init_subclass__(cls, **kwargs):
        super().__init_subclass__(**kwargs)
        # What a parent's interactions do without, those of a class that has its own may need.
        if "interactions" in cls.__dict__ and "looks_up_vectors" not in cls.__dict__:
            cls.looks_up_vectors = True

    def item_parts(self, item_vectors: tf.Tensor) -> dict[str, tf.Tensor]:
        """What `interactions` makes of items' fields alone, which an exported ranker looks up.

        Args:
            item_vectors: `[items, fields, dim]`.

        Returns:
            dict of `[items, ...]`; empty by default.
        """
        return {}

    def parts_of(self, pairs: Pairs) -> dict[str, tf.Tensor]:
        """The `item_parts` of pairs, looked up where they have been."""
        return self.item_parts(pairs.item_vectors) if pairs.item_parts is None else pairs.item_parts

    def item_rows(self, first: int | None = None) -> dict[str, np.ndarray | dict[str, np.ndarray]]:
        """What the fields of every item come to now, for scores to be found sooner where nothing is learned any more.

        Args:
            first: int. How many, of the lowest indices; None, the default, for all.

        Returns:
            See `rows_of_items`.
        """
        return _in_blocks(self.rows_of_items, first or self.items.size)

    def history_rows(self, first: int | None = None) -> dict[str, np.ndarray]:
        """What the histories' means add up of every item as it is now.

        Args:
            first: as for `item_rows`.

        Returns:
            dict of `history`, `[items, columns]`, see `TableFields.columns`; empty of a ranker that reads the history
            item by item, or that has none to read.
        """
        if self.reads_steps or not self.history_fields.built:
            return {}
        return {"history": _in_blocks(self._history_rows, first or self.items.size)}

    def user_rows(self, first: int | None = None) -> dict[str, np.ndarray]:
        """What every user's own fields come to now.

        Args:
            first: as for `item_rows`.

        Returns:
            dict of `user`, `[users, fields * (dim + 1)]`.
        """
        return {"user": _in_blocks(self._user_rows, first or self.users.size)}

    def rows_of_items(self, index: tf.Tensor) -> dict[str, tf.Tensor | dict[str, tf.Tensor]]:
        """What the call's `rows` hold of items.

        Args:
            index: `[items]` int32.

        Returns:
            `weights`, `[items, 1]` float32, those of all fields, the popularity of the present among them; `parts`,
            what `item_parts` gives, where the fields of a pair are those of the item alone; `vectors`, `[items, fields,
            dim]`, where these are asked for; and `step`, `[items, dim]`, of a ranker that reads the history item by
            item.
        """
        ids = tf.gather(self.items.id_index, index)
        weights, vectors = weights_and_vectors(self._fields_of_items(index[:, None], ids[:, None]))
        rows = {"weights": tf.reduce_sum(weights, axis=1, keepdims=True)}
        # Target statistics are of user and item, and come to the fields that are looked up.
        parts = {} if self.target_fields is not None else self.item_parts(vectors)
        if parts:
            rows["parts"] = parts
        if self.looks_up_vectors or not parts:
            rows["vectors"] = vectors
        if self.reads_steps:
            rows["step"] = tf.reduce_sum(self.history_fields(index, ids), axis=1)
        return rows

    def _history_rows(self, index):
        # Of the row that only fills up nothing is added.
        return self.history_fields.columns(index) * tf.cast(index > 0, self.history_fields.compute_dtype)[:, None]

    def _user_rows(self, index):
        return flattened(self.user_fields(index, tf.gather(self.users.id_index, index)))

    def _fields_of_items(self, group, item_ids, moment=None, **options):
        """`[pairs, fields, dim + 1]` of items, without what the target statistics tell."""
        item = self.item_fields(group, item_ids, **options)
        item = tf.reshape(item, [-1, *item.shape[2:]])
        return item if self.trend_field is None else tf.concat([item, self.trend_field(group, moment)], axis=1)

    def _pairs(self, inputs, training, without, without_ids, vectors, rows=None):
        user_index, history, group = inputs["user_index"], inputs["history"], inputs["item_index"]
        group = group if group.shape.rank == 2 else group[:, None]
        all_user_ids, all_item_ids = tf.gather(self.users.id_index, user_index), tf.gather(self.items.id_index, group)
        user_ids = hide_ids(all_user_ids, self.id_dropout, training)
        item_ids = hide_ids(all_item_ids, self.id_dropout, training)
        if without_ids is not None:
            item_ids = tf.where(without_ids, 0, item_ids)
        history_ids = tf.gather(self.items.id_index, history)
        user, read = [self._own_fields(user_index, user_ids, rows)], {}
        if self.reads_steps and rows is not None:
            read = {"target": tf.gather(rows["step"], group), "steps": tf.gather(rows["step"], history)}
        elif self.reads_steps:
            steps = self.history_fields(history, history_ids)
            target = self.history_fields(group, item_ids, without=without, vectors=vectors)
            read = {"target": tf.reduce_sum(target, axis=2), "steps": tf.reduce_sum(steps, axis=2)}
        elif history.shape[1]:
            user.extend(self._means(history, history_ids, rows))
        context = inputs.get("context")
        if self.context_fields is not None:
            context = self.context_fields.unknown(tf.shape(user_index)[0]) if context is None else context
            user.append(self.context_fields(context, training=training))
        # The user's side is the same for a whole group of items, so it is worked out once and repeated.
        if rows is None:
            moment = inputs.get("moment")
            item = self._fields_of_items(group, item_ids, moment, without=without, vectors=vectors)
            item_weights, item_vectors = weights_and_vectors(item)
            item_parts = None
        else:
            flat = tf.reshape(group, [-1])
            names = [name for name in ("weights", "vectors", "parts") if name in rows]
            found = tf.nest.map_structure(lambda table: tf.gather(table, flat), {name: rows[name] for name in names})
            item_weights, item_vectors, item_parts = (found.get(name) for name in ("weights", "vectors", "parts"))
        if self.target_fields is not None:
            hides_user = _of_strangers(user_ids, all_user_ids, training)
            hides_item = _of_strangers(item_ids, all_item_ids, training)
            if without_ids is not None:
                # Also where the id was 0 before.
                hides_item |= without_ids
            hidden = {"hides_user": hides_user, "hides_item": hides_item}
            of_user, of_item = self.target_fields(user_index, group, inputs.get("statistics"), **hidden)
            user.append(of_user)
            told_weights, told_vectors = weights_and_vectors(of_item)
            item_weights = tf.concat([item_weights, told_weights], axis=1)
            item_vectors = tf.concat([item_vectors, told_vectors], axis=1)
        user_weights, user_vectors = weights_and_vectors(tf.concat(user, axis=1))
        return Pairs(
            item_vectors=item_vectors,
            item_weights=item_weights,
            user_vectors=user_vectors,
            user_weights=user_weights,
            item_index=group,
            item_ids=item_ids,
            history=history,
            history_ids=history_ids,
            user_index=user_index,
            context=context,
            item_parts=item_parts,
            **read,
        )

    def _own_fields(self, user_index, user_ids, rows):
        """`[batch, fields, dim + 1]` of the users themselves."""
        if rows is None or "user" not in rows:
            return self.user_fields(user_index, user_ids)
        return tf.reshape(tf.gather(rows["user"], user_index), [-1, self.user_fields.count, self.dim + 1])

    def _means(self, history, history_ids, rows):
        """`[batch, fields, dim + 1]` each: the means of the histories, and what is told of the last item."""
        windows = [0, history.shape[1] - 1] if self.last_item else [0]
        if rows is None or "history" not in rows:
            return [
                self.history_fields(history[:, start:], history_ids[:, start:], present=history[:, start:] > 0)
                for start in windows
            ]
        read, is_there = tf.gather(rows["history"], history), tf.cast(history > 0, self.compute_dtype)[:, :, None]
        added, count = ([tf.reduce_sum(each[:, start:], axis=1) for start in windows] for each in (read, is_there))
        # All at once, the fields of the last item behind the means of its user's.
        added, count = (tf.reshape(tf.stack(each, axis=1), [-1, each[0].shape[1]]) for each in (added, count))
        fields = self.history_fields.mean_of(added, count)
        return [tf.reshape(fields, [-1, len(windows) * self.history_fields.count, self.dim + 1])]

    def _squared_lengths(self, inputs):
        users = self.user_fields.ids(tf.gather(self.users.id_index, inputs["user_index"]))
        items = self.item_fields.ids(tf.gather(self.items.id_index, tf.reshape(inputs["item_index"], [-1])))
        lengths = [tf.reduce_sum(tf.square(tf.cast(ids, tf.float32)), axis=1) for ids in (users, items)]
        return tf.add_n([tf.reduce_mean(length) for length in lengths])


def _of_strangers(ids, all_ids, training):
    """Which of the hidden ids stand for what nobody has met."""
    hidden = ids != all_ids
    return hidden & (tf.random.uniform(tf.shape(ids)) < STRANGERS) if training else hidden


def _in_blocks(rows_of, size):
    """All rows that `rows_of` gives of so many indices, worked out for a block at a time."""
    blocks = [rows_of(tf.range(start, min(start + _BLOCK, size))) for start in range(0, size, _BLOCK)]
    return tf.nest.map_structure(lambda *rows: np.concatenate(rows), *blocks)

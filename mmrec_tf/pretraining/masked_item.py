"""Masked-item modelling of histories: what is hidden of a history is found by what stands around it."""

import numpy as np
import tensorflow as tf

from mmrec_tf.config_pretraining import MaskedItemConfig
from mmrec_tf.data.sequences import Sequences
from mmrec_tf.errors import ConfigError
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.pretraining.batches import Batches
from mmrec_tf.pretraining.stage_model import StageModel, uniform
from mmrec_tf.pretraining.views import arrays_of


class MaskedItemStage(StageModel):
    """Trains both towers to find a hidden item of a history among the batch's items.

    Fitted to what comes next, a model sees each interaction with what came before it only. Here each is also seen with
    what came after, in windows that change with every epoch, so that few interactions make many examples:

        loss = -log softmax over the batch of score(query(window without i), candidate(i)) / temperature

    It is the model's own retrieval loss, logQ correction and all, on other examples.

    Args:
        model: the `TwoTower`.

    Call arguments:
        batch: dict with `user_index` `[batch]`, `history` `[batch, length]`, `item_index` `[batch]` and, where trends
            are known, `moment` `[batch]`, int32.

    Returns:
        dict with `loss`.

    Reference: Sun et al., BERT4Rec (CIKM 2019).
    """

    draws_in_layers = True

    def __init__(self, model: TwoTower, **kwargs):
        super().__init__(**kwargs)
        self.two_tower = model

    def objective(self, batch, training):
        inputs = {name: batch[name] for name in ("user_index", "history", "item_index", "moment") if name in batch}
        return {"loss": tf.cast(self.two_tower.compute_loss(inputs, training=training), tf.float32)}


class HiddenItems:
    """Windows of histories with an item hidden, made in tf.data.

    The window is one of those of `length` interactions in a row that hold the example, drawn evenly. The hidden item
    leaves an empty place, and so do its other occurrences in the window, which would give it away.

    Args:
        sequences: the training interactions in order.
        hide: float in [0, 1). Chance that a further item of the window is hidden.
        moments: `[n]` int32. The period of each interaction; see `Trends.periods`. None, the default, without trends.
    """

    def __init__(self, sequences: Sequences, hide: float, moments: np.ndarray | None = None):
        self.item_index = tf.constant(sequences.item_index, tf.int32)
        self.length = sequences.length
        self.hide = hide
        user_rows = sequences.user_rows
        self.arrays = {
            "user_index": sequences.user_index,
            "item_index": sequences.item_index,
            "position": np.arange(len(sequences), dtype=np.int32),
            "start": sequences.starts[user_rows].astype(np.int32),
            "end": sequences.starts[user_rows + 1].astype(np.int32),
        }
        if moments is not None:
            self.arrays["moment"] = moments

    def __call__(self, batch: dict) -> dict:
        """The batch with its `history` `[batch, length]`, oldest first."""
        seed, position = batch["seed"], batch["position"]
        # The place of the example in its window, counted from the window's end.
        behind = tf.cast(uniform(seed, 0, tf.shape(position)) * self.length, tf.int32)
        last = tf.minimum(position + behind, batch["end"] - 1)
        wanted = last[:, None] - tf.range(self.length - 1, -1, -1)[None, :]
        inside = wanted >= batch["start"][:, None]
        window = tf.where(inside, tf.gather(self.item_index, tf.where(inside, wanted, 0)), 0)
        hidden = window == batch["item_index"][:, None]
        if self.hide:
            hidden = tf.logical_or(hidden, uniform(seed, 1, tf.shape(window)) < self.hide)
        told = {name: batch[name] for name in ("user_index", "item_index", "moment") if name in batch}
        return {**told, "history": tf.where(hidden, 0, window)}


def masked_item(
    model: TwoTower, prepared: Prepared, options: MaskedItemConfig, seed: int
) -> tuple[MaskedItemStage, Batches, list[np.ndarray]]:
    """The stage for a model, its batches, and the arrays that its result depends on.

    Raises:
        ConfigError: if the model reads no history.
    """
    if prepared.config.models.retrieval.history_length == 0:
        raise ConfigError(
            "pretraining stage masked_item hides items of histories, and models.retrieval.history_length is 0. "
            "Raise it, or take the stage out of pretraining."
        )
    sequences = prepared.sequences()
    hidden = HiddenItems(sequences, options.hide, prepared.moments(sequences))
    batches = Batches(hidden.arrays, options.batch_size, seed, change=hidden)
    return MaskedItemStage(model), batches, [*hidden.arrays.values(), *arrays_of(prepared.items, prepared.users)]

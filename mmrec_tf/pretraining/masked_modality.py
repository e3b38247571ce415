"""Masked-modality modelling: what is hidden of an item is told from the rest of it."""

import numpy as np
import tensorflow as tf

from mmrec_tf.config_pretraining import MaskedModalityConfig
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.losses.alignment_registry import build_alignment
from mmrec_tf.models.item_embedding import ItemEmbedding
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.pretraining.batches import Batches
from mmrec_tf.pretraining.objectives import squared_distance
from mmrec_tf.pretraining.stage_model import uniform
from mmrec_tf.pretraining.views import ItemStage, arrays_of, choose_one, count_present, items_with


class MaskedModalityStage(ItemStage):
    """Hides one modality of each item and predicts its vector from the others, fused.

    A fusion that can tell a photo from a title has found what the two have in common, which no interaction had to
    teach it, and it puts an item whose photo is missing near where it would be with one:

        h_m = D_m fusion(x without x_m),   loss = mean over m of d_m(h_m, x_m)

    where d_m is the contrastive loss over the batch (the items that hide the same modality; equal vectors are no
    negatives of each other), or the squared distance. D_m is linear and thrown away.

    Items with fewer than two modalities are no examples.

    Args:
        items: the `ItemEmbedding` whose fusion is trained.
        objective: `contrastive` or `regression`.
        temperature: float. Where the contrastive loss' learned temperature starts.
        hide: float in [0, 1). Chance that a further present modality is hidden too; one always stays.

    Call arguments:
        batch: dict with `item_index` `[batch]` int32 and `seed` `[2]` int32.

    Returns:
        dict with `loss`.

    Reference: Bachmann et al., MultiMAE (2022), for predicting hidden modalities; Radford et al. (2021), for the loss.
    """

    def __init__(
        self,
        items: ItemEmbedding,
        objective: str = "contrastive",
        temperature: float = 0.1,
        hide: float = 0.0,
        **kwargs,
    ):
        super().__init__(items, decoded=sorted(items.lookup.shapes["vectors"]), **kwargs)
        self.compare = None
        if objective == "contrastive":
            self.compare = {
                name: build_alignment("contrastive", dim=None, temperature=temperature, dtype="float32")
                for name in self.names
            }
        self.hide = hide

    def objective(self, batch, training):
        vectors, masks = self.modalities(batch["item_index"])
        seed = batch["seed"]
        wanted = choose_one(masks, seed, draw=0)
        left = {name: tf.logical_and(masks[name], tf.logical_not(wanted[name])) for name in self.names}
        if self.hide:
            spared = choose_one(left, seed, draw=1)
            for draw, name in enumerate(self.names, start=2):
                stays = uniform(seed, draw, tf.shape(left[name])) >= self.hide
                left[name] = tf.logical_and(left[name], tf.logical_or(stays, spared[name]))
        # What has nothing else to be told from is no question.
        asked = count_present(left) > 0
        fused = self.fuse(vectors, left)
        losses = [
            self._distance(name, self.decoders[name](fused), vectors[name], tf.logical_and(wanted[name], asked))
            for name in self.names
        ]
        return {"loss": tf.add_n(losses) / len(losses)}

    def _distance(self, name, predicted, vectors, counted):
        if self.compare is None:
            return squared_distance(predicted, vectors, counted)
        return self.compare[name]((tf.cast(predicted, tf.float32), vectors), masks=(counted, counted))


def masked_modality(
    model: TwoTower, prepared: Prepared, options: MaskedModalityConfig, seed: int
) -> tuple[MaskedModalityStage, Batches, list[np.ndarray]]:
    """The stage for a model, its batches, and the arrays that its result depends on."""
    index = items_with(prepared.items, least=2, stage=options.stage)
    stage = MaskedModalityStage(model.items, options.objective, options.temperature, options.hide)
    return stage, Batches({"item_index": index}, options.batch_size, seed), [index, *arrays_of(prepared.items)]

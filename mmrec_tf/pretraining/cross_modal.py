"""Cross-modal alignment inside the fused space."""

from itertools import combinations

import numpy as np
import tensorflow as tf

from mmrec_tf.config_pretraining import CrossModalConfig
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.losses.alignment_registry import build_alignment
from mmrec_tf.models.item_embedding import ItemEmbedding
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.pretraining.batches import Batches
from mmrec_tf.pretraining.objectives import squared_distance
from mmrec_tf.pretraining.views import ItemStage, arrays_of, check_names, count_present, items_with


class CrossModalStage(ItemStage):
    """Draws together what the fusion makes of each single modality of an item.

    Whatever the fusion, called with one modality present at a time it gives one vector for each, all in the space that
    the towers read. Aligned there, an item with its text alone lies where it would lie with its photo alone, and, with
    `whole`, where it lies with everything:

        v_m = fusion(x_m alone),  v = fusion(x),
        loss = mean over pairs of align(v_m, v_n)  [+ align(v_m, v)]  + keep * mean over m of |D_m v - x_m|^2

    Alignment asks only for what modalities share. The last term keeps what just one of them says, where a taste may
    lie: each modality must still be read off the full vector, by a linear decoder that is thrown away.

    Items with fewer than two modalities are no examples.

    Args:
        items: the `ItemEmbedding` whose fusion is trained.
        method: str. Name of a registered alignment loss.
        pairs: pairs of modalities; every two when None.
        whole: bool. Align each modality of the pairs with the full vector too.
        keep: float. Weight of the last term.

    Call arguments:
        batch: dict with `item_index` `[batch]` int32.

    Returns:
        dict with `loss`, `alignment`, and with `keep` above 0 `reconstruction`.

    Reference: Radford et al., Learning transferable visual models from natural language supervision (2021); Hazarika
    et al., MISA (2020), for keeping what one modality says alone.
    """

    def __init__(
        self,
        items: ItemEmbedding,
        method: str = "contrastive",
        pairs: list[tuple[str, str]] | None = None,
        whole: bool = True,
        keep: float = 1.0,
        **kwargs,
    ):
        names = sorted(items.lookup.shapes["vectors"])
        self.reported = ("loss", "alignment", "reconstruction") if keep else ("loss", "alignment")
        super().__init__(items, decoded=names if keep else [], **kwargs)
        self.pairs = [tuple(pair) for pair in (combinations(names, 2) if pairs is None else pairs)]
        self.viewed = sorted({name for pair in self.pairs for name in pair})
        self.whole = whole
        self.keep = keep
        compared = len(self.pairs) + (len(self.viewed) if whole else 0)
        self.alignments = [build_alignment(method, dim=None, dtype="float32") for _ in range(compared)]

    def objective(self, batch, training):
        index = batch["item_index"]
        vectors, masks = self.modalities(index)
        views = {name: self.fuse(vectors, self._only(name, masks)) for name in self.viewed}
        compared = [((views[one], views[other]), (masks[one], masks[other])) for one, other in self.pairs]
        full = self.fuse(vectors, masks) if self.whole or self.keep else None
        if self.whole:
            # With one modality the full vector is that modality's view, and there is nothing to learn.
            several = count_present(masks) > 1
            compared += [((views[name], full), (masks[name], several)) for name in self.viewed]
        losses = [
            align(tuple(tf.cast(vector, tf.float32) for vector in pair), masks=present, ids=index)
            for align, (pair, present) in zip(self.alignments, compared)
        ]
        values = {"alignment": tf.add_n(losses) / len(losses)}
        values["loss"] = values["alignment"]
        if self.keep:
            kept = [
                squared_distance(decoder(full), vectors[name], masks[name]) for name, decoder in self.decoders.items()
            ]
            values["reconstruction"] = tf.add_n(kept) / len(kept)
            values["loss"] += self.keep * values["reconstruction"]
        return values

    def _only(self, name, masks):
        return {other: mask if other == name else tf.zeros_like(mask) for other, mask in masks.items()}


def cross_modal(
    model: TwoTower, prepared: Prepared, options: CrossModalConfig, seed: int
) -> tuple[CrossModalStage, Batches, list[np.ndarray]]:
    """The stage for a model, its batches, and the arrays that its result depends on."""
    index = items_with(prepared.items, least=2, stage=options.stage)
    check_names([name for pair in options.pairs or [] for name in pair], prepared.items, "cross_modal.pairs")
    stage = CrossModalStage(model.items, options.method, options.pairs, options.whole, options.keep)
    return stage, Batches({"item_index": index}, options.batch_size, seed), [index, *arrays_of(prepared.items)]

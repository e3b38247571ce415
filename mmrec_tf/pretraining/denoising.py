"""Denoising autoencoders over the modalities' vectors, with the fusion as their encoder."""

import numpy as np
import tensorflow as tf

from mmrec_tf.config_pretraining import DenoisingConfig
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.models.item_embedding import ItemEmbedding
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.pretraining.batches import Batches
from mmrec_tf.pretraining.objectives import squared_distance
from mmrec_tf.pretraining.stage_model import normal, uniform
from mmrec_tf.pretraining.views import ItemStage, arrays_of, check_names, items_with


class DenoisingStage(ItemStage):
    """Spoils the vectors of an item's photo, sound or text, and restores them from the fused vector.

    A fused vector has far fewer numbers than go into it. Restoring makes it spend them on what the catalogue varies
    in, which is a better start than random directions when interactions are few:

        x~_m = zero_mask(x_m) + noise,   loss = mean over m of |D_m fusion(x~) - x_m|^2

    The tables hold vectors of about length 1, so a loss of 1 is that of a decoder that knows nothing. D_m is linear
    and thrown away. Absent modalities stay absent and are not asked for.

    Args:
        items: the `ItemEmbedding` whose fusion is trained.
        mask: float in [0, 1). Share of a vector's numbers that are set to zero.
        noise: float. Root mean square length of the noise added to a vector.
        modalities: list of str. Which are spoilt and restored; all when None. The others go in as they are.

    Call arguments:
        batch: dict with `item_index` `[batch]` int32 and `seed` `[2]` int32.

    Returns:
        dict with `loss`.

    Reference: Vincent et al., Extracting and composing robust features with denoising autoencoders (ICML 2008).
    """

    def __init__(
        self,
        items: ItemEmbedding,
        mask: float = 0.2,
        noise: float = 0.3,
        modalities: list[str] | None = None,
        **kwargs,
    ):
        restored = sorted(items.lookup.shapes["vectors"]) if modalities is None else sorted(set(modalities))
        super().__init__(items, decoded=restored, **kwargs)
        self.mask = mask
        self.noise = noise

    def objective(self, batch, training):
        vectors, masks = self.modalities(batch["item_index"])
        spoilt = dict(vectors)
        for place, name in enumerate(sorted(self.decoders)):
            spoilt[name] = self.spoil(vectors[name], batch["seed"], 2 * place)
        fused = self.fuse(spoilt, masks)
        losses = [
            squared_distance(decoder(fused), vectors[name], masks[name]) for name, decoder in self.decoders.items()
        ]
        return {"loss": tf.add_n(losses) / len(losses)}

    def spoil(self, vectors: tf.Tensor, seed: tf.Tensor, draw: int) -> tf.Tensor:
        """`[batch, width]` vectors with numbers masked and noise added; takes the draws `draw` and `draw + 1`."""
        kept = uniform(seed, draw, tf.shape(vectors)) >= self.mask
        deviation = self.noise / vectors.shape[-1] ** 0.5
        return tf.where(kept, vectors, 0.0) + deviation * normal(seed, draw + 1, tf.shape(vectors))


def denoising(
    model: TwoTower, prepared: Prepared, options: DenoisingConfig, seed: int
) -> tuple[DenoisingStage, Batches, list[np.ndarray]]:
    """The stage for a model, its batches, and the arrays that its result depends on."""
    index = items_with(prepared.items, least=1, stage=options.stage)
    check_names(options.modalities or [], prepared.items, "denoising.modalities")
    stage = DenoisingStage(model.items, options.mask, options.noise, options.modalities)
    return stage, Batches({"item_index": index}, options.batch_size, seed), [index, *arrays_of(prepared.items)]

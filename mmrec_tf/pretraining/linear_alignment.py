"""Linear alignment as the start of a fusion's maps: solved, not fitted."""

import time

import numpy as np
import tensorflow as tf

from mmrec_tf.config_pretraining import LinearAlignmentConfig
from mmrec_tf.errors import ConfigError
from mmrec_tf.features.prepared import Prepared
from mmrec_tf.fusion.base import Fusion
from mmrec_tf.fusion.concat import ConcatFusion
from mmrec_tf.fusion.encoder_decoder import EncoderDecoderFusion
from mmrec_tf.fusion.tokens import TokenFusion
from mmrec_tf.models.two_tower import TwoTower
from mmrec_tf.pretraining.common_space import common_space
from mmrec_tf.pretraining.fitting import StageResult
from mmrec_tf.pretraining.views import items_with


def linear_alignment(model: TwoTower, prepared: Prepared, options: LinearAlignmentConfig) -> StageResult:
    """Sets columns of the fusion's linear maps so that the modalities of an item start near each other.

    A fusion begins with random maps, under which an item's photo and its title are no more alike than any two items'.
    A common space is worked out in seconds from the catalogue alone, that of new items included, and later stages or
    the fit go on from there. The first columns of every modality's map are set; the others keep their random start, so
    that what only one modality says is not lost. The lengths of what the maps give, over the catalogue, stay as they
    were, so that learning rates mean the same.

    Args:
        model: changed in place.
        prepared: the data.
        options: the stage's settings.

    Returns:
        A result without epochs. Its history holds the canonical correlations (or covariances) of every pair, the
        largest first.

    Raises:
        ConfigError: if the schema has fewer than two modalities, or the fusion has no linear map for each.
        DataError: if fewer than two items have two of the modalities, or these have nothing in common.

    Reference: see `mmrec_tf.pretraining.common_space`.
    """
    start = time.perf_counter()
    table = prepared.items
    items_with(table, least=2, stage=options.stage)
    kernels = modality_kernels(model.items.fusion, {name: vectors.shape[1] for name, vectors in table.vectors.items()})
    width = model.items.fusion.dim
    # Row 0 is no item.
    vectors = {name: found[1:] for name, found in table.vectors.items()}
    masks = {name: found[1:] for name, found in table.masks.items()}
    dim = min(options.dim or max(width // 2, 1), width)
    found = common_space(vectors, masks, options.method, dim, options.regularization)
    for name, (kernel, rows) in kernels.items():
        before = kernel.numpy()[rows]
        columns = found.maps[name].shape[1]
        aligned = found.maps[name] * _scale(vectors[name][masks[name]], before[:, :columns], found.maps[name])
        changed = kernel.numpy()
        changed[rows, :columns] = aligned
        kernel.assign(changed)
    measured = "correlation" if options.method == "cca" else "covariance"
    history = {
        f"{measured} of {one} and {other}": [float(value) for value in values[:columns]]
        for (one, other), values in found.correlations.items()
    }
    return StageResult(history, seconds=time.perf_counter() - start)


def modality_kernels(fusion: Fusion, widths: dict[str, int]) -> dict[str, tuple[tf.Variable, slice]]:
    """The linear map of each modality, as a weight and the rows of it that are this modality's.

    Args:
        fusion: built.
        widths: modality -> width of its vectors.

    Raises:
        ConfigError: if the fusion has no such maps.
    """
    if isinstance(fusion, TokenFusion):
        return {name: (fusion.projections[name].kernel, slice(0, width)) for name, width in widths.items()}
    if isinstance(fusion, (ConcatFusion, EncoderDecoderFusion)):
        kernel = fusion.mix.kernel if isinstance(fusion, ConcatFusion) else fusion.encode.kernel
        names = sorted(widths)
        ends = np.cumsum([widths[name] for name in names])
        return {name: (kernel, slice(int(end) - widths[name], int(end))) for name, end in zip(names, ends)}
    raise ConfigError(
        f"pretraining stage linear_alignment sets the linear map of each modality, and {type(fusion).__name__} has "
        "none that it knows. Set fusion.method to one of the built-in methods, derive yours from TokenFusion, or take "
        "the stage out of pretraining."
    )


def _scale(vectors, before, after):
    """What makes the root mean square length of the mapped vectors what it was."""
    lengths = [float(np.sqrt(np.mean(np.square(vectors @ kernel)))) for kernel in (before, after)]
    # A modality whose vectors are all equal has a map of zeros, which no factor changes.
    return lengths[0] / lengths[1] if lengths[1] > 0.0 else 1.0

"""Content alone: items like those in the profile, by what they are and not by who consumed them."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from mmrec_tf.errors import ConfigError, DataError
from mmrec_tf.models.recommender_model import Asked, Progress, RecommenderModel, TrainingData, consumed, item_counts


class ContentProfile(RecommenderModel):
    """Recommends the items whose media are most like the user's, nothing else: the floor for new items.

    Each modality's vectors are centred on the items of training (an encoder's vectors share a large common part that
    tells no two items apart) and brought to length 1. The user is the mean of the items in the profile, and modalities
    are averaged over those that both sides have:

        u_m = mean over the items i of the profile that have m of f_im / |f_im|
        score(u, j) = sum_m w_m cos(u_m, f_jm) / sum_m w_m,    m over the modalities of j and of the profile

    Items that share no modality with the profile score -1, behind all others. Profiles without any content (none, or
    of items without media) get the popular items. Nothing is trained. Repeated interactions count once.

    Args:
        weights: modality -> float, 0 or more. Defaults to None: all the same.

    Raises:
        DataError: from `fit`, if the items have no modality.
        ConfigError: from `fit`, if `weights` names a modality that is not there, or leaves none above zero.

    Reference: Pazzani and Billsus, Content-based recommendation systems (2007).
    """

    def __init__(self, weights: Mapping[str, float] | None = None):
        self.weights = weights

    def check(self, training: TrainingData) -> None:
        if training.items is None or not training.items.vectors:
            raise DataError(
                "content needs items with media or vectors: declare a text, image, audio, video or vector feature in "
                "schema.item, or leave content out of evaluation.baselines."
            )

    def fit(self, training: TrainingData, progress: Progress | None = None) -> ContentProfile:
        self.check(training)
        names = sorted(training.items.vectors)
        weights = dict.fromkeys(names, 1.0) if self.weights is None else dict(self.weights)
        if set(weights) - set(names) or min(weights.values(), default=0.0) < 0.0 or not any(weights.values()):
            raise ConfigError(
                f"weights {weights} must give numbers of 0 or more, one at least above 0, for some of the modalities "
                f"{', '.join(names)}."
            )
        self.modality_weights = {name: weight for name, weight in weights.items() if weight > 0.0}
        self.vectors, self.masks = {}, {}
        for name in self.modality_weights:
            # The table's first row is the item that is not known.
            vectors, mask = training.items.vectors[name][1:], training.items.masks[name][1:]
            lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
            self.vectors[name] = np.where(lengths > 0.0, vectors / np.maximum(lengths, 1e-12), 0.0).astype(np.float32)
            self.masks[name] = np.asarray(mask, bool)
        self.bring_up_to_date(training)
        return self

    def bring_up_to_date(self, interactions: TrainingData) -> None:
        self.counts = item_counts(interactions.positives)

    def score(self, asked: Asked) -> np.ndarray:
        profiles = consumed(asked.profiles)
        scores = np.zeros(profiles.shape, np.float32)
        shared = np.zeros(profiles.shape, np.float32)
        has_content = np.zeros(len(asked), bool)
        for name, weight in self.modality_weights.items():
            vectors, mask = self.vectors[name], self.masks[name]
            there = (profiles @ mask.astype(np.float32)) > 0.0
            means = profiles @ (vectors * mask[:, None])
            means /= np.maximum(np.linalg.norm(means, axis=1, keepdims=True), 1e-12)
            both = there[:, None] & mask[None, :]
            scores += np.where(both, weight * (means @ vectors.T), np.float32(0.0))
            shared += weight * both
            has_content |= there
        scores = np.where(shared > 0.0, scores / np.maximum(shared, 1e-12), np.float32(-1.0))
        scores[~has_content] = self.counts
        return scores

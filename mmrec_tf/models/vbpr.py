"""BPR with the items' content: media place an item that has few interactions, or none."""

from __future__ import annotations

from mmrec_tf.errors import DataError
from mmrec_tf.models.bpr import Bpr
from mmrec_tf.models.factor_network import FactorNetwork
from mmrec_tf.models.feature_lookup import FeatureLookup
from mmrec_tf.models.recommender_model import TrainingData


class Vbpr(Bpr):
    """Recommends by factors of ids beside factors that are made of what the item is, trained as `Bpr`.

        score(u, i) = b_i + p_u . q_i + t_u . c_i + a_i
        c_i = sum over the modalities m that item i has of E_m f_im,    a_i = sum over them of e_m . f_im

    f_im are the item table's vectors, of every modality (the paper has one, of the picture); E_m and e_m are learnt.
    New items have c_i and a_i, so they are recommended by their content; an item without any modality has its id
    alone.

    Args:
        content_factors: int. Length of t and c. Defaults to 32.
        negatives: int. Drawn for each pair; each costs a pass over its vectors. Defaults to 1.
        factors, regularization, learning_rate, epochs, batch_size, seed: as in `Bpr`.

    Raises:
        DataError: from `fit`, if the items have no modality.

    Reference: He and McAuley, VBPR: visual Bayesian personalized ranking from implicit feedback (AAAI 2016).
    """

    def __init__(
        self,
        content_factors: int = 32,
        factors: int = 64,
        regularization: float = 0.01,
        learning_rate: float = 0.1,
        epochs: int = 60,
        batch_size: int = 1024,
        negatives: int = 1,
        seed: int = 0,
    ):
        super().__init__(factors, regularization, learning_rate, epochs, batch_size, negatives, seed)
        self.content_factors = content_factors

    def check(self, training: TrainingData) -> None:
        if training.items is None or not training.items.vectors:
            raise DataError(
                "vbpr needs items with media or vectors: declare a text, image, audio, video or vector feature in "
                "schema.item, or leave vbpr out of evaluation.baselines."
            )

    def _network(self, training: TrainingData) -> FactorNetwork:
        return FactorNetwork(
            training.n_users,
            training.n_items,
            self.factors,
            "bpr",
            regularization=self.regularization,
            lookup=FeatureLookup.from_table(training.items, name="items"),
            content_factors=self.content_factors,
            seed=self.seed,
        )

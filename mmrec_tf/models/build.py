"""Models from the configuration and the feature tables."""

import numpy as np

from mmrec_tf.config import Config
from mmrec_tf.config_tasks import named_heads
from mmrec_tf.errors import ConfigError
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.fusion import build_fusion
from mmrec_tf.losses.pairwise_alignment import PairwiseAlignment
from mmrec_tf.losses.sampling import sampling_probabilities
from mmrec_tf.models.deepfm import DeepFM
from mmrec_tf.models.feature_lookup import FeatureLookup
from mmrec_tf.models.item_embedding import ItemEmbedding
from mmrec_tf.models.towers import RETRIEVAL, CandidateTower, QueryTower
from mmrec_tf.models.two_tower import TwoTower


def build_two_tower(
    config: Config, users: FeatureTable, items: FeatureTable, train_item_index: np.ndarray | None = None
) -> TwoTower:
    """The retrieval model that the configuration describes.

    Args:
        config: the configuration; `models.retrieval`, `fusion`, `alignment` and `tasks` are read.
        users, items: the feature tables, which the model keeps.
        train_item_index: `[n]` int. Items of the training examples, for the logQ correction; None when the model is
            built to be loaded, not trained.
    """
    options = config.models.retrieval
    fusion = build_fusion(config.fusion.model_copy(update={"dim": options.dim}))
    tower = {
        "dim": options.dim,
        "hidden": options.hidden,
        "dropout": options.dropout,
        "experts": config.tasks.experts,
    }
    heads = named_heads(config.tasks, config.features)
    judging_pairs = [name for name, head in heads.items() if head.task != "category"]
    model = TwoTower(
        items=ItemEmbedding(FeatureLookup.from_table(items, name="items"), fusion, options.dim, options.id_dropout),
        query_tower=QueryTower(
            FeatureLookup.from_table(users, name="users"),
            id_dropout=options.id_dropout,
            tasks=[RETRIEVAL, *judging_pairs],
            **tower,
        ),
        candidate_tower=CandidateTower(tasks=[RETRIEVAL, *heads], **tower),
        temperature=options.temperature,
        logq=options.logq,
        remove_accidental_hits=options.remove_accidental_hits,
        user_dropout=options.user_dropout,
        alignment=build_pairwise_alignment(config, items),
        adversarial=options.adversarial and options.adversarial.model_dump(),
    )
    model.create_weights(options.history_length)
    if train_item_index is not None:
        probabilities = sampling_probabilities(train_item_index, items.size)
        model.sampling_probabilities.assign(probabilities)
        model.popularity.embeddings.assign(options.temperature * _log_shares(items, probabilities))
    return model


def build_pairwise_alignment(config: Config, items: FeatureTable) -> PairwiseAlignment | None:
    """The alignment beside the retrieval loss that the configuration asks for; None for none.

    Raises:
        ConfigError: for an unknown method, or if the items have fewer than two modalities.
    """
    options = config.alignment
    if options.method is None:
        return None
    if len(items.masks) < 2:
        raise ConfigError(
            f"alignment {options.method} needs two or more item features with content (text, image, audio, video, "
            f"vector); schema.item has {', '.join(items.masks) or 'none'}. Leave alignment out, or declare more."
        )
    return PairwiseAlignment(options.method, options.pairs, options.weight, {"dim": options.dim})


def build_deepfm(config: Config, users: FeatureTable, items: FeatureTable) -> DeepFM:
    """The ranking model that the configuration describes."""
    options = config.models.ranking
    model = DeepFM(
        users=FeatureLookup.from_table(users, name="users"),
        items=FeatureLookup.from_table(items, name="items"),
        dim=options.dim,
        hidden=options.hidden,
        dropout=options.dropout,
        target=options.target,
        id_dropout=config.models.retrieval.id_dropout,
    )
    model.create_weights(config.models.retrieval.history_length)
    return model


def _log_shares(items: FeatureTable, probabilities: np.ndarray) -> np.ndarray:
    """`[id_vocabulary_size, 1]` log of each id's share of the interactions, less their mean; 0 for ids that are new."""
    known = items.id_index > 0
    shares = np.zeros([items.id_vocabulary_size, 1], np.float32)
    shares[items.id_index[known], 0] = np.log(probabilities[known])
    shares[1:] -= shares[1:].mean() if known.any() else 0.0
    return shares

"""Models from the configuration and the feature tables."""

import numpy as np
import tensorflow as tf

from mmrec_tf.config import Config
from mmrec_tf.config_models import HISTORY_ENCODERS
from mmrec_tf.config_tasks import named_heads
from mmrec_tf.data.click_log import POSITION_BUCKETS
from mmrec_tf.data.target_statistics import can_cross
from mmrec_tf.data.trends import Trends, table_periods
from mmrec_tf.errors import ConfigError
from mmrec_tf.features.context_features import ContextFeatures
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.fusion import build_fusion
from mmrec_tf.losses.alignment_registry import build_alignment
from mmrec_tf.losses.pairwise_alignment import PairwiseAlignment
from mmrec_tf.losses.sampling import sampling_probabilities
from mmrec_tf.models.feature_lookup import FeatureLookup
from mmrec_tf.models.graph_propagation import GraphSmoothing
from mmrec_tf.models.history.registry import build_history_encoder
from mmrec_tf.models.id_propagation import IdPropagation
from mmrec_tf.models.item_embedding import ItemEmbedding
from mmrec_tf.models.neighbour_memory import NeighbourMemory
from mmrec_tf.models.number_embeddings import quantile_edges
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.rankers.ensemble import RankerEnsemble
from mmrec_tf.models.rankers.registry import make_ranker
from mmrec_tf.models.retrieval_task import RetrievalTask
from mmrec_tf.models.towers import RETRIEVAL, CandidateTower, QueryTower
from mmrec_tf.models.two_tower import TwoTower

MEMORIES = ("followers", "companions")
"""What a two-tower model remembers of pairs of items: those taken up one after the other, those of the same users."""


def check_parts(config: Config) -> None:
    """Refuses what only fusions and alignments know of their names and options.

    Raises:
        ConfigError: with the nearest name that there is.
    """
    build_fusion(config.fusion)
    if config.alignment.method is not None:
        build_alignment(config.alignment.method)


def build_two_tower(
    config: Config,
    users: FeatureTable,
    items: FeatureTable,
    train_item_index: np.ndarray | None = None,
    trends: Trends | None = None,
    context: ContextFeatures | None = None,
) -> TwoTower:
    """The retrieval model that the configuration describes.

    Args:
        config: the configuration; `models.retrieval`, `fusion`, `alignment` and `tasks` are read.
        users, items: the feature tables, which the model keeps.
        train_item_index: `[n]` int. Items of the training examples, for the logQ correction; None when the model is
            built to be loaded, not trained.
        trends: popularity over time, where the configuration wants it and the data have times.
        context: what is known of a request; None for nothing.
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
    graph = options.graph
    half_lives = _half_lives(config)
    model = TwoTower(
        items=ItemEmbedding(
            FeatureLookup.from_table(items, name="items"),
            fusion,
            options.dim,
            options.id_dropout,
            GraphSmoothing(items.size, graph.neighbours, graph.layers) if graph.neighbours else None,
        ),
        query_tower=QueryTower(
            FeatureLookup.from_table(users, name="users"),
            _history_encoder(options),
            id_dropout=options.id_dropout,
            tasks=[RETRIEVAL, *judging_pairs],
            context=None if context is None else context.spec,
            **tower,
        ),
        candidate_tower=CandidateTower(tasks=[RETRIEVAL, *heads], **tower),
        task=RetrievalTask(_loss(options, items.size), options.temperature, options.learned_temperature),
        negatives=_negatives(options.negatives, items.size),
        periods=_periods(config, items.size) if half_lives else 1,
        half_lives=half_lives,
        user_dropout=options.user_dropout,
        alignment=build_pairwise_alignment(config, items),
        adversarial=options.adversarial and options.adversarial.model_dump(),
        embedding_l2=options.embedding_l2,
        hard_negatives=options.negatives.hard,
        memories={name: NeighbourMemory(items.size, options.neighbours) for name in MEMORIES if options.neighbours},
        propagation=IdPropagation(users.size, items.size, options.dim, graph.light_gcn) if graph.light_gcn else None,
    )
    model.create_weights(options.history_length)
    if train_item_index is not None:
        probabilities = sampling_probabilities(train_item_index, items.size)
        model.sampling_probabilities.assign(probabilities)
        model.negatives.set_probabilities(probabilities)
        if trends is None:
            model.popularity.embeddings.assign(options.temperature * _log_shares(items, probabilities))
        else:
            model.set_trends(trends)
            model.trend_blend.assign(tf.fill([half_lives], options.temperature / half_lives))
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


def build_ranker(
    config: Config,
    users: FeatureTable,
    items: FeatureTable,
    context: ContextFeatures | None = None,
    trends: Trends | None = None,
) -> Ranker | RankerEnsemble:
    """The ranking model that the configuration describes; an ensemble where `models.ranking.members` is above 1.

    Args:
        config: the configuration; `models.ranking` is read, and of `models.retrieval` what both models share.
        users, items: the feature tables, which the model keeps.
        context: what is known of a request; None for nothing.
        trends: popularity over time, where the configuration wants it and the data have times; None where the model is
            built to be loaded, not trained.
    """
    options = config.models.ranking
    wants_trends = options.draws_negatives if options.trends is None else options.trends
    half_lives = _half_lives(config) if wants_trends else 0
    tables = {"users": users.of_all_met(), "items": items.of_all_met()}
    lookups = {name: FeatureLookup.from_table(table, name=name) for name, table in tables.items()}
    settings = dict(
        **lookups,
        dim=options.dim,
        hidden=options.hidden,
        dropout=options.dropout,
        target=options.target,
        loss=options.loss,
        levels=config.rating_levels,
        id_dropout=config.models.retrieval.id_dropout,
        embedding_l2=options.embedding_l2,
        number_embedding=options.number_embedding,
        number_edges={name: _number_edges(table, options) for name, table in tables.items()},
        context=None if context is None else context.spec,
        trends={"periods": _periods(config, items.size), "half_lives": half_lives} if half_lives else None,
        calibration=options.calibration,
        negatives_kept=options.negatives_kept,
        positions=POSITION_BUCKETS if options.position else 0,
        statistics=statistics_spec(users, items) if options.encodes_targets else None,
        last_item=options.draws_negatives if options.last_item is None else options.last_item,
        **_several_targets(options),
        **options.own_settings,
    )
    members = [make_ranker(options.model, **settings) for _ in range(options.members or 1)]
    model = members[0] if len(members) == 1 else RankerEnsemble(members)
    model.create_weights(config.models.retrieval.history_length)
    if trends is not None:
        model.set_trends(trends)
    return model


def statistics_spec(users: FeatureTable, items: FeatureTable) -> dict:
    """The `spec` of `TargetFields` for these tables."""
    lists = items.category_lists()
    sizes = {name: [int(values.max(initial=0)) + 1, values.shape[1]] for name, values in lists.items()}
    crossed = {name: size for name, size in sizes.items() if can_cross(users.size, lists[name])}
    return {"users": users.size, "items": items.size, "features": len(lists), "crossed": crossed}


def _several_targets(options):
    """What a ranker is told of targets beside the main one; nothing where it is not asked to learn any."""
    targets = {
        name: {"kind": target.kind, "loss": target.loss, "after": target.after, "weight": target.weight}
        for name, target in options.learned_targets.items()
    }
    named = {"targets": targets, "weighting": options.weighting, "order_by": options.order_by}
    return named if targets else {}


def _half_lives(config):
    return 0 if config.features.timestamp is None else len(config.models.retrieval.trends.half_lives)


def _periods(config, size):
    trends = config.models.retrieval.trends
    return table_periods(size, len(trends.half_lives), trends.periods)


def _history_encoder(options):
    history = options.history
    settings = {name: getattr(history, name) for name in HISTORY_ENCODERS[history.encoder]}
    return build_history_encoder(history.encoder, options.dim, options.history_length, **settings)


def _loss(retrieval, size):
    options = retrieval.loss
    settings = {
        "softmax": {"smoothing": options.smoothing},
        # The negatives of an example are averaged, which makes them count as one of the catalogue.
        "binary": {"calibration": options.calibration, "share": 1.0 / (size - 1)},
        "hinge": {"margin": options.margin},
        "reinforce": {
            "top_k": options.top_k,
            "cap": options.cap,
            "size": size,
            "dim": retrieval.dim if options.behaviour == "learned" else 0,
        },
    }
    return {"name": options.name, **settings.get(options.name, {})}


def _negatives(options, size):
    return {"name": options.source_for(size), "count": options.count, "logq": options.logq}


def _number_edges(table, options):
    """Edges of the bins of each number of a table, by the rows seen in training; none for embeddings without bins."""
    if options.number_embedding not in ("piecewise_linear", "bucketised"):
        return {}
    seen = table.id_index > 0
    edges = {name: quantile_edges(numbers[seen], options.number_bins) for name, numbers in table.numbers.items()}
    return {name: found for name, found in edges.items() if found is not None}


def _log_shares(items: FeatureTable, probabilities: np.ndarray) -> np.ndarray:
    """`[id_vocabulary_size, 1]` log of each id's share of the interactions, less their mean; 0 for ids that are new."""
    known = items.id_index > 0
    shares = np.zeros([items.id_vocabulary_size, 1], np.float32)
    shares[items.id_index[known], 0] = np.log(probabilities[known])
    shares[1:] -= shares[1:].mean() if known.any() else 0.0
    return shares

"""mmrec_tf: multimodal recommenders in TensorFlow, from tables and media to a served model.

Importing the package selects legacy Keras (Keras 2, the `tf_keras` package) for the whole process, because TensorFlow
Recommenders needs it, and asks TensorFlow for oneDNN's kernels on CPUs. The public names below are loaded when they are
first used, so that the import itself is quick and TensorFlow is imported only when something that uses it is.
"""

import importlib

from mmrec_tf._keras import ensure_legacy_keras
from mmrec_tf._onednn import prefer_onednn

ensure_legacy_keras()
prefer_onednn()

__version__ = "0.1.0"

_MODULES = {
    "schema": ("Feature", "Schema"),
    "config": ("Config",),
    "config_file": ("dump_config", "load_config", "parse_config"),
    "errors": ("ConfigError", "DataError", "EncoderError", "MmrecError", "RunError", "ServingError"),
    "data.demo_shop": ("generate_demo_shop",),
    "data.rec_data": ("RecData",),
    "data.splits": ("Split", "split_interactions"),
    "data.validation": ("load_data", "validate_frames"),
    "encoders.registry": ("build_encoder", "register_encoder"),
    "features.feature_store": ("FeatureStore",),
    "features.feature_table": ("FeatureTable",),
    "features.prepared": ("Prepared", "prepare"),
    "fusion": ("ConcatFusion", "Fusion", "build_fusion", "fusion_names", "register_fusion"),
    "losses.alignment_registry": ("alignment_names", "build_alignment", "register_alignment"),
    "losses.linear_alignment": ("LinearAlignment", "linear_alignment"),
    "losses.pairwise_alignment": ("PairwiseAlignment",),
    "models.build": ("build_ranker", "build_two_tower"),
    "models.item_knn": ("ItemKnn",),
    "models.matrix_factorization": ("MatrixFactorization",),
    "models.multi_task": ("MultiTask", "build_multi_task"),
    "models.popularity": ("Popularity",),
    "models.rankers": ("DeepFM", "Ranker", "ranker_names", "register_ranker"),
    "models.recommender_model": ("Asked", "RecommenderModel", "TrainingData"),
    "models.recommenders": ("build_recommender", "recommender_names", "register_recommender"),
    "models.towers": ("CandidateTower", "QueryTower"),
    "models.two_tower": ("TwoTower",),
    "pretraining.stages": ("pretrain", "refine"),
    "training.fit": ("fit", "set_seed"),
    "evaluation.comparison": ("Comparison",),
    "recommend.engine": ("RecommendationEngine",),
    "recommend.explanation": ("Explanation",),
    "recommend.recommender": ("Recommendation", "Recommender"),
    "search.searching": ("SearchResult", "search_settings"),
    "serving.export": ("export_models",),
    "stages": ("evaluate_models", "hard_negatives", "train_ranking", "train_retrieval"),
    "workflow": ("OpenRun", "serving_engine", "train_run"),
    "cli_output": ("show_metrics",),
}
_HOME = {name: module for module, names in _MODULES.items() for name in names}
__all__ = sorted(_HOME)


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'mmrec_tf' has no attribute {name!r}")
    return getattr(importlib.import_module(f"mmrec_tf.{_HOME[name]}"), name)


def __dir__() -> list[str]:
    return [*globals(), *__all__]

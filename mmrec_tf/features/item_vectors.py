"""The items' vectors: which encoder each feature has, and what it makes of the catalogue, through the feature store."""

from collections.abc import Callable
from pathlib import Path

import numpy as np

from mmrec_tf.config import Config, EncoderConfig
from mmrec_tf.data.rec_data import RecData
from mmrec_tf.encoders.base import Encoder
from mmrec_tf.encoders.registry import build_encoder, resolved
from mmrec_tf.errors import DataError
from mmrec_tf.features.feature_store import EmbedSummary, FeatureStore
from mmrec_tf.features.store_status import FeatureUse
from mmrec_tf.schema import Feature

Progress = Callable[[str, int, int], None]


def build_encoders(config: Config) -> dict[str, Encoder]:
    """The encoder of each item feature that needs one, as the configuration asks for it."""
    return {
        feature.name: build_encoder(feature, encoder_config(config, feature))
        for feature in config.features.modalities
        if feature.kind != "vector"
    }


def resolve_encoders(config: Config) -> Config:
    """The configuration with one encoder named for each item feature, where it left a choice or said nothing."""
    named = {
        feature.name: resolved(feature, encoder_config(config, feature))
        for feature in config.features.modalities
        if feature.kind != "vector"
    }
    return config.model_copy(update={"encoders": named})


def encoder_config(config: Config, feature: Feature) -> EncoderConfig:
    """What the configuration says about a feature's encoder: by the feature's name, or by its kind."""
    return config.encoders.get(feature.name) or config.encoders.get(feature.kind) or EncoderConfig()


def feature_uses(
    data: RecData, config: Config, encoders: dict[str, Encoder], files_away: dict[str, list[Path]]
) -> list[FeatureUse]:
    """What the configuration's features refer to in the feature store; `files_away` as in `ValidationReport`."""
    store = FeatureStore(config.store)
    kinds = {feature.name: feature for feature in data.schema.modalities}
    return [
        FeatureUse(
            name,
            encoder.modality,
            store.directory(encoder, encoder_config(config, kinds[name]).dtype),
            data.items[name].tolist(),
            files_away.get(name, []),
        )
        for name, encoder in encoders.items()
    ]


def embed_items(
    data: RecData,
    config: Config,
    progress: Progress | None = None,
    encoders: dict[str, Encoder] | None = None,
) -> tuple[dict[str, tuple[np.ndarray, np.ndarray]], dict[str, EmbedSummary]]:
    """Vectors and masks of every item by modality, and what the feature store did to get them."""
    store = FeatureStore(config.store)
    encoders = build_encoders(config) if encoders is None else encoders
    ids = data.items[data.schema.item_id].tolist()
    modalities, summaries = {}, {}
    for feature in data.schema.modalities:
        sources = data.items[feature.name].tolist()
        if feature.kind == "vector":
            modalities[feature.name] = _stack(feature.name, sources)
            continue
        encoder, dtype = encoders[feature.name], encoder_config(config, feature).dtype
        summaries[feature.name] = store.embed(encoder, sources, progress=progress, dtype=dtype, ids=ids)
        modalities[feature.name] = store.read(encoder, sources, dtype=dtype)
    return modalities, summaries


def _stack(name: str, sources: list) -> tuple[np.ndarray, np.ndarray]:
    mask = np.array([source is not None for source in sources])
    if not mask.any():
        raise DataError(f"no item has a vector in {name!r}. Fill the column, or take the feature out of schema.item.")
    width = len(next(source for source in sources if source is not None))
    vectors = np.zeros((len(sources), width), np.float32)
    vectors[mask] = np.stack([source for source in sources if source is not None])
    return vectors, mask

"""The tiny world with a context: a device, and the hour of the day."""

import numpy as np
import pandas as pd

from mmrec_tf.features.context_features import ContextFeatures
from mmrec_tf.models.build import build_ranker, build_two_tower
from mmrec_tf.recommend.engine import RecommendationEngine
from mmrec_tf.schema import Schema
from tests import tiny_world


def engine(device: str = "device") -> RecommendationEngine:
    """A chain whose models were told of a device, and half of whose interactions came from a phone."""
    users, items, times = tiny_world.interactions()
    frame = pd.DataFrame({device: np.where(np.arange(len(users)) % 2, "phone", "tv"), "timestamp": times})
    schema = Schema(
        user=tiny_world.SCHEMA.user,
        item=tiny_world.SCHEMA.item,
        context={device: "categorical", "timestamp": "timestamp"},
    )
    context = ContextFeatures.fit(frame, schema, ["hour_of_day"])
    tables = tiny_world.user_table(), tiny_world.item_table()
    retrieval = build_two_tower(tiny_world.config(), *tables, context=context)
    ranking = build_ranker(tiny_world.config(), *tables, context)
    return RecommendationEngine(retrieval, ranking, *tables, tiny_world.sequences(), candidates=30, context=context)

"""The signatures of the exported models: names, inputs and outputs, as clients see them."""

from collections.abc import Callable

import tensorflow as tf

from mmrec_tf._keras import weight_name
from mmrec_tf.recommend.engine import RecommendationEngine
from mmrec_tf.serving.item_encoder import ItemEncoder

_IDS = tf.TensorSpec([None], tf.string)
_K = tf.TensorSpec([None], tf.int32)
_NAMES = tf.TensorSpec([None, None], tf.string)
_WEIGHTS = tf.TensorSpec([None, None], tf.float32)

_OWN_INPUTS = ("user_id", "k", "exclude_ids", "history_item_ids", "item_id", "item_ids", "modality", "weight")
_OWN_PARAMETERS = ("exclude", "history", "explain")
"""Of the embedded server's `GET /recommend/{user}`, which takes the context by the same names."""

Signatures = dict[str, Callable]


def model_signatures(engine: RecommendationEngine, k: int, modality_weights: bool) -> dict[str, Signatures]:
    """Model name -> signature name -> function, as `export_models` says; `ranking` where there is a ranker.

    Args:
        engine: the trained chain.
        k: int. Items that `serving_default` returns.
        modality_weights: bool. Whether there is `recommend_weighted`.
    """
    models = {"recommend": _recommend(engine, k), "retrieval": _retrieval(engine, k)}
    if modality_weights:
        models["recommend"]["recommend_weighted"] = _recommend_weighted(engine)
    if engine.ranking is not None:
        models["ranking"] = _ranking(engine)
    return models


def encoder_signatures(encoder: ItemEncoder) -> Signatures:
    """The one signature of the `item_encoder` model, whose inputs are the item's features."""

    def embed(*given):
        return {"embedding": encoder(dict(zip(encoder.inputs, given, strict=True)))}

    return {"serving_default": signature(embed, **encoder.inputs)}


def warmup_examples(engine: RecommendationEngine, k: int) -> dict[str, list]:
    """What warm-up requests say, by the names of inputs: users and items that are there, and one that is not."""
    items = [name.decode("utf-8") for name in engine.item_ids[1:4].numpy()]
    return {
        "user_id": [*engine.example_users, ""],
        "k": [k],
        "item_id": items,
        "item_ids": items,
        "exclude_ids": items[:1],
        "history_item_ids": items[1:],
        "modality": list(engine.modalities),
        "weight": [1.0] * len(engine.modalities),
    }


def context_names(engine: RecommendationEngine) -> dict[str, str]:
    """The input of `recommend` for each feature of the context, by the schema's name.

    The same name where it can be one: what is no letter, digit, `_`, `.` or `-` becomes `_`, and a name that is taken
    gets `context_` in front.
    """
    names, taken = {}, {*_OWN_INPUTS, *_OWN_PARAMETERS}
    for feature in {} if engine.context_inputs is None else engine.context_inputs.specs:
        name = weight_name(feature)
        while name in taken or not name[0].isalnum():
            name = f"context_{name}"
        names[feature] = name
        taken.add(name)
    return names


def signature(function: Callable[..., dict], /, **inputs: tf.TensorSpec) -> Callable:
    """A function of these inputs, in this order, as the signature of a SavedModel."""
    # The inputs come by place, because the schema's names need not be names of Python.
    specs = [tf.TensorSpec(spec.shape, spec.dtype, name=name) for name, spec in inputs.items()]
    # Nothing below branches on tensors in Python, and AutoGraph, which looks for it in every call, takes long.
    return tf.function(lambda *given: function(*given), input_signature=specs, autograph=False)


def _recommend(engine, k):
    features = context_names(engine)

    def recommend(user_id, k, exclude_ids, history_item_ids, *context):
        told = dict(zip(features, context, strict=True)) if features else None
        return _list(engine.recommend(user_id, _largest(engine, k), exclude_ids, history_item_ids, told))

    def explain(user_id, item_id):
        score, contribution, part = engine.explain(user_id, item_id)
        return {"score": score, "contribution": contribution, "part": part}

    context = {} if not features else {name: engine.context_inputs.specs[feature] for feature, name in features.items()}
    optional = {"exclude_ids": _NAMES, "history_item_ids": _NAMES, **context}
    return {
        "serving_default": signature(lambda user_id: _list(engine.recommend(user_id, tf.constant(k))), user_id=_IDS),
        "recommend": signature(recommend, user_id=_IDS, k=_K, **optional),
        "explain": signature(explain, user_id=_IDS, item_id=_IDS),
    }


def _recommend_weighted(engine):
    def recommend_weighted(user_id, k, modality, weight):
        return _list(engine.recommend_weighted(user_id, _largest(engine, k), modality, weight))

    return signature(recommend_weighted, user_id=_IDS, k=_K, modality=_NAMES, weight=_WEIGHTS)


def _retrieval(engine, k):
    def retrieve(user_id, k):
        return _list(engine.retrieve_ids(user_id, _largest(engine, k)))

    def similar_items(item_id, k):
        return _list(engine.similar_items(item_id, _largest(engine, k)))

    return {
        "serving_default": signature(lambda user_id: _list(engine.retrieve_ids(user_id, tf.constant(k))), user_id=_IDS),
        "retrieve": signature(retrieve, user_id=_IDS, k=_K),
        "similar_items": signature(similar_items, item_id=_IDS, k=_K),
        "embed_user": signature(lambda user_id: {"embedding": engine.embed_user(user_id)}, user_id=_IDS),
        "embed_item": signature(lambda item_id: {"embedding": engine.embed_item(item_id)}, item_id=_IDS),
    }


def _ranking(engine):
    def rank(user_id, item):
        return engine.rank_targets(user_id, item)

    return {
        "serving_default": signature(rank, user_id=_IDS, item_id=_IDS),
        "rank": signature(rank, user_id=_IDS, item_ids=_NAMES),
    }


def _largest(engine, k):
    # A list has one length for the whole batch, and no request may ask for more places than there are items.
    return tf.clip_by_value(tf.reduce_max(k), 1, engine.item_count)


def _list(answer):
    item_id, score = answer
    return {"item_id": item_id, "score": score}

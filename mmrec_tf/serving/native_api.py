"""A small API of our own beside TensorFlow Serving's: recommendations with titles, pictures and reasons, by one GET."""

from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

import numpy as np
import tensorflow as tf
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import QueryParams
from starlette.requests import Request
from starlette.responses import FileResponse, Response

from mmrec_tf.serving.async_calls import AsyncCalls
from mmrec_tf.serving.catalogue import Catalogue
from mmrec_tf.serving.http_gate import RECORD
from mmrec_tf.serving.json_tensors import RequestError, array_to_json
from mmrec_tf.serving.model_version import ModelVersion
from mmrec_tf.serving.rest_codec import encode_json

if TYPE_CHECKING:
    from fastapi import FastAPI

MAX_K = 1000
MAX_LISTED = 10_000
"""Most ids that `exclude` or `history` may name."""

_MODEL = "recommend"
_OWN = ("k", "exclude", "history", "explain")
_BOOLEANS = {"true": True, "1": True, "false": False, "0": False, "": True}


def add_native_routes(app: "FastAPI", calls: AsyncCalls, catalogue: Catalogue | None) -> None:
    """Adds `GET /recommend/{user}` and `GET /media/{item}/{feature}`.

    Args:
        app: the application.
        calls: of its models.
        catalogue: titles and media; None for ids and scores alone.
    """

    @app.get("/recommend/{user:path}", include_in_schema=False)
    async def recommend(request: Request, user: str) -> Response:
        model = await calls.find(_MODEL)
        record = request.scope[RECORD]
        record.model, record.version = model.name, model.version
        is_explained = _boolean(request.query_params, "explain")
        for signature in (_MODEL, "explain") if is_explained else (_MODEL,):
            if signature not in model.signatures:
                raise RequestError(f"The model {_MODEL!r} has no signature {signature!r}, which this call needs", 404)
        inputs = _inputs(user, request.query_params, model)
        if is_explained:
            _check_explained(request.query_params)
        answer = await calls.call(model, _MODEL, inputs, record)
        items, scores = answer["item_id"][0], answer["score"][0]
        # Where too few items are left, the last places hold no id.
        places = [place for place, item in enumerate(items) if item]
        ids = [items[place].decode() for place in places]
        rows = [
            {"rank": rank, "item_id": item, "score": score}
            for rank, (item, score) in enumerate(zip(ids, _numbers(scores[places]), strict=True), 1)
        ]
        if catalogue is not None:
            if catalogue.is_stale:
                await run_in_threadpool(catalogue.refresh)
            for row in rows:
                row.update(catalogue.shown(row["item_id"]))
                row["media"] = {name: media_link(row["item_id"], name) for name in catalogue.media(row["item_id"])}
        if rows and is_explained:
            parts = await calls.call(model, "explain", {"user_id": _texts([user] * len(ids)), "item_id": _texts(ids)})
            for row, names, values in zip(rows, parts["part"], parts["contribution"], strict=True):
                row["explanation"] = dict(zip([name.decode() for name in names], _numbers(values), strict=True))
        body = {"user_id": user, "model_version": model.version, "recommendations": rows}
        return Response(encode_json(body), media_type="application/json")

    @app.get("/media/{item:path}/{feature}", include_in_schema=False)
    async def media(item: str, feature: str) -> Response:
        found = None if catalogue is None else await run_in_threadpool(catalogue.media_file, item, feature)
        if found is None:
            raise RequestError(f"The catalogue names no file for {feature!r} of item {item!r}", 404)
        path, kind = found
        # A file that only looks like a picture is not to be run as anything else by a browser.
        headers = {"x-content-type-options": "nosniff", "content-security-policy": "default-src 'none'; sandbox"}
        return FileResponse(path, media_type=kind, headers=headers)


def media_link(item: str, feature: str) -> str:
    """The path under which an item's file is served."""
    return f"/media/{quote(item, safe='')}/{quote(feature, safe='')}"


def _check_explained(query: QueryParams) -> None:
    # The signature `explain` takes a user and an item alone, and would tell the reasons of another request. What is
    # excluded changes no score.
    told = [name for name in query if name not in ("k", "exclude", "explain") and any(query.getlist(name))]
    if told:
        raise RequestError(
            f"explain=true goes with k and exclude, not with {told[0]!r}: reasons are told of what is known of the "
            f"user alone. Leave out explain, or {', '.join(told)}"
        )


def _inputs(user: str, query: QueryParams, model: ModelVersion) -> dict[str, np.ndarray]:
    specs = model.signatures[_MODEL].inputs
    context = {name: spec for name, spec in specs.items() if name not in _ASKED}
    unknown = [name for name in query if name not in _OWN and name not in context]
    if unknown:
        known = ", ".join((*_OWN, *context))
        raise RequestError(f"Unknown parameter {unknown[0]!r}; known are {known}")
    given = {
        "user_id": _texts([user]),
        "k": np.array([_k(query)], np.int32),
        "exclude_ids": _texts(_ids(query, "exclude"))[None],
        "history_item_ids": _texts(_ids(query, "history"))[None],
    }
    return {name: given[name] if name in given else _context(query, name, spec) for name, spec in specs.items()}


_ASKED = ("user_id", "k", "exclude_ids", "history_item_ids")


def _k(query: QueryParams) -> int:
    text = query.get("k", "10")
    if not (text.isascii() and text.isdigit() and len(text) < 10 and 1 <= int(text) <= MAX_K):
        raise RequestError(f"k is the number of items, 1 to {MAX_K}; got {text[:30]!r}")
    return int(text)


def _ids(query: QueryParams, name: str) -> Sequence[str]:
    ids = query.getlist(name)
    if len(ids) > MAX_LISTED:
        raise RequestError(f"{name} names {len(ids)} items; at most {MAX_LISTED} are taken")
    return ids


def _boolean(query: QueryParams, name: str) -> bool:
    if name not in query:
        return False
    if query[name].lower() not in _BOOLEANS:
        raise RequestError(f"{name} is true or false; got {query[name][:30]!r}")
    return _BOOLEANS[query[name].lower()]


def _context(query: QueryParams, name: str, spec: tf.TensorSpec) -> np.ndarray:
    # Nothing is said of the context by an empty string, or by a list of no numbers.
    values: Sequence = query.getlist(name)
    if spec.dtype == tf.string:
        array = _texts(values if spec.shape.rank == 2 else [*values, ""][:1])
    else:
        try:
            array = np.array([spec.dtype.as_numpy_dtype(value) for value in values], spec.dtype.as_numpy_dtype)
        except (ValueError, OverflowError) as error:
            raise RequestError(f"{name} takes numbers ({spec.dtype.name}); got {values[0][:30]!r}") from error
    return array[None] if spec.shape.rank == 2 else array


def _texts(values: Sequence[str]) -> np.ndarray:
    array = np.empty(len(values), dtype=object)
    array[:] = [value.encode(errors="replace") for value in values]
    return array


def _numbers(values: np.ndarray) -> list[float | None]:
    # Plain JSON has no form for what is not finite.
    return [value if np.isfinite(value) else None for value in array_to_json(values, "score")]

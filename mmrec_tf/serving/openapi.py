"""The OpenAPI document of the embedded server, written from the models that it serves at the moment.

Every signature's inputs are described by type and shape, so that clients can be generated from the document, and the
server be tried with everything that the document allows.
"""

from typing import Any

import tensorflow as tf

import mmrec_tf
from mmrec_tf.serving.example_signatures import CLASSIFY, REGRESS, why_unsuited
from mmrec_tf.serving.model_store import ModelStore
from mmrec_tf.serving.model_version import ModelVersion
from mmrec_tf.serving.native_api import MAX_K
from mmrec_tf.serving.server_files import DRIFT_PATH, METRICS_PATH
from mmrec_tf.serving.server_options import ServerOptions

Schema = dict[str, Any]

_ERROR = {"type": "object", "properties": {"error": {"type": "string"}}, "required": ["error"]}
_BYTES = {
    "type": "object",
    "properties": {"b64": {"type": "string", "format": "byte"}},
    "required": ["b64"],
    "additionalProperties": False,
}
_FEATURE = {"anyOf": [{"type": "string"}, {"type": "number"}, {"type": "boolean"}, _BYTES]}
_FEATURES = {
    "type": "object",
    "additionalProperties": {"anyOf": [_FEATURE, {"type": "array", "items": _FEATURE}]},
}
_ERRORS = {
    "400": "A mistake in the request",
    "401": "No API key, or a wrong one",
    "404": "No such model, version or thing",
    "503": "Too many requests, or nothing to answer with",
    "504": "No answer in time",
}


def openapi_document(store: ModelStore, options: ServerOptions, has_catalogue: bool) -> Schema:
    """The document.

    Args:
        store: the models.
        options: of the server; tell of keys.
        has_catalogue: bool. Whether there are titles and media.
    """
    paths: Schema = {}
    for name in store.names:
        paths.update(_model_paths(store, name))
    paths.update(_own_paths(store, has_catalogue))
    document = {
        "openapi": "3.0.3",
        "info": {"title": "mmrec_tf", "version": mmrec_tf.__version__, "description": "TensorFlow Serving's REST API"},
        "paths": paths,
    }
    if options.api_keys:
        document["components"] = {
            "securitySchemes": {
                "key": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
                "bearer": {"type": "http", "scheme": "bearer"},
            }
        }
        document["security"] = [{"key": []}, {"bearer": []}]
        for path in ("/healthz", "/readyz"):
            paths[path]["get"]["security"] = []
    return document


def _model_paths(store: ModelStore, name: str) -> Schema:
    base = f"/v1/models/{name}"
    version = {"name": "version", "in": "path", "required": True, "schema": {"type": "integer", "minimum": 0}}
    label = {"name": "label", "in": "path", "required": True, "schema": {"type": "string", "pattern": "^[^/:]+$"}}
    if store.labels(name):
        label["schema"] = {"type": "string", "enum": sorted(store.labels(name))}
    places = {base: [], f"{base}/versions/{{version}}": [version], f"{base}/labels/{{label}}": [label]}
    model = store.find_loaded(name)
    paths: Schema = {}
    for place, parameters in places.items():
        paths[place] = {"get": _operation("State of each version", _STATUS, parameters)}
        paths[f"{place}/metadata"] = {"get": _operation("Signatures", {"type": "object"}, parameters)}
        for method in ("predict", "classify", "regress"):
            operation = _operation(f"{method.capitalize()} with {name}", _ANSWERS[method], parameters)
            operation["responses"] |= _responses({"408": "The body came too slowly", "413": "The body is too large"})
            operation["requestBody"] = {
                "required": True,
                "content": {"application/json": {"schema": _body(method, model)}},
            }
            paths[f"{place}:{method}"] = {"post": operation}
    return paths


def _own_paths(store: ModelStore, has_catalogue: bool) -> Schema:
    paths = {
        "/": {"get": _operation("Models and versions", {"type": "object"})},
        "/healthz": {"get": _operation("The server runs", {"type": "object"})},
        "/readyz": {"get": _operation("Every model can be asked", {"type": "object"})},
        "/openapi.json": {"get": _operation("This document", {"type": "object"})},
        METRICS_PATH: {"get": _operation("Metrics for Prometheus", {"type": "string"}, media_type="text/plain")},
        DRIFT_PATH: {"get": _operation("How far answers have moved from the reference", {"type": "object"})},
    }
    model = store.find_loaded("recommend")
    if model is not None and "recommend" in model.signatures:
        ids = {"type": "array", "items": {"type": "string"}}
        query = {
            "k": {"type": "integer", "minimum": 1, "maximum": MAX_K, "default": 10},
            "exclude": ids,
            "history": ids,
            "explain": {"type": "boolean", "default": False, "description": "Not with history or the context"},
        }
        parameters = [_text("user")] + [{"name": name, "in": "query", "schema": said} for name, said in query.items()]
        paths["/recommend/{user}"] = {"get": _operation("Recommendations to a user", _RECOMMENDED, parameters)}
    if has_catalogue:
        operation = _operation(
            "A file of an item", {"type": "string", "format": "binary"}, [_text("item"), _text("feature")]
        )
        kinds = ("image/*", "audio/*", "video/*")
        operation["responses"]["200"]["content"] = {kind: {"schema": {"type": "string"}} for kind in kinds}
        paths["/media/{item}/{feature}"] = {"get": operation}
    return paths


def _operation(
    summary: str, answer: Schema, parameters: list[Schema] = (), media_type: str = "application/json"
) -> Schema:
    return {
        "summary": summary,
        "parameters": list(parameters),
        "responses": {"200": {"description": "OK", "content": {media_type: {"schema": answer}}}} | _responses(_ERRORS),
    }


def _responses(said: dict[str, str]) -> Schema:
    return {
        status: {"description": description, "content": {"application/json": {"schema": _ERROR}}}
        for status, description in said.items()
    }


def _text(name: str) -> Schema:
    return {"name": name, "in": "path", "required": True, "schema": {"type": "string", "minLength": 1}}


def _body(method: str, model: ModelVersion | None) -> Schema:
    if method != "predict":
        return {
            "type": "object",
            "properties": {
                "signature_name": {"type": "string"},
                "context": _FEATURES,
                "examples": {"type": "array", "items": _FEATURES, "minItems": 1},
            },
            "required": ["examples"],
        }
    forms = []
    for name, signature in sorted(model.signatures.items()) if model is not None else ():
        # One that takes examples is described by its own call.
        if signature.inputs and all(why_unsuited(call, signature) for call in (CLASSIFY, REGRESS)):
            forms += _predict_forms(name, signature.inputs)
    return {"anyOf": forms} if forms else {"type": "object"}


def _predict_forms(signature: str, inputs: dict[str, tf.TensorSpec]) -> list[Schema]:
    named = {"signature_name": {"type": "string", "enum": [signature]}}
    required = [] if signature == "serving_default" else ["signature_name"]
    forms = [("inputs", _object({name: _tensor(spec, 0) for name, spec in inputs.items()}))]
    if all(spec.shape.rank for spec in inputs.values()):
        row = _object({name: _tensor(spec, 1) for name, spec in inputs.items()})
        forms.append(("instances", {"type": "array", "minItems": 1, "items": row}))
    return [{"type": "object", "properties": named | {key: said}, "required": [*required, key]} for key, said in forms]


def _object(properties: Schema) -> Schema:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def _tensor(spec: tf.TensorSpec, skipped: int) -> Schema:
    if spec.shape.rank is None:
        return {}
    schema = _value(spec.dtype)
    for place in reversed(range(skipped, spec.shape.rank)):
        size = spec.shape[place]
        schema = {"type": "array", "items": schema}
        if size is not None:
            schema |= {"minItems": size, "maxItems": size}
        elif place == 0:
            schema["minItems"] = 1
    return schema


def _value(dtype: tf.DType) -> Schema:
    if dtype == tf.string:
        return {"anyOf": [{"type": "string"}, _BYTES]}
    if dtype == tf.bool:
        return {"type": "boolean"}
    if dtype.is_integer:
        return {"type": "integer", "minimum": int(dtype.min), "maximum": int(dtype.max)}
    return {"type": "number"}


_STATUS = {
    "type": "object",
    "properties": {
        "model_version_status": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "version": {"type": "string"},
                    "state": {"type": "string", "enum": ["START", "LOADING", "AVAILABLE", "UNLOADING", "END"]},
                    "status": {
                        "type": "object",
                        "properties": {"error_code": {"type": "string"}, "error_message": {"type": "string"}},
                    },
                },
            },
        }
    },
    "required": ["model_version_status"],
}
_ANSWERS = {
    "predict": {
        "type": "object",
        "properties": {"predictions": {"type": "array", "items": {}}, "outputs": {}},
    },
    "classify": {
        "type": "object",
        "properties": {"results": {"type": "array", "items": {"type": "array", "items": {}}}},
    },
    "regress": {"type": "object", "properties": {"results": {"type": "array", "items": {"type": "number"}}}},
}
_RECOMMENDED = {
    "type": "object",
    "properties": {
        "user_id": {"type": "string"},
        "model_version": {"type": "integer"},
        "recommendations": {
            "type": "array",
            "items": {
                "type": "object",
                "properties": {
                    "rank": {"type": "integer"},
                    "item_id": {"type": "string"},
                    "score": {"type": "number", "nullable": True},
                    "title": {"type": "string"},
                    "category": {"type": "string"},
                    "media": {"type": "object", "additionalProperties": {"type": "string"}},
                    "explanation": {"type": "object", "additionalProperties": {"type": "number", "nullable": True}},
                },
                "required": ["rank", "item_id", "score"],
            },
        },
    },
    "required": ["user_id", "model_version", "recommendations"],
}

"""Errors as the REST API answers them: TensorFlow Serving's shape, `{"error": message}`, and its status codes."""

import logging

from mmrec_tf.serving.json_tensors import RequestError
from mmrec_tf.serving.model_store import ModelNotFoundError
from mmrec_tf.serving.model_version import GraphError
from mmrec_tf.serving.rest_codec import encode_json

logger = logging.getLogger(__name__)

STATUS_OF_CODE = {
    "OK": 200,
    "CANCELLED": 499,
    "INVALID_ARGUMENT": 400,
    "DEADLINE_EXCEEDED": 504,
    "NOT_FOUND": 404,
    "ALREADY_EXISTS": 409,
    "PERMISSION_DENIED": 403,
    "RESOURCE_EXHAUSTED": 429,
    "FAILED_PRECONDITION": 400,
    "ABORTED": 409,
    "OUT_OF_RANGE": 400,
    "UNIMPLEMENTED": 501,
    "UNAVAILABLE": 503,
    "UNAUTHENTICATED": 401,
}
"""HTTP status for each of TensorFlow's codes; any other is 500."""

_CODE_OF_STATUS = {status: code for code, status in STATUS_OF_CODE.items() if code not in ("FAILED_PRECONDITION",)}
_CODE_OF_STATUS |= {400: "INVALID_ARGUMENT", 408: "DEADLINE_EXCEEDED", 413: "RESOURCE_EXHAUSTED"}


def describe_error(error: Exception) -> tuple[int, str, str]:
    """HTTP status, TensorFlow's code, and what the client is told.

    What was not foreseen is logged, and the client told no more than that: a message may hold anything.
    """
    if isinstance(error, RequestError):
        return error.status, _CODE_OF_STATUS.get(error.status, "INVALID_ARGUMENT"), str(error)
    if isinstance(error, ModelNotFoundError | GraphError):
        return STATUS_OF_CODE.get(error.code, 500), error.code, str(error)
    logger.error("a request failed", exc_info=error)
    return 500, "INTERNAL", "The server failed; its log says why"


def error_body(message: str) -> bytes:
    """The JSON of an error."""
    return encode_json({"error": message})

"""TensorFlow Serving's REST API: status, metadata, predict, classify and regress under `/v1`.

Plain ASGI, since half the time of a small request would go into a web framework. Small requests are read and written
on the event loop; what is large goes to another thread, and so do all graphs.

Source: https://www.tensorflow.org/tfx/serving/api_rest
"""

import re
import time
from collections.abc import Callable, Mapping

import numpy as np
from starlette.concurrency import run_in_threadpool

from mmrec_tf.serving.async_calls import AsyncCalls, ClientGoneError
from mmrec_tf.serving.example_codec import decode_examples, encode_results
from mmrec_tf.serving.http_errors import describe_error, error_body
from mmrec_tf.serving.http_gate import RECORD, RequestRecord, send_json
from mmrec_tf.serving.json_tensors import RequestError
from mmrec_tf.serving.model_store import MAX_VERSION, ModelNotFoundError, ModelStore
from mmrec_tf.serving.model_version import DEFAULT_SIGNATURE, ModelVersion
from mmrec_tf.serving.rest_codec import (
    decode_inputs,
    encode_metadata,
    encode_outputs,
    encode_status,
    parse_predict_request,
)
from mmrec_tf.serving.server_metrics import ServerMetrics

_TARGET = r"/v1/models/(?P<name>[^/:]+)(?:/versions/(?P<version>[0-9]+)|/labels/(?P<label>[^/:]+))?"
_CALL = re.compile(_TARGET + ":(?P<method>predict|classify|regress)")
_LOOK = re.compile(_TARGET + "(?P<metadata>/metadata)?")

_SMALL_BODY = 2**16
_SMALL_ANSWER = 2**13
_VERSION = "[/versions/V|/labels/L]"


class RestApi:
    """ASGI middleware that answers what is under `/v1`, and passes on the rest.

    Args:
        app: the application for other paths.
        store: the models.
        calls: of the store's models.
        metrics: gets a count of each call.
    """

    def __init__(self, app: Callable, store: ModelStore, calls: AsyncCalls, metrics: ServerMetrics):
        self._app = app
        self._store = store
        self._calls = calls
        self._metrics = metrics

    async def __call__(self, scope: dict, receive: Callable, send: Callable) -> None:
        if scope["type"] != "http" or not re.match("/v1(/|$)", scope["path"]):
            await self._app(scope, receive, send)
            return
        record = scope[RECORD]
        start = time.perf_counter()
        status, code, headers = 200, "OK", []
        try:
            content = await self._answer(scope, receive, record)
        except ClientGoneError:
            status, code, content = 499, "CANCELLED", error_body("The client closed the connection")
        # An answer for whatever happens, so that it is counted with the others; what is no client's fault is logged.
        except Exception as error:  # noqa: BLE001
            status, code, message = describe_error(error)
            content = error_body(message)
            if status == 503:
                headers = [(b"retry-after", b"1")]
        if record.api:
            known = record.model if record.model in self._store.names else ""
            self._metrics.observe_request(known, record.api, code, time.perf_counter() - start)
        await send_json(send, status, content, headers)

    async def _answer(self, scope: dict, receive: Callable, record: RequestRecord) -> bytes:
        method, path = scope["method"], scope["path"]
        if method == "POST" and (call := _CALL.fullmatch(path)):
            target = _target(call)
            record.model, record.api = target[0], call["method"]
            return await self._calls.read_body(scope, receive, lambda body: self._call(record, target, body))
        if method == "GET" and (look := _LOOK.fullmatch(path)):
            target = _target(look)
            record.model = target[0]
            if look["metadata"]:
                model = await self._calls.find(*target)
                record.version = model.version
                return encode_metadata(model)
            return self._status(*target)
        if method == "GET" and path.rstrip("/") == "/v1/models":
            raise RequestError(f"Missing model name in request; models here: {', '.join(self._store.names)}")
        raise RequestError(
            f"Malformed request: {method} {path}; known are GET /v1/models/NAME{_VERSION}[/metadata] and "
            f"POST /v1/models/NAME{_VERSION}:predict, :classify and :regress"
        )

    async def _call(self, record: RequestRecord, target: tuple, body: bytes) -> bytes:
        # The model comes first, as in TensorFlow Serving: an unknown one is 404 whatever the body says.
        model = await self._calls.find(*target)
        record.version = model.version
        decode = _decode_predict if record.api == "predict" else _decode_examples
        if len(body) <= _SMALL_BODY:
            signature, inputs, encode = decode(record.api, body, model)
        else:
            signature, inputs, encode = await run_in_threadpool(decode, record.api, body, model)
        outputs = await self._calls.call(model, signature, inputs, record)
        if sum(values.size for values in outputs.values()) <= _SMALL_ANSWER:
            return encode(outputs)
        return await run_in_threadpool(encode, outputs)

    def _status(self, name: str, number: int | None, label: str | None) -> bytes:
        if label is not None:
            number = self._store.number_of(name, label)
        versions = [v for v in self._store.versions(name) if number is None or v.version == number]
        if not versions:
            wanted = f"any versions of model {name}" if number is None else f"version {number} of model {name}"
            raise ModelNotFoundError(f"Could not find {wanted}; models here: {', '.join(self._store.names)}")
        return encode_status(versions)


Encode = Callable[[Mapping[str, np.ndarray]], bytes]


def _decode_predict(method: str, body: bytes, model: ModelVersion) -> tuple[str, dict[str, np.ndarray], Encode]:
    request = parse_predict_request(body)
    name = request.signature_name or DEFAULT_SIGNATURE
    if name not in model.signatures:
        raise RequestError(
            f'Serving signature name: "{name}" not found in signature def; '
            f"signatures of {model.name}: {', '.join(s for s in model.signatures if not s.startswith('__'))}"
        )
    inputs = decode_inputs(request, model.signatures[name].inputs)
    return name, inputs, lambda outputs: encode_outputs(outputs, request.is_row_form)


def _decode_examples(method: str, body: bytes, model: ModelVersion) -> tuple[str, dict[str, np.ndarray], Encode]:
    name, inputs = decode_examples(method, body, model)
    return name, inputs, lambda outputs: encode_results(method, outputs, len(inputs["inputs"]))


def _target(match: re.Match) -> tuple[str, int | None, str | None]:
    version = match["version"]
    if version is None:
        return match["name"], None, match["label"]
    # Digits are counted first because Python refuses to convert thousands of them.
    if len(version) > 30 or int(version) > MAX_VERSION:
        raise RequestError(f"Failed to convert version: {version[:30]} to numeric; it is above {MAX_VERSION}")
    return match["name"], int(version), None

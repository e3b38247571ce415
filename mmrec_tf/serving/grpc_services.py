"""The calls of PredictionService and ModelService, by name, each with its request and the function that answers it.

Importing this module needs the package tensorflow-serving-api.

Source: tensorflow_serving/apis/prediction_service.proto and model_service.proto
"""

import time
from collections.abc import Callable
from threading import Event
from typing import TYPE_CHECKING

import numpy as np
from google.protobuf.message import Message
from tensorflow_serving.apis import (
    classification_pb2,
    get_model_metadata_pb2,
    get_model_status_pb2,
    inference_pb2,
    model_management_pb2,
    predict_pb2,
    regression_pb2,
)

from mmrec_tf.serving import grpc_codec, grpc_examples
from mmrec_tf.serving.grpc_codec import parse
from mmrec_tf.serving.model_store import ModelStore
from mmrec_tf.serving.model_version import ModelVersion
from mmrec_tf.serving.rpc_failure import RpcFailure
from mmrec_tf.serving.server_options import ServerOptions

if TYPE_CHECKING:
    import grpc

__all__ = ["SERVICES", "Call", "asked_model", "parse"]


class Call:
    """A call under way: the models it may ask, and how long somebody waits for it.

    Args:
        store: the models.
        options: limits.
        context: gRPC's own object for the call.

    Attributes:
        model_name: str. The model that was asked; `""` while none that is served was.
        version: int. The version that was; 0 while none was.
        batch_rows: int. Rows of the call of the model that answered; 0 while none did.
    """

    def __init__(self, store: ModelStore, options: ServerOptions, context: "grpc.ServicerContext"):
        self.store = store
        self.max_bytes = options.max_body_bytes
        self.model_name = ""
        self.version = 0
        self.batch_rows = 0
        self._context = context
        left = context.time_remaining()
        self._seconds = options.request_seconds if left is None else min(options.request_seconds, left)
        self._end = time.monotonic() + self._seconds

    def find(self, request) -> ModelVersion:
        """The version that a request asks; see `grpc_codec.find_model`."""
        model = grpc_codec.find_model(self.store, request)
        self.model_name, self.version = model.name, model.version
        return model

    def run(self, model: ModelVersion, signature: str, inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
        """As `ModelVersion.run`, until the deadline.

        Raises:
            RpcFailure: if it is past, or the client has gone; what has not started by then is left out of its batch.
            GraphError: if the graph refuses the inputs or fails.
        """
        answered, answer = Event(), []

        def done(*outcome):
            answer.extend(outcome)
            answered.set()

        left = self._end - time.monotonic()
        # A callback is refused where the call has ended already.
        if left <= 0 or not self._context.add_callback(answered.set):
            raise self._too_late()
        job = self.store.batches.submit(model, signature, inputs, done)
        answered.wait(left)
        if not answer:
            job.is_cancelled = True
            raise self._too_late()
        self.batch_rows = max(self.batch_rows, job.batch_rows)
        outputs, error = answer
        if error is not None:
            raise error
        return outputs

    def _too_late(self) -> RpcFailure:
        return RpcFailure("DEADLINE_EXCEEDED", f"The call was not answered in the {self._seconds:.3g} s that it had")


def asked_model(request: Message) -> str:
    """The name of the model that a request asks for, whether it is there or not; `""` for none."""
    if hasattr(request, "tasks"):
        return request.tasks[0].model_spec.name if request.tasks else ""
    return request.model_spec.name if hasattr(request, "model_spec") else ""


def _predict(request: Message, call: Call) -> Message:
    return grpc_codec.predict(request, call.find(request), call.run, call.max_bytes)


def _classify(request: Message, call: Call) -> Message:
    return grpc_examples.classify(request, call.find(request), call.run)


def _regress(request: Message, call: Call) -> Message:
    return grpc_examples.regress(request, call.find(request), call.run)


def _multi_inference(request: Message, call: Call) -> Message:
    return grpc_examples.multi_inference(request, call.find(grpc_examples.first_task(request)), call.run)


def _metadata(request: Message, call: Call) -> Message:
    response = grpc_codec.metadata(request, call.store)
    call.version = response.model_spec.version.value
    return response


def _status(request: Message, call: Call) -> Message:
    return grpc_codec.status(request, call.store)


def _reload(request: Message, call: Call) -> Message:
    raise RpcFailure(
        "UNIMPLEMENTED",
        "The models cannot be changed over gRPC: this server serves the folder that it was started with, and takes in "
        "versions that appear there by itself. Restart it to serve another folder.",
    )


SERVICES: dict[str, dict[str, tuple[type, Callable[[Message, Call], Message]]]] = {
    "tensorflow.serving.PredictionService": {
        "Predict": (predict_pb2.PredictRequest, _predict),
        "Classify": (classification_pb2.ClassificationRequest, _classify),
        "Regress": (regression_pb2.RegressionRequest, _regress),
        "MultiInference": (inference_pb2.MultiInferenceRequest, _multi_inference),
        "GetModelMetadata": (get_model_metadata_pb2.GetModelMetadataRequest, _metadata),
    },
    "tensorflow.serving.ModelService": {
        "GetModelStatus": (get_model_status_pb2.GetModelStatusRequest, _status),
        "HandleReloadConfigRequest": (model_management_pb2.ReloadConfigRequest, _reload),
    },
}
"""Service -> call -> the class of its request, and the function of (request, `Call`) that answers it."""

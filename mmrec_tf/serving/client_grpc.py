"""Asking over gRPC, without TensorFlow."""

from collections.abc import Callable, Mapping

import numpy as np

from mmrec_tf.errors import ServingError
from mmrec_tf.serving.api_messages import messages
from mmrec_tf.serving.client_errors import Internal, InvalidArgument, error_of_status
from mmrec_tf.serving.client_metadata import (
    ModelMetadata,
    ModelStatus,
    SignatureInfo,
    Target,
    metadata_from_messages,
    status_from_messages,
)
from mmrec_tf.serving.client_retry import Deadline, Retryable
from mmrec_tf.serving.client_values import text_of
from mmrec_tf.serving.tensor_protos import TensorError, array_to_tensor, tensor_to_array

_OPTIONS = (
    ("grpc.max_send_message_length", -1),
    ("grpc.max_receive_message_length", -1),
    # Calls are repeated by the client, by the same rule as over REST; the channel has to be back by then.
    ("grpc.enable_retries", 0),
    ("grpc.initial_reconnect_backoff_ms", 50),
    ("grpc.min_reconnect_backoff_ms", 50),
    ("grpc.max_reconnect_backoff_ms", 2000),
)
# An answer may hold anything; this bounds only what a message of a few bytes can claim to hold.
_MAX_BYTES = 2**36


class GrpcTransport:
    """Talks to one server on one channel; safe from several threads.

    Args:
        address: str. `host:port`.
        ca_certificates: PEM bytes of the certificates to trust; None for those of the system.
        is_secure: bool. Whether the channel is encrypted.
        headers: metadata sent with every call.

    Raises:
        ServingError: if grpcio is not installed.
    """

    def __init__(self, address: str, ca_certificates: bytes | None, is_secure: bool, headers: Mapping[str, str]):
        try:
            import grpc
        except ImportError as error:
            raise ServingError(
                "A client of a grpc:// address needs grpcio, which is not installed. Install it: "
                "pip install 'mmrec-tf[grpc]'. Or ask over REST: http://HOST:8501"
            ) from error
        self.address = f"{'grpcs' if is_secure else 'grpc'}://{address}"
        self._grpc = grpc
        self._metadata = tuple(headers.items())
        if is_secure:
            credentials = grpc.ssl_channel_credentials(ca_certificates)
            self._channel = grpc.secure_channel(address, credentials, options=_OPTIONS)
        else:
            self._channel = grpc.insecure_channel(address, options=_OPTIONS)
        self._messages = messages()
        self._predict = self._call("PredictionService/Predict", "PredictResponse")
        self._get_metadata = self._call("PredictionService/GetModelMetadata", "GetModelMetadataResponse")
        self._get_status = self._call("ModelService/GetModelStatus", "GetModelStatusResponse")

    def predict(
        self,
        target: Target,
        signature_name: str,
        signature: SignatureInfo,
        inputs: Mapping[str, np.ndarray],
        deadline: Deadline,
    ) -> dict[str, np.ndarray]:
        """Asks once."""
        request = self._messages.PredictRequest(model_spec=self._spec(target, signature_name))
        for name, array in inputs.items():
            array_to_tensor(array, request.inputs[name], raw=True)
        response = self._ask(self._predict, request, deadline)
        outputs = {}
        for name, tensor in sorted(response.outputs.items()):
            try:
                array = tensor_to_array(tensor, _MAX_BYTES)
            except TensorError as error:
                raise Internal(f"The server's output '{name}' {error}.") from error
            outputs[name] = text_of(array, name) if array.dtype == object else array
        return outputs

    def metadata(self, target: Target, deadline: Deadline) -> ModelMetadata:
        """Asks once for the signatures."""
        request = self._messages.GetModelMetadataRequest(
            model_spec=self._spec(target), metadata_field=["signature_def"]
        )
        response = self._ask(self._get_metadata, request, deadline)
        signatures = self._messages.SignatureDefMap.FromString(response.metadata["signature_def"].value)
        return metadata_from_messages(response.model_spec, signatures.signature_def)

    def status(self, target: Target, deadline: Deadline) -> list[ModelStatus]:
        """Asks once for the states of the versions."""
        request = self._messages.GetModelStatusRequest(model_spec=self._spec(target))
        return status_from_messages(self._ask(self._get_status, request, deadline).model_version_status)

    def close(self) -> None:
        """Closes the channel."""
        self._channel.close()

    def _call(self, name: str, response: str) -> Callable:
        return self._channel.unary_unary(
            f"/tensorflow.serving.{name}",
            request_serializer=lambda request: request.SerializeToString(),
            response_deserializer=getattr(self._messages, response).FromString,
        )

    def _spec(self, target: Target, signature_name: str = ""):
        spec = self._messages.ModelSpec(name=target.model, signature_name=signature_name)
        if target.version is not None:
            spec.version.value = target.version
            # Version 0 is an empty message, which is there all the same.
            spec.version.SetInParent()
        if target.label is not None:
            spec.version_label = target.label
        return spec

    def _ask(self, call: Callable, request, deadline: Deadline):
        try:
            return call(request, timeout=deadline.require(self.address), metadata=self._metadata)
        except ValueError as error:
            raise InvalidArgument(f"The client is closed, or the request cannot be sent: {error}.") from error
        except self._grpc.RpcError as error:
            status, said = error.code().name, error.details() or ""
            if status == "DEADLINE_EXCEEDED" and deadline.left() <= 0:
                raise deadline.exceeded(self.address) from error
            # The library's own words for a channel that does not stand; others are the server's.
            if status == "UNAVAILABLE" and ("connect" in said.lower() or "socket" in said.lower()):
                said = f"{self.address} cannot be reached: {said}. Is the server running there?"
            failure = error_of_status(status, said)
            # A message above a limit stays above it; too many calls at a time do not stay too many.
            is_busy = status == "RESOURCE_EXHAUSTED" and "larger than max" not in said
            raise Retryable(failure) if is_busy or status == "UNAVAILABLE" else failure from error

"""What can go wrong when a server is asked, by kind, whichever way it was asked.

REST has status codes of HTTP and gRPC its own; a caller wants to catch "no such model" once. TensorFlow Serving answers
`FAILED_PRECONDITION` and `OUT_OF_RANGE` over gRPC where REST has the same 400 as for `INVALID_ARGUMENT`, so that these
three are one kind here.
"""

from mmrec_tf.errors import ServingError


class ClientError(ServingError):
    """A call that got no answer. Its subclasses say why.

    Args:
        message: str. What the server said, or why it was not reached.

    Attributes:
        status: str. The kind of error by gRPC's name, for example `"NOT_FOUND"`; the same over REST.
        message: str.
    """

    status = "UNKNOWN"

    def __init__(self, message: str):
        super().__init__(message)
        self.message = message


class InvalidArgument(ClientError):
    """The request is wrong: an unknown signature, a missing input, a wrong type or shape. Asking again is no use."""

    status = "INVALID_ARGUMENT"


class NotFound(ClientError):
    """The server has no such model, or no such version of it."""

    status = "NOT_FOUND"


class Unauthenticated(ClientError):
    """The API key is missing or wrong."""

    status = "UNAUTHENTICATED"


class PermissionDenied(ClientError):
    """The server, or a proxy before it, does not let this client ask."""

    status = "PERMISSION_DENIED"


class ResourceExhausted(ClientError):
    """Too much: the request or the answer is larger than allowed, or the server has too many requests already."""

    status = "RESOURCE_EXHAUSTED"


class DeadlineExceeded(ClientError):
    """There was no answer in the time that the caller gave."""

    status = "DEADLINE_EXCEEDED"


class Unavailable(ClientError):
    """The server cannot be reached, or is starting, stopping or overloaded."""

    status = "UNAVAILABLE"


class Aborted(ClientError):
    """Something else that the server was doing came in between."""

    status = "ABORTED"


class Cancelled(ClientError):
    """The call was ended before it was answered."""

    status = "CANCELLED"


class Unimplemented(ClientError):
    """The server does not offer such a call."""

    status = "UNIMPLEMENTED"


class Internal(ClientError):
    """The server failed; its log says why."""

    status = "INTERNAL"


_KINDS = {
    kind.status: kind
    for kind in (
        InvalidArgument,
        NotFound,
        Unauthenticated,
        PermissionDenied,
        ResourceExhausted,
        DeadlineExceeded,
        Unavailable,
        Aborted,
        Cancelled,
        Unimplemented,
        Internal,
    )
}
_KINDS |= {"FAILED_PRECONDITION": InvalidArgument, "OUT_OF_RANGE": InvalidArgument, "ALREADY_EXISTS": Aborted}
_KINDS |= {"DATA_LOSS": Internal, "UNKNOWN": Internal}

_KIND_OF_HTTP = {
    400: InvalidArgument,
    401: Unauthenticated,
    403: PermissionDenied,
    404: NotFound,
    405: Unimplemented,
    408: DeadlineExceeded,
    409: Aborted,
    413: ResourceExhausted,
    429: ResourceExhausted,
    499: Cancelled,
    501: Unimplemented,
    502: Unavailable,
    503: Unavailable,
    504: DeadlineExceeded,
}


def error_of_status(status: str, message: str) -> ClientError:
    """The error for one of gRPC's status names."""
    return _KINDS.get(status, ClientError)(message)


def error_of_http(code: int, message: str) -> ClientError:
    """The error for a status code of HTTP."""
    kind = _KIND_OF_HTTP.get(code, InvalidArgument if 400 <= code < 500 else Internal)
    return kind(message)

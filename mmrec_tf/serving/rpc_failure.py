"""How a gRPC call fails, apart from the libraries that gRPC needs."""

from mmrec_tf.errors import ServingError


class RpcFailure(ServingError):
    """A call that is answered with an error.

    Args:
        code: str. gRPC's name for the kind of error, for example `"INVALID_ARGUMENT"`.
        message: str. What is wrong, and what is allowed.
    """

    def __init__(self, code: str, message: str):
        super().__init__(message)
        self.code = code

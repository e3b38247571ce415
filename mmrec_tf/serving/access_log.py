"""One JSON line for each request that the embedded server has answered, over REST and over gRPC alike."""

import itertools
import json
import logging
import os
import time

access_logger = logging.getLogger("mmrec_tf.access")

REQUEST_ID = "x-request-id"
"""The header, and the entry of gRPC's metadata, that carries a request's id, in the request and in the answer."""

_LONGEST_ID = 128
_LONGEST_NAME = 256

# Random once, then counted: asking the system for more would let another thread go first.
_STARTED = os.urandom(6).hex()
_numbers = itertools.count(1)


def request_id_of(given: str) -> str:
    """The id that a client gave, where it can be written in a log and in a header; else one that is made up."""
    if 0 < len(given) <= _LONGEST_ID and given.isascii() and given.isprintable():
        return given
    return f"{_STARTED}-{next(_numbers):x}"


def log_access(
    protocol: str,
    request_id: str,
    client: str,
    method: str,
    path: str,
    model: str,
    version: int,
    status: int | str,
    seconds: float,
    batch_rows: int,
) -> None:
    """Writes the line.

    Args:
        protocol: str. `"HTTP"` or `"GRPC"`.
        request_id: str.
        client: str. The other side's address.
        method: str. HTTP's, or the name of gRPC's call.
        path: str.
        model: str. The model that was asked for, whether it is there or not; `""` for none.
        version: int. The version that answered; 0 where it is not known.
        status: HTTP's number, or the name of gRPC's code.
        seconds: float. How long it took.
        batch_rows: int. Rows of the call that answered, those of others included; 0 for none.
    """
    entry = {
        "time": time.time(),
        "protocol": protocol,
        "request_id": request_id,
        "client": client,
        "method": method,
        "path": path,
        "model": model[:_LONGEST_NAME],
        "version": version,
        "status": status,
        "ms": round(seconds * 1e3, 3),
        "batch_rows": batch_rows,
    }
    access_logger.info(json.dumps(entry))

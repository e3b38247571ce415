"""How the embedded server is set up."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from mmrec_tf.errors import ServingError


@dataclass(frozen=True)
class ServerOptions:
    """Limits and additions of the embedded server; the defaults suit one machine behind nothing.

    Args:
        num_versions: int. The highest versions of each model that are served; None, the default, for those that
            `models.config` says; see `ModelStore`.
        models_config: Path. A file in place of the export folder's `models.config`, for versions and labels; None, the
            default, for none.
        poll_seconds: float. How often the export folder is looked at for other versions; 0 for never. Defaults to 2.
        max_batch_size: int. Most rows of a call that requests share; 1 for none, None, the default, for what
            `batching_parameters.txt` says.
        max_body_bytes: int. Largest request body. Defaults to 64 MiB.
        max_pending_bytes: int. Most bytes of bodies that are held at a time. Defaults to 256 MiB.
        max_requests: int. Requests that are answered or wait at a time; more get 503. Defaults to 512.
        max_connections: int. Open connections; more get 503. Defaults to 900, which the usual limit of 1,024 open files
            allows.
        request_seconds: float. Longest time for an answer, from the end of the request; then 504. Defaults to 30.
        header_seconds: float. Longest time for a request's head to arrive. Defaults to 10.
        body_seconds: float. Longest time for its body to arrive, and for the client to read an answer that does not fit
            the connection's buffers. Defaults to 60.
        drain_seconds: float. How long requests are still taken after SIGTERM while `/readyz` says no. Defaults to 1.
        grace_seconds: float. How long requests under way then have to end. Defaults to 10.
        api_keys: accepted keys; none, the default, for a server that is open to all who reach it.
        access_log: bool. One JSON line for each request. Defaults to False.
        drift_seconds: float. The window over which answers are compared with the model's reference; 0 for no
            comparison. Defaults to 3600, an hour.
        tls_certificate: Path. PEM file of the certificate and its chain; None, the default, for plain HTTP.
        tls_key: Path. PEM file of the certificate's key.

    Raises:
        ServingError: for a limit that is out of range, or a certificate without its key.
    """

    num_versions: int | None = None
    models_config: Path | None = None
    poll_seconds: float = 2.0
    max_batch_size: int | None = None
    max_body_bytes: int = 64 * 2**20
    max_pending_bytes: int = 256 * 2**20
    max_requests: int = 512
    max_connections: int = 900
    request_seconds: float = 30.0
    header_seconds: float = 10.0
    body_seconds: float = 60.0
    drain_seconds: float = 1.0
    grace_seconds: float = 10.0
    api_keys: Sequence[str] = ()
    access_log: bool = False
    drift_seconds: float = 3600.0
    tls_certificate: Path | None = None
    tls_key: Path | None = None

    def __post_init__(self):
        for name in ("num_versions", "max_body_bytes", "max_pending_bytes", "max_requests", "max_connections"):
            if getattr(self, name) is not None and getattr(self, name) < 1:
                raise ServingError(f"{name} must be at least 1, got {getattr(self, name)}.")
        if self.max_batch_size is not None and self.max_batch_size < 1:
            raise ServingError(f"max_batch_size must be at least 1 (1 joins nothing), got {self.max_batch_size}.")
        for name in ("request_seconds", "header_seconds", "body_seconds"):
            if not getattr(self, name) > 0:
                raise ServingError(f"{name} must be above 0, got {getattr(self, name)}.")
        for name in ("poll_seconds", "drain_seconds", "grace_seconds", "drift_seconds"):
            if not getattr(self, name) >= 0:
                raise ServingError(f"{name} must be 0 or more, got {getattr(self, name)}.")
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ServingError("TLS needs a certificate and its key: give both, or neither for plain HTTP.")


def read_api_keys(path: Path) -> list[str]:
    """The keys of a text file, one a line; empty lines and those that begin with `#` are left out.

    Raises:
        ServingError: if it cannot be read, holds no key, or holds one that no header can carry.
    """
    try:
        lines = [line.strip() for line in path.read_text(encoding="utf-8").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ServingError(
            f"The API keys in {path} cannot be read: {error}. It is a text file, one key a line."
        ) from error
    keys = [line for line in lines if line and not line.startswith("#")]
    if not keys:
        raise ServingError(f"{path} holds no API key. Write one a line, for example that of: openssl rand -hex 32")
    if wrong := [number for number, key in enumerate(keys, 1) if not (key.isascii() and key.isprintable())]:
        raise ServingError(f"Key {wrong[0]} of {path} has characters that no HTTP header can carry. Use plain ASCII.")
    return keys

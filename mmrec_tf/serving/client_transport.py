"""The way to a server, by its address."""

import ssl
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from mmrec_tf.serving.client_errors import InvalidArgument

if TYPE_CHECKING:
    from mmrec_tf.serving.client_grpc import GrpcTransport
    from mmrec_tf.serving.client_rest import RestTransport

_PORTS = {"http": 8501, "https": 8501, "grpc": 8500, "grpcs": 8500}
_KINDS = "http://host:8501, https://host:8501, grpc://host:8500 or grpcs://host:8500"


def connect(
    url: str, api_key: str | None, ca_file: str | Path | None, pool_size: int
) -> "RestTransport | GrpcTransport":
    """The transport for an address; nothing is sent yet.

    Args:
        url, api_key, ca_file, pool_size: see `Client`.

    Raises:
        InvalidArgument: for an address of another kind, a key that no header can carry, or a file that cannot be read.
        ServingError: if gRPC is asked for and grpcio is not installed.
    """
    try:
        parts = urlsplit(url)
        port = parts.port
    except (ValueError, AttributeError, TypeError) as error:
        raise InvalidArgument(f"{url!r} is no address of a server ({error}). Write {_KINDS}.") from error
    if parts.scheme not in _PORTS or not parts.hostname or parts.username or parts.query or parts.fragment:
        raise InvalidArgument(f"{url!r} is no address of a server. Write {_KINDS}; an API key goes into api_key.")
    port = _PORTS[parts.scheme] if port is None else port
    if api_key is not None and not (api_key.isascii() and api_key.isprintable() and api_key.strip()):
        raise InvalidArgument("api_key has characters that no header can carry, or none. Use plain ASCII.")
    headers = {} if api_key is None else {"x-api-key": api_key}
    if parts.scheme in ("grpc", "grpcs"):
        from mmrec_tf.serving.client_grpc import GrpcTransport

        if parts.path.strip("/"):
            raise InvalidArgument(f"{url!r} has a path, which gRPC has no use for. Write {parts.scheme}://host:port.")
        host = f"[{parts.hostname}]" if ":" in parts.hostname else parts.hostname
        certificates = None if ca_file is None else _read(ca_file)
        return GrpcTransport(f"{host}:{port}", certificates, parts.scheme == "grpcs", headers)
    from mmrec_tf.serving.client_rest import RestTransport

    context = None
    if parts.scheme == "https":
        try:
            context = ssl.create_default_context(cadata=None if ca_file is None else _read(ca_file).decode("ascii"))
        except (ssl.SSLError, ValueError) as error:
            raise InvalidArgument(f"{ca_file} holds no certificates in PEM form: {error}.") from error
    return RestTransport(parts.hostname, port, parts.path, context, headers, pool_size)


def _read(path: str | Path) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise InvalidArgument(f"The certificates in {path} cannot be read: {error}.") from error

"""Connections of the embedded server: how many there may be, and how long a client may take to send or to read.

uvicorn closes connections that are idle between requests, but waits for ever for the rest of a request that has begun,
and for a client that does not read its answer.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from mmrec_tf.serving.http_errors import error_body
from mmrec_tf.serving.server_options import ServerOptions


class _JoinedWrites:
    """A transport that sends the head of a response together with the body that follows it at once.

    uvicorn writes them one after the other, which costs a second call of the system, and the client a second packet.
    """

    def __init__(self, transport: Any, loop: asyncio.AbstractEventLoop):
        self._transport = transport
        self._loop = loop
        self._held = b""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._transport, name)

    def write(self, data: bytes) -> None:
        if self._held:
            data, self._held = self._held + data, b""
        elif data.startswith(b"HTTP/1.1 "):
            self._held = bytes(data)
            # A body that is not there yet is not waited for.
            self._loop.call_soon(self._flush)
            return
        self._transport.write(data)

    def close(self) -> None:
        self._flush()
        self._transport.close()

    def _flush(self) -> None:
        if self._held:
            held, self._held = self._held, b""
            self._transport.write(held)


def guarded_protocol(options: ServerOptions, refused: Callable[[str], None]) -> type[asyncio.Protocol]:
    """uvicorn's HTTP protocol within the limits of `options`.

    Args:
        options: limits.
        refused: called with `"connections"`, `"slow"` or `"unread"` for each connection that is closed for it.

    Returns:
        A class for `uvicorn.Config(http=...)`.
    """

    class GuardedProtocol(AutoHTTPProtocol):
        _timer: asyncio.TimerHandle | None = None
        # What the timer is set to, and what is waited for of the request, once the client has read its answer.
        _awaited = ""
        _of_request: tuple[str, float] = ("", 0.0)

        def connection_made(self, transport: Any) -> None:
            # Writing is paused as soon as an answer, however small, waits for its reader: 1 and not 0, at which TLS
            # transports pause with nothing to send.
            transport.set_write_buffer_limits(high=1)
            super().connection_made(_JoinedWrites(transport, self.loop))
            if len(self.connections) > options.max_connections:
                refused("connections")
                self._close(503, "The server has as many connections as it takes; try later", b"retry-after: 1\r\n")
            else:
                self._await("head", options.header_seconds)

        def connection_lost(self, exc: Exception | None) -> None:
            # First uvicorn's part, which ends a pause in writing.
            super().connection_lost(exc)
            self._await("", 0)

        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            cycle = self.cycle
            if cycle is None or cycle.response_complete:
                self._await("head", options.header_seconds)
            elif cycle.more_body:
                self._await("body", options.body_seconds)
            else:
                self._await("", 0)

        def on_response_complete(self) -> None:
            super().on_response_complete()
            # What is idle between requests is closed by uvicorn's own timer; a body that is still coming is not.
            if not (self.cycle and self.cycle.more_body):
                self._await("", 0)

        def pause_writing(self) -> None:
            super().pause_writing()
            self._set_timer()

        def resume_writing(self) -> None:
            super().resume_writing()
            self._set_timer()

        def _await(self, what: str, seconds: float) -> None:
            """Says what is waited for of the request, and how long; `""` for nothing."""
            self._of_request = what, seconds
            self._set_timer()

        def _set_timer(self) -> None:
            """Sets the one timer to what is waited for, unless it is set to that already."""
            # An answer goes out in one piece, so that uvicorn is done with the request before the client has read any
            # of it. Neither that nor what the client sends meanwhile gives it more time to read.
            what, seconds = ("reading", options.body_seconds) if self.flow.write_paused else self._of_request
            if what == self._awaited:
                return
            if self._timer is not None:
                self._timer.cancel()
            self._awaited = what
            self._timer = self.loop.call_later(seconds, self._too_slow) if what else None

        def _too_slow(self) -> None:
            if self.flow.write_paused:
                refused("unread")
                # Closing would wait for what is not read.
                self.transport.abort()
                return
            refused("slow")
            seconds = options.header_seconds if self._awaited == "head" else options.body_seconds
            self._close(408, f"The request did not arrive within {seconds:g} s")

        def _close(self, status: int, message: str, headers: bytes = b"") -> None:
            # Not by way of the application, which has not seen a whole request; nor after an answer that has begun.
            if self.cycle is None or self.cycle.response_complete or not self.cycle.response_started:
                content = error_body(message)
                head = (
                    b"HTTP/1.1 %d %s\r\ncontent-type: application/json\r\ncontent-length: %d\r\nconnection: close\r\n"
                )
                phrase = b"Service Unavailable" if status == 503 else b"Request Timeout"
                self.transport.write(head % (status, phrase, len(content)) + headers + b"\r\n" + content)
            if self.cycle is not None:
                self.cycle.disconnected = True
                self.cycle.message_event.set()
            self.transport.close()

    return GuardedProtocol

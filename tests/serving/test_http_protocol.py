"""Clients that dawdle, vanish or come in crowds, over real sockets."""

import json
import re
import socket
import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from mmrec_tf.serving import http_protocol, server
from mmrec_tf.serving.http_protocol import guarded_protocol
from mmrec_tf.serving.server_options import ServerOptions
from tests.served_models import save_shelf

BODY = json.dumps({"instances": [0, 3]}).encode()
HEAD = b"POST /v1/models/shelf:predict HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n" % len(BODY)
ANSWER = {"predictions": [4.0, 1.0]}


@pytest.fixture(scope="module")
def export_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("protocol")
    save_shelf(folder / "shelf" / "1")
    return folder


@pytest.fixture(scope="module")
def port(export_dir):
    options = ServerOptions(poll_seconds=0, header_seconds=0.3, body_seconds=0.4, max_connections=20)
    with server.running_server(export_dir, options=options) as url:
        yield int(url.rsplit(":", 1)[1])


def connect(port):
    connection = socket.create_connection(("127.0.0.1", port), timeout=10)
    connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return connection


def read_all(connection):
    """Everything until the server closes the connection."""
    parts = []
    while part := connection.recv(65536):
        parts.append(part)
    return b"".join(parts)


def read_answer(connection):
    data = b""
    while b"\r\n\r\n" not in data:
        part = connection.recv(65536)
        assert part, data
        data += part
    head, body = data.split(b"\r\n\r\n", 1)
    length = int(head.lower().split(b"content-length: ")[1].split(b"\r\n")[0])
    while len(body) < length:
        body += connection.recv(65536)
    return int(head.split()[1]), json.loads(body)


def is_alive(port):
    with connect(port) as connection:
        connection.sendall(HEAD + b"\r\n" + BODY)
        return read_answer(connection) == (200, ANSWER)


@pytest.mark.parametrize("sent", [b"", b"POST /v1/models/shelf:pre", HEAD])
def test_a_head_that_does_not_end_is_408(port, sent):
    with connect(port) as connection:
        start = time.monotonic()
        connection.sendall(sent)
        answer = read_all(connection)
        assert answer.startswith(b"HTTP/1.1 408") and b"within 0.3 s" in answer
        assert 0.2 < time.monotonic() - start < 5
    assert is_alive(port)


def test_a_head_that_trickles_is_408(port):
    with connect(port) as connection:
        start = time.monotonic()
        connection.settimeout(0.05)
        connection.sendall(b"GET /")
        answer = b""
        while not answer and time.monotonic() < start + 5:
            connection.sendall(b"a")
            try:
                answer = connection.recv(100)
            except TimeoutError:
                continue
        assert answer.startswith(b"HTTP/1.1 408") and time.monotonic() - start < 3


def test_a_second_request_that_trickles_on_a_kept_connection_is_408(port):
    with connect(port) as connection:
        connection.sendall(HEAD + b"\r\n" + BODY)
        assert read_answer(connection) == (200, ANSWER)
        # Between requests a connection may idle for longer than a head may take.
        time.sleep(0.6)
        connection.sendall(HEAD + b"\r\n" + BODY)
        assert read_answer(connection) == (200, ANSWER)
        connection.sendall(b"POST /v1")
        assert read_all(connection).startswith(b"HTTP/1.1 408")


def test_a_body_that_does_not_end_is_408(port):
    with connect(port) as connection:
        connection.sendall(HEAD + b"\r\n" + BODY[:5])
        answer = read_all(connection)
        assert answer.startswith(b"HTTP/1.1 408") and b"within 0.4 s" in answer
    assert is_alive(port)


def test_a_slow_request_that_arrives_in_time_is_answered(port):
    with connect(port) as connection:
        for part in (HEAD[:10], HEAD[10:] + b"\r\n", BODY[:3], BODY[3:]):
            connection.sendall(part)
            time.sleep(0.06)
        assert read_answer(connection) == (200, ANSWER)


@pytest.mark.parametrize("sent", [b"", HEAD, HEAD + b"\r\n" + BODY[:4], HEAD + b"\r\n" + BODY])
def test_a_client_that_vanishes_harms_nobody(port, sent):
    for _ in range(5):
        connection = connect(port)
        connection.sendall(sent)
        # Sends a reset instead of an orderly end.
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        connection.close()
    assert is_alive(port)


@pytest.fixture(scope="module")
def narrow_port(export_dir):
    """Of a server whose sockets hold few bytes of an answer that is not read."""

    def narrow_protocol(*args):
        class NarrowProtocol(guarded_protocol(*args)):
            def connection_made(self, transport):
                transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
                super().connection_made(transport)

        return NarrowProtocol

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(http_protocol, "guarded_protocol", narrow_protocol)
        with server.running_server(export_dir, options=ServerOptions(poll_seconds=0, body_seconds=0.8)) as url:
            yield int(url.rsplit(":", 1)[1])


def unread_answers(port):
    """How many connections were closed because their clients did not read."""
    with connect(port) as connection:
        connection.sendall(b"GET /monitoring/prometheus/metrics HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
        found = re.search(rb'mmrec_refused_total{reason="unread"} ([0-9.]+)', read_all(connection))
    return float(found[1]) if found else 0.0


def wait_for_unread(port, number):
    deadline = time.monotonic() + 20
    while unread_answers(port) < number:
        assert time.monotonic() < deadline, "the connection of a client that does not read was kept"
        time.sleep(0.05)


def connect_with_little_room(port):
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    connection.settimeout(20)
    connection.connect(("127.0.0.1", port))
    return connection


def predict(count, header=b""):
    """A request that is answered by `4.0,` for each of `count` instances."""
    body = json.dumps({"instances": [0] * count}).encode()
    return HEAD.replace(b"%d" % len(BODY), b"%d" % len(body)) + header + b"\r\n" + body


# The smaller answer fits what a transport takes by default before it pauses writing.
@pytest.mark.parametrize("count", [10_000, 200_000])
@pytest.mark.parametrize(
    ("header", "sent_after"),
    [(b"", b""), (b"Connection: close\r\n", b""), (b"", b"POST /v1"), (b"", HEAD + b"\r\n" + BODY)],
)
def test_an_answer_that_is_not_read_is_given_up(narrow_port, count, header, sent_after):
    before = unread_answers(narrow_port)
    with connect_with_little_room(narrow_port) as connection:
        connection.sendall(predict(count, header))
        assert connection.recv(12) == b"HTTP/1.1 200"
        connection.sendall(sent_after)
        wait_for_unread(narrow_port, before + 1)
    assert is_alive(narrow_port)


def test_a_next_request_that_begins_before_the_answer_is_read_is_waited_for_in_turn(narrow_port):
    with connect_with_little_room(narrow_port) as connection:
        connection.sendall(predict(10_000))
        assert connection.recv(12) == b"HTTP/1.1 200"
        connection.sendall(HEAD + b"\r\n" + BODY[:4])
        answer = b""
        while not answer.endswith(b"]}"):
            answer += connection.recv(2**16)
        connection.sendall(BODY[4:])
        assert read_answer(connection) == (200, ANSWER)
        connection.sendall(predict(10_000))
        assert connection.recv(12) == b"HTTP/1.1 200"
        connection.sendall(HEAD + b"\r\n" + BODY[:4])
        assert b"did not arrive within 0.8 s" in read_all(connection)


def test_what_is_no_http_is_400(port):
    with connect(port) as connection:
        connection.sendall(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 no http\r\n\r\n")
        assert read_all(connection).startswith(b"HTTP/1.1 400")
    assert is_alive(port)


def test_pipelined_requests_are_answered_in_order(port):
    with connect(port) as connection:
        other = json.dumps({"instances": [1]}).encode()
        second = HEAD.replace(b"%d" % len(BODY), b"%d" % len(other)) + b"Connection: close\r\n\r\n" + other
        connection.sendall(HEAD + b"\r\n" + BODY + second)
        answers = read_all(connection)
    assert answers.index(b"[4.0,1.0]") < answers.index(b"[3.0]") and answers.count(b"HTTP/1.1 200") == 2


def test_more_connections_than_allowed_are_503(port):
    kept = []
    try:
        for _ in range(20):
            connection = connect(port)
            connection.sendall(HEAD + b"\r\n" + BODY)
            assert read_answer(connection)[0] == 200
            kept.append(connection)
        with connect(port) as connection:
            answer = read_all(connection)
        assert answer.startswith(b"HTTP/1.1 503") and b"retry-after: 1" in answer
        kept[0].sendall(HEAD + b"\r\n" + BODY)
        assert read_answer(kept[0]) == (200, ANSWER)
    finally:
        for connection in kept:
            connection.close()
    deadline = time.monotonic() + 5
    while time.monotonic() < deadline:
        try:
            if is_alive(port):
                return
        except (AssertionError, ConnectionError):
            time.sleep(0.05)
    pytest.fail("the places of closed connections were not given to others")


@pytest.mark.slow
def test_five_hundred_clients_are_answered_or_refused(export_dir):
    options = ServerOptions(poll_seconds=0, max_requests=200, max_connections=400)

    def ask(number):
        try:
            with connect(port) as connection:
                connection.settimeout(30)
                connection.sendall(HEAD + b"\r\n" + BODY)
                return read_answer(connection)
        # A refused connection may be reset while the client still sends.
        except (ConnectionError, AssertionError):
            return 503, None

    with server.running_server(export_dir, options=options) as url:
        port = int(url.rsplit(":", 1)[1])
        with ThreadPoolExecutor(500) as pool:
            answers = list(pool.map(ask, range(500)))
        assert {status for status, _ in answers} <= {200, 503}
        assert all(body == ANSWER for status, body in answers if status == 200)
        assert sum(status == 200 for status, _ in answers) >= 200
        assert is_alive(port)

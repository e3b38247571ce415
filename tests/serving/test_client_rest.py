"""The client against HTTP servers that misbehave by a script: what is asked again, and what is not."""

import json
import socket
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import numpy as np
import pytest

from mmrec_tf.serving import (
    Aborted,
    Cancelled,
    Client,
    ClientError,
    DeadlineExceeded,
    Internal,
    InvalidArgument,
    NotFound,
    PermissionDenied,
    ResourceExhausted,
    Unauthenticated,
    Unavailable,
    Unimplemented,
)

STATUS = {
    "model_version_status": [
        {"version": "3", "state": "AVAILABLE", "status": {"error_code": "OK", "error_message": ""}}
    ]
}


def tensor(dtype, *sizes):
    return {
        "dtype": dtype,
        "tensor_shape": {"dim": [{"size": str(size), "name": ""} for size in sizes], "unknown_rank": False},
        "name": "x:0",
    }


def metadata(**outputs):
    """As TensorFlow Serving before 2.16 answers it: without defaults."""
    signature = {"inputs": {"x": tensor("DT_FLOAT", -1)}, "outputs": outputs, "method_name": "m"}
    return {
        "model_spec": {"name": "m", "signature_name": "", "version": "3"},
        "metadata": {"signature_def": {"signature_def": {"serving_default": signature}}},
    }


class Script:
    """Answers requests in turn by what it is told; the last answer stays."""

    def __init__(self, *answers):
        self.answers = list(answers)
        self.requests = []
        self.times = []
        self.connections = set()
        script = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self):
                script.answer(self)

            do_POST = do_GET

            def log_message(self, *_):
                pass

        class Server(ThreadingHTTPServer):
            daemon_threads = True

            def handle_error(self, request, client_address):
                # Clients that leave are what is tested.
                if not isinstance(sys.exc_info()[1], OSError):
                    super().handle_error(request, client_address)

        self.server = Server(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=[0.01], daemon=True).start()

    def answer(self, handler):
        body = handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
        self.requests.append((handler.command, handler.path, dict(handler.headers), body))
        self.times.append(time.monotonic())
        self.connections.add(handler.client_address)
        answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
        answer(handler)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.server.shutdown()
        self.server.server_close()


def say(document=STATUS, status=200, **headers):
    def answer(handler):
        content = document if isinstance(document, bytes) else json.dumps(document).encode()
        handler.send_response(status)
        for name, value in {"Content-Length": len(content), **headers}.items():
            handler.send_header(name.replace("_", "-"), str(value))
        handler.end_headers()
        handler.wfile.write(content)

    return answer


def drop(handler):
    """Closes the connection without a word."""
    handler.close_connection = True
    handler.connection.shutdown(socket.SHUT_RDWR)


def break_off(handler):
    """Promises more than it sends."""
    handler.send_response(200)
    handler.send_header("Content-Length", "100")
    handler.end_headers()
    handler.wfile.write(b'{"model')
    drop(handler)


def after(seconds, answer):
    def late(handler):
        time.sleep(seconds)
        answer(handler)

    return late


def drip(handler):
    """A byte every 50 ms, each well within any timeout of a socket."""
    handler.send_response(200)
    handler.send_header("Content-Length", "1000")
    handler.end_headers()
    for _ in range(100):
        handler.wfile.write(b" ")
        handler.wfile.flush()
        time.sleep(0.05)


BUSY = say({"error": "busy"}, 503)


class TestRetries:
    @pytest.mark.parametrize("failure", [BUSY, say({"error": "slow down"}, 429), say(b"", 502), drop, break_off])
    def test_what_may_pass_is_asked_again(self, failure):
        with Script(failure, failure, say()) as script, Client(script.url) as client:
            (status,) = client.status("m")
            assert status.version == 3 and len(script.requests) == 3

    def test_waits_grow(self):
        with Script(BUSY, BUSY, BUSY, say()) as script, Client(script.url) as client:
            client.status("m")
            waits = np.diff(script.times)
            # At least half of 50, 100 and 200 ms.
            assert np.all(waits >= [0.025, 0.05, 0.1]) and waits.sum() < 5

    def test_a_server_that_says_when(self):
        with Script(say({"error": "busy"}, 503, Retry_After=1), say()) as script, Client(script.url) as client:
            client.status("m")
            assert 1 <= script.times[1] - script.times[0] < 5

    @pytest.mark.parametrize("date", ["Wed, 21 Oct 2026 07:28:00 GMT", "-1", "99999999999", "\u00b2"])
    def test_a_server_that_says_nonsense(self, date):
        failure = say({"error": "busy"}, 503, Retry_After=date.encode().decode("latin-1"))
        with Script(failure, say()) as script, Client(script.url) as client:
            client.status("m")
            assert script.times[1] - script.times[0] < 5

    def test_enough_is_enough(self):
        with Script(BUSY) as script, Client(script.url, retries=2) as client:
            with pytest.raises(Unavailable, match="^busy$") as caught:
                client.status("m")
            assert len(script.requests) == 3 and caught.value.status == "UNAVAILABLE"

    def test_never_when_told_so(self):
        with Script(drop, say()) as script, Client(script.url, retries=0) as client:
            with pytest.raises(Unavailable, match="cannot be reached: .*Is the server running there?"):
                client.status("m")
            assert len(script.requests) == 1

    def test_no_wait_beyond_the_deadline(self):
        with Script(say({"error": "busy"}, 503, Retry_After=60)) as script, Client(script.url) as client:
            start = time.monotonic()
            with pytest.raises(Unavailable, match="busy"):
                client.status("m", timeout=5)
            assert time.monotonic() - start < 4 and len(script.requests) == 1

    def test_calls_are_asked_again_as_well(self):
        answers = [say(metadata(y=tensor("DT_FLOAT", -1))), drop, BUSY, say({"outputs": [2.5]})]
        with Script(*answers) as script, Client(script.url) as client:
            assert client.predict("m", {"x": [1]})["y"].tolist() == [2.5]
            assert [method for method, *_ in script.requests] == ["GET", "POST", "POST", "POST"]
            assert json.loads(script.requests[3][3]) == {"signature_name": "serving_default", "inputs": {"x": [1.0]}}


@pytest.mark.parametrize(
    ("status", "kind", "name"),
    [
        (400, InvalidArgument, "INVALID_ARGUMENT"),
        (401, Unauthenticated, "UNAUTHENTICATED"),
        (403, PermissionDenied, "PERMISSION_DENIED"),
        (404, NotFound, "NOT_FOUND"),
        (405, Unimplemented, "UNIMPLEMENTED"),
        (409, Aborted, "ABORTED"),
        (413, ResourceExhausted, "RESOURCE_EXHAUSTED"),
        (418, InvalidArgument, "INVALID_ARGUMENT"),
        (499, Cancelled, "CANCELLED"),
        (500, Internal, "INTERNAL"),
        (501, Unimplemented, "UNIMPLEMENTED"),
        (504, DeadlineExceeded, "DEADLINE_EXCEEDED"),
        (301, Internal, "INTERNAL"),
    ],
)
def test_what_does_not_pass_is_asked_once(status, kind, name):
    with Script(say({"error": "no"}, status)) as script, Client(script.url) as client:
        with pytest.raises(ClientError, match="^no$") as caught:
            client.status("m")
        assert type(caught.value) is kind and caught.value.status == name and len(script.requests) == 1


class TestAnswers:
    @pytest.mark.parametrize(
        ("content", "message"),
        [
            (b"<html>Forbidden by proxy</html>", "^<html>Forbidden by proxy</html>$"),
            (b"", r"^HTTP status 403 \(Forbidden\)$"),
            (b'["x"]', r'^\["x"\]$'),
            (b"\xff" * 300, "^\ufffd{200}$"),
        ],
    )
    def test_errors_of_others(self, content, message):
        with Script(say(content, 403)) as script, Client(script.url) as client:
            with pytest.raises(PermissionDenied, match=message):
                client.status("m")

    @pytest.mark.parametrize(
        "content", [b"hello", b"", b"\xff", b"[" * 100_000, b"[]", b"{}", b'{"model_version_status": [{}]}']
    )
    def test_what_is_no_status(self, content):
        with Script(say(content)) as script, Client(script.url) as client:
            with pytest.raises(Internal):
                client.status("m")

    @pytest.mark.parametrize("content", [b"[]", b"{}", b'{"model_spec": {"name": "m", "version": "x"}}'])
    def test_what_is_no_metadata(self, content):
        with Script(say(content)) as script, Client(script.url) as client:
            with pytest.raises(Internal, match="metadata is not that of TensorFlow Serving"):
                client.metadata("m")

    @pytest.mark.parametrize(
        "answer",
        [
            {},
            [],
            {"outputs": {"y": [1]}},
            {"outputs": ["a"]},
            {"outputs": [[1.0]]},
            {"outputs": 1.0},
            {"outputs": [1.0, [2.0]]},
            {"outputs": None},
            {"predictions": [1.0]},
        ],
    )
    def test_what_does_not_fit_the_metadata(self, answer):
        with Script(say(metadata(y=tensor("DT_FLOAT", -1))), say(answer)) as script, Client(script.url) as client:
            with pytest.raises(Internal):
                client.predict("m", {"x": [1]})

    def test_whole_numbers_are_not_cut(self):
        with (
            Script(say(metadata(y=tensor("DT_INT64", -1))), say({"outputs": [1.5]})) as script,
            Client(script.url) as client,
        ):
            with pytest.raises(Internal, match="Output 'y' takes int64, got float64"):
                client.predict("m", {"x": [1]})

    def test_several_outputs_as_tensorflow_serving_writes_them(self):
        outputs = {
            "score": tensor("DT_FLOAT", -1, -1),
            "name": tensor("DT_STRING", -1),
            "raw_bytes": tensor("DT_STRING", -1),
            "id": tensor("DT_INT64", -1),
            "none": tensor("DT_STRING", -1, -1),
        }
        answer = (
            b'{"outputs": {"score": [[NaN, 1e-1], [Infinity, -Infinity]], "name": ["\\u00e9", ""], '
            b'"raw_bytes": [{"b64": "/wA="}, {"b64": ""}], "id": [9223372036854775807, -1], "none": [[], []]}}'
        )
        with Script(say(metadata(**outputs)), say(answer)) as script, Client(script.url) as client:
            found = client.predict("m", {"x": [1, 2]})
        expected = np.array([[np.nan, 0.1], [np.inf, -np.inf]], np.float32)
        np.testing.assert_array_equal(found["score"], expected, strict=True)
        assert found["name"].tolist() == ["é", ""] and found["raw_bytes"].tolist() == [b"\xff\x00", b""]
        np.testing.assert_array_equal(found["id"], np.array([2**63 - 1, -1]), strict=True)
        assert found["none"].shape == (2, 0)

    def test_an_answer_in_chunks(self):
        def chunked(handler):
            handler.send_response(200)
            handler.send_header("Transfer-Encoding", "chunked")
            handler.end_headers()
            content = json.dumps(STATUS).encode()
            for piece in (content[:10], content[10:]):
                handler.wfile.write(b"%x\r\n%s\r\n" % (len(piece), piece))
            handler.wfile.write(b"0\r\n\r\n")

        with Script(chunked) as script, Client(script.url) as client:
            for _ in range(3):
                assert client.status("m")[0].version == 3
            assert len(script.connections) == 1


class TestMetadata:
    def test_is_kept(self):
        answers = [say(metadata(y=tensor("DT_FLOAT", -1))), say({"outputs": [1.0]})]
        with Script(*answers) as script, Client(script.url) as client:
            for _ in range(3):
                client.predict("m", {"x": [1]})
            assert [method for method, *_ in script.requests] == ["GET", "POST", "POST", "POST"]

    def test_is_asked_anew_when_a_call_fails(self):
        # A version with another output takes the place of the first between two calls.
        before, now = metadata(y=tensor("DT_FLOAT", -1)), metadata(y=tensor("DT_STRING", -1))
        answers = [say(before), say({"outputs": [1.0]}), say({"outputs": ["a"]}), say(now), say({"outputs": ["a"]})]
        with Script(*answers) as script, Client(script.url) as client:
            assert client.predict("m", {"x": [1]})["y"].tolist() == [1.0]
            assert client.predict("m", {"x": [1]})["y"].tolist() == ["a"]

    def test_a_mistake_is_one_after_all(self):
        said = say(metadata(y=tensor("DT_FLOAT", -1)))
        answers = [said, say({"outputs": [1.0]}), say({"error": "no"}, 400), said]
        with Script(*answers) as script, Client(script.url) as client:
            client.predict("m", {"x": [1]})
            with pytest.raises(InvalidArgument, match="^no$"):
                client.predict("m", {"x": [1]})
            assert len(script.requests) == 4


class TestConnections:
    def test_one_is_used_again(self):
        with Script(say()) as script, Client(script.url) as client:
            for _ in range(5):
                client.status("m")
            assert len(script.connections) == 1

    def test_one_that_the_server_is_to_close_is_not(self):
        with Script(say(Connection="close")) as script, Client(script.url, retries=0) as client:
            for _ in range(3):
                client.status("m")
            assert len(script.connections) == 3

    def test_one_that_was_closed_meanwhile_costs_no_retry(self):
        def leave(handler):
            say()(handler)
            handler.close_connection = True

        with Script(leave) as script, Client(script.url, retries=0) as client:
            for _ in range(3):
                assert client.status("m")
                time.sleep(0.02)
            assert len(script.requests) == 3

    def test_no_more_are_kept_than_asked_for(self):
        with Script(after(0.05, say())) as script, Client(script.url, pool_size=2) as client:
            threads = [threading.Thread(target=client.status, args=["m"]) for _ in range(6)]
            for thread in threads:
                thread.start()
            for thread in threads:
                thread.join()
            assert len(client._calls._transport._idle) == 2

    def test_headers_and_paths(self):
        with Script(say()) as script, Client(f"{script.url}/models%20api/", api_key="k 1") as client:
            client.status("é x?", version=0)
            client.status("m", label="a b")
            (_, first, headers, _), (_, second, *_) = script.requests
        assert first == "/models%20api/v1/models/%C3%A9%20x%3F/versions/0"
        assert second.endswith("/v1/models/m/labels/a%20b")
        assert headers["x-api-key"] == "k 1" and headers["Accept"] == "application/json"

    def test_after_it_is_closed_the_client_opens_another(self):
        with Script(say()) as script:
            with Client(script.url) as client:
                client.status("m")
            assert client.status("m") and len(script.connections) == 2
            client.close()


class TestDeadlines:
    @pytest.mark.parametrize("slow", [after(5, say()), drip])
    def test_a_slow_server(self, slow):
        with Script(slow) as script, Client(script.url) as client:
            start = time.monotonic()
            with pytest.raises(DeadlineExceeded, match=r"did not answer in 0.3 s. Give it a longer timeout") as caught:
                client.status("m", timeout=0.3)
            assert 0.3 <= time.monotonic() - start < 3 and caught.value.status == "DEADLINE_EXCEEDED"
            # A server that is slow is not asked again.
            assert len(script.requests) == 1

    def test_an_answer_that_comes_too_late_is_not_taken_for_the_next(self):
        late = say({"model_version_status": [STATUS["model_version_status"][0] | {"version": "1"}]})
        with Script(after(0.4, late), say()) as script, Client(script.url) as client:
            with pytest.raises(DeadlineExceeded):
                client.status("m", timeout=0.1)
            assert client.status("m")[0].version == 3

    def test_one_deadline_for_all_attempts(self):
        with Script(after(0.15, BUSY)) as script, Client(script.url, retries=100) as client:
            start = time.monotonic()
            with pytest.raises((DeadlineExceeded, Unavailable)):
                client.status("m", timeout=0.5)
            assert time.monotonic() - start < 2 and 1 < len(script.requests) < 6

"""`mmrec serve`: what reaches the server, and a server in a process of its own that is stopped in good order."""

import http.client
import json
import os
import signal
import socket
import ssl
import subprocess
import sys
import time

import pytest

from mmrec_tf.cli import main
from mmrec_tf.serving import server
from tests.served_models import save_shelf


@pytest.fixture(scope="module")
def export_dir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("cli_serve")
    save_shelf(folder / "shelf" / "1")
    return folder


def run(monkeypatch, *arguments):
    monkeypatch.setattr(sys, "argv", ["mmrec", "serve", *map(str, arguments)])
    main()


@pytest.fixture
def served(monkeypatch):
    """Collects the arguments of `serve`, which does nothing."""
    calls = []
    monkeypatch.setattr(server, "serve", lambda *arguments: calls.append(arguments))
    return calls


def test_an_export_folder(monkeypatch, served, tmp_path):
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, tmp_path)
    assert stop.value.code == 0
    ((folder, host, port, models, options, catalogue, grpc_port),) = served
    assert (folder, host, port, models, catalogue, grpc_port) == (tmp_path, "127.0.0.1", 8501, None, None, None)
    assert options == server.ServerOptions()


def test_a_run_with_its_catalogue_and_every_option(monkeypatch, served, tmp_path):
    (tmp_path / "checkpoints").mkdir()
    (tmp_path / "config.yaml").write_text("")
    (tmp_path / "keys").write_text("one\n")
    limits = {"num-versions": 3, "poll-seconds": 0, "max-requests": 5, "max-connections": 6, "request-seconds": 7}
    limits |= {"header-seconds": 8, "body-seconds": 9, "drain-seconds": 0.5, "drift-seconds": 60}
    given = [part for name, value in limits.items() for part in (f"--{name}", value)]
    given += ["--host", "0.0.0.0", "--port", 1, "--grpc-port", 2, "--model", "a", "--model", "b", "--no-batching"]
    given += ["--models-config", tmp_path / "mine.config", "--max-body-mb", 1, "--access-log"]
    given += ["--api-key-file", tmp_path / "keys"]
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, tmp_path, *given, "--tls-cert", "c.pem", "--tls-key", "k.pem")
    assert stop.value.code == 0
    ((folder, host, port, models, options, catalogue, grpc_port),) = served
    assert (folder, catalogue) == (tmp_path / "export", tmp_path / "items.parquet")
    assert (host, port, models, grpc_port) == ("0.0.0.0", 1, ["a", "b"], 2)
    for name, value in limits.items():
        assert getattr(options, name.replace("-", "_")) == value
    assert options.models_config == tmp_path / "mine.config"
    assert options.max_batch_size == 1 and options.max_body_bytes == 2**20 and options.access_log
    assert options.api_keys == ("one",) and (str(options.tls_certificate), str(options.tls_key)) == ("c.pem", "k.pem")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--no-batching", "--max-batch-size", "4"], "do not go together"),
        (["--tls-cert", "c.pem"], "TLS needs a certificate and its key"),
        (["--api-key-file", "none.txt"], "none.txt cannot be read"),
        (["--request-seconds", "0"], "request_seconds must be above 0"),
    ],
)
def test_options_that_do_not_do(monkeypatch, served, tmp_path, capsys, arguments, message):
    with pytest.raises(SystemExit) as stop:
        run(monkeypatch, tmp_path, *arguments)
    assert stop.value.code == 2 and served == []
    assert message in " ".join(capsys.readouterr().err.split())


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def start(export_dir, port, *arguments):
    command = [sys.executable, "-c", "from mmrec_tf.cli import main; main()", "serve", export_dir, "--port", port]
    environment = os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(
        [str(part) for part in (*command, *arguments)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=environment,
    )


def ask(connection, path="/readyz"):
    connection.request("GET", path, headers={"X-Request-ID": "me"})
    response = connection.getresponse()
    return response.status, response.read()


def wait_until_ready(process, connect):
    deadline = time.monotonic() + 60
    while True:
        connection = connect()
        try:
            assert ask(connection)[0] == 200
            return connection
        except (ConnectionError, http.client.HTTPException):
            connection.close()
            assert process.poll() is None and time.monotonic() < deadline, process.communicate()
            time.sleep(0.1)


@pytest.mark.slow
def test_sigterm_says_not_ready_then_ends_in_good_order(export_dir):
    port = free_port()
    process = start(export_dir, port, "--access-log", "--drain-seconds", 1)
    try:
        connection = wait_until_ready(process, lambda: http.client.HTTPConnection("127.0.0.1", port, timeout=30))
        process.send_signal(signal.SIGTERM)
        deadline = time.monotonic() + 1
        while (found := ask(connection))[0] == 200 and time.monotonic() < deadline:
            time.sleep(0.02)
        assert found == (503, b'{"error": "The server is being stopped"}')
        # What comes meanwhile is still answered.
        assert ask(connection, "/v1/models/shelf")[0] == 200
        out, err = process.communicate(timeout=30)
    finally:
        process.kill()
    assert process.returncode == 0 and "Traceback" not in err, err
    assert "stopped" in err
    lines = [json.loads(line) for line in out.splitlines() if line.startswith("{")]
    assert lines[-1]["path"] == "/v1/models/shelf" and lines[-1]["request_id"] == "me" and lines[-1]["status"] == 200


def test_tls(export_dir, tmp_path):
    key, certificate = tmp_path / "key.pem", tmp_path / "certificate.pem"
    made = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost"]
    made += ["-addext", "subjectAltName=IP:127.0.0.1", "-keyout", str(key), "-out", str(certificate)]
    try:
        subprocess.run(made, check=True, capture_output=True)
    except FileNotFoundError:
        pytest.skip("openssl, which makes the certificate, is not installed")
    options = server.ServerOptions(poll_seconds=0, tls_certificate=certificate, tls_key=key)
    with server.running_server(export_dir, options=options) as url:
        assert url.startswith("https://")
        context = ssl.create_default_context(cafile=str(certificate))
        connection = http.client.HTTPSConnection(url.removeprefix("https://"), context=context, timeout=30)
        assert ask(connection) == (200, b'{"status": "ready"}')
        connection.close()
    wrong = server.ServerOptions(tls_certificate=certificate, tls_key=certificate)
    with (
        pytest.raises(server.ServingError, match="TLS cannot be set up"),
        server.running_server(export_dir, options=wrong),
    ):
        pass

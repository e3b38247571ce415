"""The client against the embedded server, over REST and over gRPC: the same calls, answers and errors."""

import os
import shutil
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from mmrec_tf.errors import ServingError
from mmrec_tf.serving import Client, InvalidArgument, NotFound, ResourceExhausted, Unauthenticated, Unavailable
from mmrec_tf.serving.server_options import ServerOptions
from tests import asked_models
from tests.asked_models import LOWEST, Echo


@pytest.fixture(scope="module", params=["http", "grpc"])
def client(request, small_rest, small_grpc):
    with Client(small_rest if request.param == "http" else f"grpc://{small_grpc}", timeout=30) as client:
        yield client


def strings(*rows):
    return np.array(rows, object)


class TestRecommend:
    # Version 2 has bonus 1: the scores are 1.5, 1.25, 1.125.

    def test_what_is_left_out_says_nothing(self, client):
        answer = client.recommend(["ann", "Zoë"])
        np.testing.assert_array_equal(answer["item_id"], strings(["p", "q", "é"], ["p", "q", "é"]))
        expected = np.array([[1.5, 1.25, 1.125]] * 2, np.float32)
        np.testing.assert_array_equal(answer["score"], expected, strict=True)
        assert all(type(name) is str for name in answer["item_id"].ravel())

    def test_one_user_and_k(self, client):
        answer = client.recommend("ann", k=2)
        assert answer["item_id"].tolist() == [["p", "q"]] and answer["score"].shape == (1, 2)

    def test_lists_of_different_lengths(self, client):
        answer = client.recommend(
            ["ann", "bob", "cid"], exclude_ids=[["p", "é"], [], ["q"]], history_item_ids=[["x"], None, ["x", "y"]]
        )
        assert answer["item_id"].tolist() == [["q", "", ""], ["p", "q", "é"], ["p", "é", ""]]
        # 10 for each item of the history.
        np.testing.assert_array_equal(
            answer["score"],
            np.array([[11.25, LOWEST, LOWEST], [1.5, 1.25, 1.125], [21.5, 21.125, LOWEST]], np.float32),
        )

    def test_one_list_for_all_users(self, client):
        answer = client.recommend(["ann", "bob"], k=1, exclude_ids=["p", "x"])
        assert answer["item_id"].tolist() == [["q"], ["q"]]

    def test_context(self, client):
        # 1.5 + 100 per letter of the country + the hour + 1000 per tag.
        context = {"country": ["nl", None], "hour": [7, None], "tags": [["a", "b"], "c"]}
        assert client.recommend(["ann", "bob"], k=1, context=context)["score"].tolist() == [[2208.5], [1001.5]]
        # One value for all.
        context = {"country": "nl", "hour": 0.5}
        assert client.recommend(["ann", "bob"], k=1, context=context)["score"].tolist() == [[202.0]] * 2

    def test_versions_and_labels(self, client):
        assert client.recommend("ann", k=1, version=1)["score"].tolist() == [[0.5]]
        assert client.recommend("ann", k=1, label="previous")["score"].tolist() == [[0.5]]
        assert client.recommend("ann", k=1, label="latest")["score"].tolist() == [[1.5]]

    @pytest.mark.parametrize(
        ("arguments", "message"),
        [
            ({"user_ids": []}, "user_ids is empty"),
            ({"user_ids": [7]}, "user_ids holds int 7; ids are strings"),
            ({"user_ids": 7}, "user_ids must be a list, got int"),
            ({"user_ids": "ann", "k": 0}, "k is the number of items .* from 1; got 0"),
            ({"user_ids": "ann", "k": -3}, "got -3"),
            ({"user_ids": "ann", "k": 2.5}, "got 2.5"),
            ({"user_ids": "ann", "k": 2**31}, "Input 'k': 2147483648 does not fit in int32"),
            ({"user_ids": "ann", "exclude_ids": "p"}, "exclude_ids is the string 'p'"),
            ({"user_ids": ["ann", "bob"], "exclude_ids": [["p"]]}, "lists for 1 users, but 2 are asked for"),
            ({"user_ids": ["ann", "bob"], "exclude_ids": [["p"], "q"]}, "ids and lists side by side"),
            ({"user_ids": "ann", "history_item_ids": [[3]]}, "history_item_ids holds int 3"),
            (
                {"user_ids": "ann", "context": {"weather": "rain"}},
                "knows no context 'weather'.*with 'country', 'hour', 'tags'",
            ),
            ({"user_ids": "ann", "context": {"country": ["a", "b"]}}, "values for 2 users, but 1 are asked for"),
            ({"user_ids": "ann", "context": {"country": 5}}, "Input 'country' takes strings"),
            ({"user_ids": "ann", "context": {"hour": "late"}}, "Input 'hour' takes numbers, got str: 'late'"),
            ({"user_ids": "ann", "version": 1, "label": "latest"}, "not both"),
            ({"user_ids": "ann", "timeout": 0}, "A timeout is a number of seconds above 0, got 0"),
            ({"user_ids": "\ud800"}, "half of a surrogate pair"),
        ],
    )
    def test_mistakes(self, client, arguments, message):
        with pytest.raises(InvalidArgument, match=message):
            client.recommend(**arguments)


def test_similar_items(client):
    answer = client.similar_items(["p", "é"], k=2)
    assert answer["item_id"].tolist() == [["p", "p"], ["é", "é"]] and answer["score"].tolist() == [[1, 0.5]] * 2


def test_rank(client):
    # The lengths of both names; a shorter list ends in NaN.
    scores = client.rank(["ann", "jo"], [["p", "pqr"], ["pq"]])
    np.testing.assert_array_equal(scores, np.array([[4, 6], [4, np.nan]], np.float32), strict=True)
    np.testing.assert_array_equal(client.rank("ann", ["p", "pq"]), [[4, 5]])


def test_embeddings(client):
    # Lengths in bytes.
    np.testing.assert_array_equal(client.embed_user(["ann", "é"]), np.array([[3, 1], [2, 1]], np.float32), strict=True)
    np.testing.assert_array_equal(client.embed_item("pqrs"), [[4, 1]])


class TestPredict:
    LIMITS = {
        "float32": [3.4028234e38, -1e-45, np.inf, -np.inf, np.nan, 0.1],
        "float64": [1.7976931348623157e308, 5e-324, np.inf, -np.inf, np.nan, 0.1],
        "bool": [True, False, False, True, True, True],
    }

    def test_types_are_those_of_the_signature(self, client):
        sent = {}
        for name in Echo.TYPES:
            limits = self.LIMITS.get(name) or [np.iinfo(name).min, np.iinfo(name).max, 0, 1, 2, 3]
            sent[name] = np.array(limits, name).reshape(3, 2)
        answer = client.predict("echo", {f"{name}_in": array for name, array in sent.items()}, "types")
        for name, array in sent.items():
            np.testing.assert_array_equal(answer[f"{name}_out"], array, strict=True)

    def test_lists_are_taken_as_well(self, client):
        inputs = {f"{name}_in": [[0, 1]] for name in Echo.TYPES} | {"bool_in": [[False, True]]}
        answer = client.predict("echo", inputs, "types")
        assert {name: array.dtype.name for name, array in answer.items()} == {f"{n}_out": n for n in Echo.TYPES}
        assert all(array.tolist() == [[0, 1]] for array in answer.values())

    def test_text_and_bytes(self, client):
        texts, blobs = ["Zoë ☕", "", "日本 \x00 𝄞"], [b"\xff\x00\x80", b"", "é".encode()]
        answer = client.predict("echo", {"text": texts, "blob": blobs}, "strings")
        assert answer["text"].tolist() == texts and answer["blob_bytes"].tolist() == blobs
        # Either is taken for a string.
        answer = client.predict(
            "echo", {"text": np.array([b"abc", "é"], object), "blob": np.array(["x", "y"])}, "strings"
        )
        assert answer["text"].tolist() == ["abc", "é"] and answer["blob_bytes"].tolist() == [b"x", b"y"]

    def test_bytes_that_are_no_text(self, client):
        with pytest.raises(InvalidArgument, match="Output 'text' holds bytes that are not UTF-8"):
            client.predict("echo", {"blob": [b"\xff"]}, "raw")

    def test_scalars(self, client):
        answer = client.predict("echo", {"factor": 2, "value": [1, 4]}, "scaled")
        assert answer["scaled"].tolist() == [2, 8] and answer["factor_out"].shape == ()

    def test_default_signature(self, client):
        assert client.predict("recommend", {"user_id": ["Zoë"]})["greeting"].tolist() == ["hello Zoë"]

    def test_strings_are_filled_up(self, client):
        answer = client.predict("ranking", {"user_id": ["a", "a"], "item_ids": [["x"], ["y", "zz"]]}, "rank")
        assert answer["score"].tolist() == [[2, 1], [2, 3]]

    @pytest.mark.parametrize(
        ("inputs", "signature", "message"),
        [
            ({}, "pick", "The inputs lack 'index'; the signature takes 'index'"),
            ([1], "pick", "a dict of name -> values, got list"),
            ({"index": [1], "k": [1]}, "pick", "have unknown 'k'"),
            ({"index": [1]}, "nonsense", "has no signature 'nonsense'; it has .*pick"),
            ({"index": ["1"]}, "pick", "Input 'index' takes numbers, got str: '1'"),
            ({"index": [1.0]}, "pick", "Input 'index' takes int64, got float64"),
            ({"index": [True]}, "pick", "Input 'index' takes int64, got bool"),
            ({"index": [1, None]}, "pick", "takes numbers, got NoneType"),
            ({"index": [1, True]}, "pick", "booleans and numbers side by side"),
            ({"index": [2**63]}, "pick", "9223372036854775808 does not fit in int64"),
            ({"index": [-(2**70)]}, "pick", "-1180591620717411303424 does not fit in int64"),
            ({"index": np.array([2**63], np.uint64)}, "pick", "9223372036854775808 does not fit in int64"),
            ({"index": [[1]]}, "pick", r"has the shape \[1, 1\], but the signature takes \[-1\]"),
            ({"index": 1}, "pick", r"has the shape \[\], but"),
            ({"index": [[1], [1, 2]]}, "pick", "not rectangular: it has lists of the lengths 1, 2"),
            ({"index": [[1], 2]}, "pick", "not rectangular: it has lists and single values side by side"),
            ({"index": []}, "pick", "Empty batch"),
            ({"index": [7]}, "pick", r"indices\[0\] = 7 is not in \[0, 3\)"),
            ({"factor": 1e39, "value": [1]}, "scaled", "a number that is too large for float32"),
            ({"text": [1], "blob": [b""]}, "strings", "takes strings .str or bytes., got int: 1"),
            ({"text": ["a"], "blob": [b"", b""]}, "strings", "Batch sizes differ"),
        ],
    )
    def test_mistakes(self, client, inputs, signature, message):
        with pytest.raises(InvalidArgument, match=message) as caught:
            client.predict("echo", inputs, signature)
        assert caught.value.status == "INVALID_ARGUMENT" and str(caught.value) == caught.value.message

    @pytest.mark.parametrize(
        ("model", "version", "message"),
        [
            ("shoes", None, r"Servable not found for request: Latest\(shoes\)"),
            ("echo", 9, r"Specific\(echo, 9\)"),
            ("broken", None, "version 3 cannot be loaded"),
        ],
    )
    def test_what_is_not_there(self, client, model, version, message):
        with pytest.raises(NotFound, match=message) as caught:
            client.predict(model, {"x": [1]}, version=version)
        assert caught.value.status == "NOT_FOUND"

    @pytest.mark.parametrize("model", ["../../healthz?x#y", "echo/versions/1", "echo:predict", "%2e%2e", "é\x00"])
    def test_names_stay_names(self, client, model):
        with pytest.raises((NotFound, InvalidArgument)):
            client.metadata(model)

    def test_unknown_label(self, client):
        with pytest.raises(InvalidArgument, match="Unrecognized servable version label: canary"):
            client.predict("recommend", {"user_id": ["ann"]}, label="canary")

    def test_a_thousand_rows_and_many_threads(self, client):
        def ask(number):
            index = (np.arange(1000) + number) % 3
            return np.array_equal(client.predict("echo", {"index": index}, "pick")["score"], 0.5 ** (index + 1))

        with ThreadPoolExecutor(8) as pool:
            assert all(pool.map(ask, range(40)))


def test_types_without_json(small_grpc, small_rest):
    sent = {"half": [[1.5, np.inf]], "bfloat16": [[-2, 0.5]], "complex64": [[1 + 2j, 3]], "complex128": [[1, 2j]]}
    inputs = {f"{name}_in": values for name, values in sent.items()}
    with Client(f"grpc://{small_grpc}") as client:
        answer = client.predict("echo", inputs, "wide")
    for name, values in sent.items():
        assert answer[f"{name}_out"].dtype.name == {"half": "float16"}.get(name, name)
        np.testing.assert_array_equal(answer[f"{name}_out"].astype(complex), values)
    with Client(small_rest) as client, pytest.raises(InvalidArgument, match="JSON"):
        client.predict("echo", inputs, "wide")


class TestStatusAndMetadata:
    def test_status(self, client):
        first, second = client.status("recommend")
        assert (first.version, first.state, first.error_code, first.error_message) == (2, "AVAILABLE", "OK", "")
        assert first.is_available and second.version == 1
        (broken,) = client.status("broken", version=3)
        assert (broken.state, broken.error_code, broken.is_available) == ("END", "DATA_LOSS", False)
        assert broken.error_message
        assert [s.version for s in client.status("recommend", label="previous")] == [1]
        with pytest.raises(NotFound, match="Could not find version 9 of model echo"):
            client.status("echo", version=9)

    def test_metadata(self, client):
        metadata = client.metadata("echo")
        assert (metadata.name, metadata.version) == ("echo", 1)
        assert set(metadata.signatures) == {"types", "wide", "strings", "raw", "scaled", "pick", "slow"}
        scaled = metadata.signatures["scaled"]
        assert (scaled.inputs["factor"].type_name, scaled.inputs["factor"].shape) == ("float32", ())
        assert scaled.inputs["value"].shape == (None,) and set(scaled.outputs) == {"scaled", "factor_out"}
        assert metadata.signatures["types"].inputs["int8_in"].shape == (None, 2)
        assert client.metadata("recommend", version=1).version == 1
        with pytest.raises(NotFound):
            client.metadata("shoes")

    def test_ready(self, client):
        assert client.ready() and client.ready("echo", "ranking")
        assert not client.ready("echo", "broken") and not client.ready("shoes")


def test_both_ways_agree_in_every_error(small_rest, small_grpc):
    calls = [
        lambda c: c.predict("shoes", {}),
        lambda c: c.predict("echo", {"index": [9]}, "pick"),
        lambda c: c.predict("echo", {"index": [9]}, "nonsense"),
        lambda c: c.predict("echo", {"x": [9]}, "pick"),
        lambda c: c.predict("broken", {}),
        lambda c: c.recommend("ann", label="canary"),
        lambda c: c.status("shoes"),
    ]
    with Client(small_rest) as rest, Client(f"grpc://{small_grpc}") as other:
        for call in calls:
            raised = []
            for client in (rest, other):
                with pytest.raises(ServingError) as caught:
                    call(client)
                raised.append((type(caught.value), caught.value.status, caught.value.message))
            assert raised[0] == raised[1]


def free_ports(count):
    import socket

    listeners = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    ports = [listener.getsockname()[1] for listener in listeners]
    for listener in listeners:
        listener.close()
    return ports


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("tls")
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost,IP:127.0.0.1"]
    if shutil.which("openssl") is None:
        pytest.skip("openssl makes the certificate, and is not here")
    files = ["-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem")]
    subprocess.run([*command, *files], check=True, capture_output=True)
    return folder / "cert.pem", folder / "key.pem"


def test_tls_and_api_keys(small_export, certificate):
    from mmrec_tf.serving.server import running_server

    (grpc_port,) = free_ports(1)
    options = ServerOptions(tls_certificate=certificate[0], tls_key=certificate[1], api_keys=["open sesame"])
    with running_server(small_export, models=["echo"], options=options, grpc_port=grpc_port) as url:
        assert url.startswith("https://")
        for address in (url, f"grpcs://127.0.0.1:{grpc_port}"):
            with Client(address, api_key="open sesame", ca_file=certificate[0]) as client:
                assert client.predict("echo", {"index": [0]}, "pick")["score"].tolist() == [0.5]
            for key in (None, "sesame"):
                with Client(address, api_key=key, ca_file=certificate[0]) as client:
                    with pytest.raises(Unauthenticated, match="An API key is needed") as caught:
                        client.status("echo")
                    assert caught.value.status == "UNAUTHENTICATED"
                    with pytest.raises(Unauthenticated):
                        client.ready("echo")
            # A certificate that nobody vouches for.
            with Client(address, api_key="open sesame", retries=0) as client, pytest.raises(Unavailable):
                client.status("echo")


def test_a_request_that_is_too_large(small_export):
    from mmrec_tf.serving.server import running_server

    (grpc_port,) = free_ports(1)
    options = ServerOptions(max_body_bytes=10_000)
    with running_server(small_export, models=["echo"], options=options, grpc_port=grpc_port) as url:
        for address in (url, f"grpc://127.0.0.1:{grpc_port}"):
            with Client(address) as client:
                # 3 MB and more, so that it does not fit in what the system holds for a connection.
                with pytest.raises(ResourceExhausted) as caught:
                    client.predict("echo", {"index": np.zeros(1_000_000, np.int64)}, "pick")
                assert caught.value.status == "RESOURCE_EXHAUSTED"
                assert client.predict("echo", {"index": [0]}, "pick")["score"].tolist() == [0.5]


class TestHotSwap:
    def test_signatures_may_change_under_the_client(self, small_export, tmp_path):
        from mmrec_tf.serving.grpc_server import GrpcServer
        from mmrec_tf.serving.model_store import ModelStore

        shutil.copytree(small_export / "ranking", tmp_path / "echo")
        store = ModelStore(tmp_path)
        with GrpcServer(store, "127.0.0.1:0") as server, Client(f"grpc://127.0.0.1:{server.port}") as client:
            assert client.predict("echo", {"user_id": ["a"], "item_ids": [["b"]]}, "rank")["score"].tolist() == [[2]]
            shutil.copytree(small_export / "echo" / "1", tmp_path / "echo" / "2")
            store.refresh()
            # The signature that the client knows is gone, and one that it does not know has come.
            with pytest.raises(InvalidArgument, match="Version 2 of echo has no signature 'rank'"):
                client.predict("echo", {"user_id": ["a"], "item_ids": [["b"]]}, "rank")
            assert client.predict("echo", {"index": [1]}, "pick")["score"].tolist() == [0.25]
        store.close()

    def test_no_call_fails_while_a_server_starts_again(self, small_store):
        from mmrec_tf.serving.grpc_server import GrpcServer

        (port,) = free_ports(1)
        server = GrpcServer(small_store, f"127.0.0.1:{port}")
        server.start()
        with Client(f"grpc://127.0.0.1:{port}", timeout=30, retries=8) as client:
            assert client.ready("echo")
            server.stop(0)
            assert not client.ready("echo")
            server = GrpcServer(small_store, f"127.0.0.1:{port}")
            timer = threading.Timer(0.3, server.start)
            timer.start()
            assert client.predict("echo", {"index": [2]}, "pick")["score"].tolist() == [0.125]
            timer.join()
            server.stop(0)


class TestAddresses:
    @pytest.mark.parametrize(
        "url",
        [
            "localhost:8501",
            "ftp://host",
            "http://",
            "http://host:99999",
            "http://user:key@host",
            "http://h?x=1",
            None,
            7,
        ],
    )
    def test_what_is_none(self, url):
        with pytest.raises(InvalidArgument, match="is no address of a server.*Write http://host:8501"):
            Client(url)

    def test_a_path_over_grpc(self):
        with pytest.raises(InvalidArgument, match="has a path, which gRPC has no use for"):
            Client("grpc://host:1/prefix")

    @pytest.mark.parametrize(
        ("options", "message"),
        [
            ({"timeout": 0}, "above 0, got 0"),
            ({"timeout": float("nan")}, "above 0, got nan"),
            ({"timeout": "1"}, "above 0, got '1'"),
            ({"retries": -1}, "0 or more; got -1"),
            ({"retries": 1.5}, "got 1.5"),
            ({"api_key": "k\u00e9y"}, "characters that no header can carry"),
            ({"api_key": "a\nb"}, "characters that no header can carry"),
            ({"api_key": ""}, "or none"),
        ],
    )
    def test_options(self, options, message):
        with pytest.raises(InvalidArgument, match=message):
            Client("http://localhost:8501", **options)

    @pytest.mark.parametrize("scheme", ["https", "grpcs"])
    def test_certificates(self, scheme, tmp_path):
        with pytest.raises(InvalidArgument, match="cannot be read"):
            Client(f"{scheme}://localhost", ca_file=tmp_path / "none.pem")

    def test_certificates_that_are_none(self, tmp_path):
        (tmp_path / "none.pem").write_text("nothing")
        with pytest.raises(InvalidArgument, match="holds no certificates in PEM form"):
            Client("https://localhost", ca_file=tmp_path / "none.pem")

    @pytest.mark.parametrize("scheme", ["http", "grpc"])
    def test_nobody_there(self, scheme):
        (port,) = free_ports(1)
        with Client(f"{scheme}://127.0.0.1:{port}", retries=1) as client:
            with pytest.raises(Unavailable, match=f"{scheme}://127.0.0.1:{port} cannot be reached") as caught:
                client.status("echo")
            assert caught.value.status == "UNAVAILABLE" and not client.ready("echo")


LIGHT = """
import sys
from mmrec_tf.serving import Client, InvalidArgument

for url in sys.argv[1:]:
    with Client(url) as client:
        assert client.recommend(["ann"], k=1, exclude_ids=[["p"]])["item_id"].tolist() == [["q"]]
        assert client.status("echo") and client.ready()
        try:
            client.predict("echo", {}, "pick")
        except InvalidArgument:
            pass
heavy = {"tensorflow", "tensorflow_serving", "tf_keras", "pandas", "fastapi"} & set(sys.modules)
assert not heavy, heavy
print("light")
"""


def test_a_client_imports_no_tensorflow(small_rest, small_grpc):
    command = [sys.executable, "-c", LIGHT, small_rest, f"grpc://{small_grpc}"]
    process = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ)
    assert process.stdout == "light\n", process.stderr[-2000:]


def test_without_grpcio(monkeypatch):
    monkeypatch.setitem(sys.modules, "grpc", None)
    Client("http://localhost")
    with pytest.raises(ServingError, match=r"pip install 'mmrec-tf\[grpc\]'. Or ask over REST"):
        Client("grpc://localhost")


def test_names_of_the_package():
    import mmrec_tf.serving as serving

    assert {"Client", "ClientError", "NotFound", "ModelStatus"} <= set(dir(serving))
    assert all(getattr(serving, name).__name__ == name for name in serving.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'Customer'"):
        serving.Customer


def test_the_exported_models_are_those_that_the_client_asks():
    # What the client calls by name has to be what `mmrec export` writes.
    from mmrec_tf.serving import signatures

    class Engine:
        context_inputs, ranking = None, object()

    written = signatures.model_signatures(Engine(), k=10, modality_weights=False)
    assert "recommend" in written["recommend"] and "rank" in written["ranking"]
    assert {"similar_items", "embed_user", "embed_item"} <= set(written["retrieval"])
    asked = asked_models.Recommend.recommend.input_signature[:4]
    for mine, theirs in zip(asked, written["recommend"]["recommend"].input_signature, strict=True):
        assert (mine.name, mine.dtype, mine.shape.as_list()) == (theirs.name, theirs.dtype, theirs.shape.as_list())

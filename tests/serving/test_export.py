"""Exported models: versions, signatures, what is inside, and that they answer alike wherever they are loaded."""

import contextlib
import errno
import json
import os
import resource
import subprocess
import sys
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from mmrec_tf.errors import ServingError
from mmrec_tf.serving import Client, export
from mmrec_tf.serving.drift_monitor import DriftMonitor
from mmrec_tf.serving.export import export_models, put_in_place
from mmrec_tf.serving.grpc_server import GrpcServer
from mmrec_tf.serving.model_store import ModelStore
from mmrec_tf.serving.op_check import check_export
from mmrec_tf.serving.reference import Reference
from mmrec_tf.serving.server import running_server
from mmrec_tf.serving.signatures import model_signatures
from mmrec_tf.serving.warmup import WARMUP_FILE, replay
from tests import tiny_world
from tests.saved_model_c_api import run_signatures

USERS, ITEMS = np.array(["u3", "nobody"]), np.array(["i4", "i28"])
ASKED = {
    ("recommend", "serving_default"): {"user_id": USERS},
    ("recommend", "recommend"): {
        "user_id": USERS,
        "k": np.array([3, 4], np.int32),
        "exclude_ids": np.array([["i9", ""], ["i2", "nothing"]]),
        "history_item_ids": np.array([["", "", ""], ["i4", "i8", ""]]),
    },
    ("recommend", "recommend_weighted"): {
        "user_id": USERS,
        "k": np.array([3, 4], np.int32),
        "modality": np.array([["text", "image"], ["image", ""]]),
        "weight": np.array([[2.0, 0.0], [0.5, 1.0]], np.float32),
    },
    ("recommend", "explain"): {"user_id": USERS, "item_id": np.array(["i4", "nothing"])},
    ("retrieval", "serving_default"): {"user_id": USERS},
    ("retrieval", "retrieve"): {"user_id": USERS, "k": np.array([30, 1], np.int32)},
    ("retrieval", "similar_items"): {"item_id": ITEMS, "k": np.array([2, 2], np.int32)},
    ("retrieval", "embed_user"): {"user_id": USERS},
    ("retrieval", "embed_item"): {"item_id": np.array(["i4", "nothing"])},
    ("ranking", "serving_default"): {"user_id": USERS, "item_id": ITEMS},
    ("ranking", "rank"): {"user_id": USERS, "item_ids": np.array([["i4", "i28", ""], ["i1", "", "nothing"]])},
}


@pytest.fixture(scope="module")
def engine():
    tf.keras.utils.set_random_seed(1)
    ranking = tiny_world.ranker()
    ranking.similarity_weight.assign(2.0)
    return tiny_world.engine(ranking=ranking, candidates=10)


@pytest.fixture(scope="module")
def written(engine, tmp_path_factory):
    told = []
    written = export_models(engine, tmp_path_factory.mktemp("export"), 5, lambda *call: told.append(call))
    assert told == [("exporting", done, 3) for done in range(4)]
    return written


def test_each_version_holds_what_its_answers_are_compared_with(engine, written):
    for name, path in written.items():
        reference = Reference.load(path)
        assert (reference.catalogue_size, "u3" in reference.known["user"]) == (30, True), name
    _, scores = engine.recommend(tf.constant([f"u{number}" for number in range(20)]), tf.constant(5))
    np.testing.assert_allclose(Reference.load(written["recommend"]).scores.mean, scores.numpy().mean(axis=0), rtol=1e-4)


def test_answers_to_the_same_users_are_no_shift(written):
    monitor = DriftMonitor(3600, sample_seconds=0)
    store = ModelStore(written["recommend"].parents[1], sample=monitor.sample)
    monitor.watch(store)
    users = np.array([f"u{number}".encode() for number in range(20)], object)
    for _ in range(15):
        for rows in np.split(users, 4):
            store.find("recommend").run("serving_default", {"user_id": rows})
        monitor.count()
    store.close()
    reports = {name: report for name, _, report in monitor.reports()}
    assert (reports["recommend"].score_rows, reports["retrieval"].embedding_rows) == (300, 300)
    assert reports["recommend"].score_psi == pytest.approx(0, abs=1e-9)
    assert reports["retrieval"].embedding_psi_largest == pytest.approx(0, abs=1e-9)
    assert reports["recommend"].unknown["user"] == 0
    # As often asked, the sample's items are all met, and no others.
    assert reports["recommend"].coverage == pytest.approx(reports["recommend"].coverage_expected, rel=0.02)


@pytest.fixture(scope="module")
def expected(engine):
    """What the engine says in this process, in the order of `ASKED`."""
    users, items = tf.constant(USERS), tf.constant(ITEMS)

    def lists(answer):
        return {"item_id": answer[0].numpy(), "score": answer[1].numpy()}

    return [
        lists(engine.recommend(users, tf.constant(5))),
        lists(
            engine.recommend(
                users,
                tf.constant(4),
                tf.constant([["i9", ""], ["i2", "nothing"]]),
                tf.constant([["", "", ""], ["i4", "i8", ""]]),
            )
        ),
        lists(
            engine.recommend_weighted(
                users,
                tf.constant(4),
                tf.constant([["text", "image"], ["image", ""]]),
                tf.constant([[2.0, 0.0], [0.5, 1.0]]),
            )
        ),
        dict(
            zip(
                ("score", "contribution", "part"),
                (output.numpy() for output in engine.explain(users, tf.constant(["i4", "nothing"]))),
            )
        ),
        lists(engine.retrieve_ids(users, tf.constant(5))),
        lists(engine.retrieve_ids(users, tf.constant(30))),
        lists(engine.similar_items(items, tf.constant(2))),
        {"embedding": engine.embed_user(users).numpy()},
        {"embedding": engine.embed_item(tf.constant(["i4", "nothing"])).numpy()},
        {"score": engine.rank_pairs(users, items).numpy()},
        {"score": engine.rank_pairs(users, tf.constant([["i4", "i28", ""], ["i1", "", "nothing"]])).numpy()},
    ]


def assert_same(answers, expected):
    for call, found, wanted in zip(ASKED, answers, expected, strict=True):
        assert_same_arrays(found, wanted, call)


def assert_same_arrays(found, wanted, call):
    assert found.keys() == wanted.keys(), call
    for name, value in wanted.items():
        if value.dtype == object:
            assert found[name].tolist() == value.tolist(), call
        else:
            np.testing.assert_allclose(found[name], value, rtol=1e-5, atol=1e-6, err_msg=str(call))


def saved_model(path) -> saved_model_pb2.SavedModel:
    return saved_model_pb2.SavedModel.FromString((path / "saved_model.pb").read_bytes())


def test_reloaded_models_answer_as_the_engine_does(written, expected):
    models = {name: tf.saved_model.load(str(path)) for name, path in written.items()}
    answers = [
        models[name].signatures[signature](**{key: tf.constant(value) for key, value in inputs.items()})
        for (name, signature), inputs in ASKED.items()
    ]
    assert_same([{key: value.numpy() for key, value in answer.items()} for answer in answers], expected)


RELOAD = """
import json, sys
import tensorflow as tf

answers = []
for folder, signature, inputs in json.load(sys.stdin):
    model = tf.saved_model.load(folder)
    types = {"k": tf.int32, "weight": tf.float32}
    given = {key: tf.constant(value, types.get(key, tf.string)) for key, value in inputs.items()}
    found = model.signatures[signature](**given)
    answers.append({
        key: [[text.decode() for text in row] for row in value.numpy()] if value.dtype == tf.string
        else value.numpy().tolist() for key, value in found.items()
    })
assert not any(name.split(".")[0] in ("mmrec_tf", "tensorflow_recommenders") for name in sys.modules)
json.dump(answers, sys.stdout)
"""


@pytest.mark.slow
def test_a_fresh_process_that_knows_tensorflow_alone_answers_the_same(written, expected, tmp_path):
    requests = [
        (str(written[name]), signature, {key: value.tolist() for key, value in inputs.items()})
        for (name, signature), inputs in ASKED.items()
    ]
    process = subprocess.run(
        [sys.executable, "-c", RELOAD],
        input=json.dumps(requests),
        capture_output=True,
        text=True,
        timeout=300,
        cwd=tmp_path,
        env={key: value for key, value in os.environ.items() if key not in ("PYTHONPATH", "TF_USE_LEGACY_KERAS")},
    )
    assert process.returncode == 0, process.stderr[-2000:]
    answers = [
        {
            key: np.array([[text.encode() for text in row] for row in value], object)
            if key in ("item_id", "part")
            else np.array(value)
            for key, value in answer.items()
        }
        for answer in json.loads(process.stdout)
    ]
    assert_same(answers, expected)


def test_tensorflows_c_library_answers_the_same_without_any_python_op(written, expected):
    calls = [(written[name], signature, inputs) for (name, signature), inputs in ASKED.items()]
    assert_same(run_signatures(calls), expected)


def test_tensorflow_serving_has_every_op(written):
    checks = check_export(written["recommend"].parents[1])
    assert [(check.path, check.refusals, check.needs_text) for check in checks] == [
        (written[name], (), False) for name in ("ranking", "recommend", "retrieval")
    ]


def test_signatures_are_as_documented_and_every_input_has_a_batch_dimension(written):
    shapes = {}
    for name, path in written.items():
        for signature, content in saved_model(path).meta_graphs[0].signature_def.items():
            if signature == "__saved_model_init_op":
                continue
            shapes[name, signature] = set(content.inputs)
            for key, info in content.inputs.items():
                lists = ("modality", "weight", "exclude_ids", "history_item_ids", "item_ids")
                wide = [-1] if key in lists else []
                assert [dim.size for dim in info.tensor_shape.dim] == [-1, *wide], (name, signature, key)
            for key, info in content.outputs.items():
                assert info.tensor_shape.dim[0].size == -1, (name, signature, key)
                assert info.dtype in (tf.float32.as_datatype_enum, tf.string.as_datatype_enum)
    assert shapes == {call: set(inputs) for call, inputs in ASKED.items()}


def test_no_constant_grows_with_the_catalogue(written):
    # Ids, embeddings, histories and features are variables and tables. As constants they would be numbers for each of
    # 20 users or 30 items, or ids; TensorFlow refuses graphs beyond 2 GB.
    ids = {*(f"u{row}".encode() for row in range(20)), *(f"i{row}".encode() for row in range(30))}
    for name, path in written.items():
        graph = saved_model(path).meta_graphs[0].graph_def
        nodes = [*graph.node, *(node for function in graph.library.function for node in function.node_def)]
        constants = [node.attr["value"].tensor for node in nodes if node.op == "Const"]
        assert constants
        for tensor in constants:
            # The largest are the checkpoint's: names of variables, and, as one string, how the objects hang together.
            is_one_string = tensor.dtype == tf.string.as_datatype_enum and not tensor.tensor_shape.dim
            assert tensor.ByteSize() < (20_000 if is_one_string else 10_000), name
            assert not ids & set(tensor.string_val), name
            if tensor.dtype != tf.string.as_datatype_enum:
                assert np.prod([dim.size for dim in tensor.tensor_shape.dim]) < 20, name


def test_each_model_holds_only_what_its_signatures_use(written):
    shapes = {
        name: [shape for _, shape in tf.train.list_variables(str(path / "variables" / "variables"))]
        for name, path in written.items()
    }
    # Eight numbers, popularity and trend for every item and for index 0.
    catalogue, ranker_head = [tiny_world.ITEMS + 1, 10], [12, 1]
    # The same once more for each of two modalities.
    weighted = [tiny_world.ITEMS + 1, 20]
    assert {
        name: tuple(shape in found for shape in (catalogue, ranker_head, weighted)) for name, found in shapes.items()
    } == {
        "recommend": (True, True, True),
        "retrieval": (True, False, False),
        "ranking": (False, True, False),
    }


def test_k_is_the_batchs_largest_and_an_empty_batch_is_answered(written):
    recommend = tf.saved_model.load(str(written["recommend"])).signatures["recommend"]

    def ask(users, k):
        nothing = {name: tf.zeros([len(users), 0], tf.string) for name in ("exclude_ids", "history_item_ids")}
        return recommend(user_id=tf.constant(users, tf.string), k=tf.constant(k, tf.int32), **nothing)

    assert ask(["u1", "u2", "u3"], [2, 7, 1])["item_id"].shape == (3, 7)
    for none in (0, -5):
        assert ask(["u1"], [none])["item_id"].shape == (1, 1)
    assert ask([], [])["score"].shape[0] == 0


def test_no_request_gets_more_places_than_there_are_items(written):
    # Thirty items: a k of a thousand million must not ask for that much memory.
    nothing = {name: tf.zeros([1, 0], tf.string) for name in ("exclude_ids", "history_item_ids")}
    for name, signature, inputs in (
        ("recommend", "recommend", {"user_id": tf.constant(["u1"]), **nothing}),
        ("retrieval", "retrieve", {"user_id": tf.constant(["u1"])}),
        ("retrieval", "similar_items", {"item_id": tf.constant(["i1"])}),
    ):
        answer = tf.saved_model.load(str(written[name])).signatures[signature](**inputs, k=tf.constant([1_000_000_000]))
        assert answer["item_id"].shape == (1, 30)


def test_wrong_weights_are_refused_with_what_is_allowed_also_by_tensorflows_c_library(written):
    weighted = tf.saved_model.load(str(written["recommend"])).signatures["recommend_weighted"]
    given = {"user_id": np.array(["u1"]), "k": np.array([2], np.int32)}
    for name, weight, message in (
        ("smell", 1.0, "unknown modality: smell; weights are given for: image, text"),
        ("text", -1.0, "a weight must be from 0 to 1000, got -1; weights are given for: image, text"),
        ("text", float("nan"), "got nan"),
    ):
        inputs = {**given, "modality": np.array([[name]]), "weight": np.array([[weight]], np.float32)}
        with pytest.raises(tf.errors.InvalidArgumentError, match=message):
            weighted(**{key: tf.constant(value) for key, value in inputs.items()})
    with pytest.raises(AssertionError, match="unknown modality: smell; weights are given for: image, text"):
        run_signatures([(written["recommend"], "recommend_weighted", inputs | {"modality": np.array([["smell"]])})])


def post(url, body) -> dict:
    request = urllib.request.Request(f"{url}/v1/models/recommend:predict", data=json.dumps(body).encode())
    with urllib.request.urlopen(request, timeout=60) as response:
        return json.load(response)


def test_weights_and_explanations_over_http_in_rows_and_columns(written, expected):
    weighted, explained = (
        expected[list(ASKED).index(("recommend", name))] for name in ("recommend_weighted", "explain")
    )
    with running_server(written["recommend"].parents[1], models=["recommend"]) as url:
        for name, answer in (("recommend_weighted", weighted), ("explain", explained)):
            columns = {key: value.tolist() for key, value in ASKED["recommend", name].items()}
            rows = [dict(zip(columns, row)) for row in zip(*columns.values())]
            by_column = post(url, {"signature_name": name, "inputs": columns})["outputs"]
            by_row = post(url, {"signature_name": name, "instances": rows})["predictions"]
            assert by_column == {key: [row[key] for row in by_row] for key in by_row[0]}
            for key, value in answer.items():
                if value.dtype == object:
                    assert by_column[key] == [[text.decode() for text in row] for row in value]
                else:
                    np.testing.assert_allclose(by_column[key], value, rtol=1e-5, atol=1e-6)
        row = {"user_id": "u3", "k": 2, "modality": [], "weight": []}
        nothing = {"exclude_ids": [], "history_item_ids": []}
        plain = post(url, {"signature_name": "recommend", "instances": [{"user_id": "u3", "k": 2, **nothing}]})
        # One empty id says as little as none.
        filled = {
            "signature_name": "recommend",
            "inputs": {"user_id": ["u3"], "k": [2]} | dict.fromkeys(nothing, [[""]]),
        }
        assert post(url, filled)["outputs"] == {key: [value] for key, value in plain["predictions"][0].items()}
        assert post(url, {"signature_name": "recommend_weighted", "instances": [row]}) == plain
        for wrong, message in (
            ({"modality": ["smell"], "weight": [1]}, "unknown modality: smell; weights are given for: image, text"),
            ({"modality": [{"b64": "/w=="}], "weight": [1]}, "unknown modality: \ufffd;"),
            ({"modality": ["text"], "weight": [-1]}, "a weight must be from 0 to 1000, got -1;"),
            ({"modality": ["text", "image"], "weight": [1]}, "must have the same shape"),
        ):
            with pytest.raises(urllib.error.HTTPError) as caught:
                post(url, {"signature_name": "recommend_weighted", "instances": [{**row, **wrong}]})
            error = json.load(caught.value)["error"]
            assert caught.value.code == 400 and message in error and "Traceback" not in error, error


@pytest.mark.parametrize("scheme", ["http", "grpc"])
def test_the_client_gets_the_same_answers(written, expected, scheme):
    folder = written["recommend"].parents[1]
    with contextlib.ExitStack() as stack:
        if scheme == "http":
            url = stack.enter_context(running_server(folder))
        else:
            url = f"grpc://127.0.0.1:{stack.enter_context(GrpcServer(ModelStore(folder), '127.0.0.1:0')).port}"
        client = stack.enter_context(Client(url, timeout=60))
        for (model, signature), inputs, answer in zip(ASKED, ASKED.values(), expected, strict=True):
            found = client.predict(model, inputs, signature)
            texts = {
                name: np.vectorize(str.encode, otypes=[object])(v) for name, v in found.items() if v.dtype == object
            }
            assert_same_arrays(found | texts, answer, (model, signature))
        # By their names, with lists of different lengths, and what is not said left out.
        by_name = dict(zip(ASKED, expected, strict=True))
        lists = client.recommend(
            USERS, 4, exclude_ids=[["i9"], ["i2", "nothing"]], history_item_ids=[None, ["i4", "i8"]], label="latest"
        )
        np.testing.assert_allclose(lists["score"], by_name["recommend", "recommend"]["score"], rtol=1e-5, atol=1e-6)
        scores = by_name["ranking", "rank"]["score"].copy()
        scores[0, 2] = np.nan
        ranked = client.rank(USERS, [["i4", "i28"], ["i1", "", "nothing"]])
        np.testing.assert_allclose(ranked, scores, rtol=1e-5, atol=1e-6)
        similar = client.similar_items(ITEMS, k=2)["score"]
        np.testing.assert_allclose(similar, by_name["retrieval", "similar_items"]["score"], rtol=1e-5, atol=1e-6)
        embedded = client.embed_item(["i4", "nothing"])
        np.testing.assert_allclose(embedded, by_name["retrieval", "embed_item"]["embedding"], rtol=1e-5, atol=1e-6)


@pytest.fixture
def quick_save(monkeypatch):
    """Stands in for the tracing of signatures and the writing of a SavedModel, which take seconds."""
    same = tf.function(lambda user_id: {"item_id": user_id}, input_signature=[tf.TensorSpec([None], tf.string)])

    def model_signatures(engine, k, modality_weights):
        return {name: {"serving_default": same} for name in ("recommend", "retrieval", "ranking")}

    monkeypatch.setattr(export, "model_signatures", model_signatures)

    def save(servable, path, signatures, options):
        os.makedirs(path)
        content = saved_model_pb2.SavedModel()
        content.meta_graphs.add().graph_def.node.add(name="x", op="Placeholder")
        with open(os.path.join(path, "saved_model.pb"), "wb") as file:
            file.write(content.SerializeToString())

    monkeypatch.setattr(tf.saved_model, "save", save)
    monkeypatch.setattr(export, "write_warmup", lambda version, name, examples: 0)
    monkeypatch.setattr(export.References, "of", lambda self, name: Reference(1, {}))


def names_in(folder) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_every_signature_is_warmed_up_with_what_it_answers(written):
    for name, path in written.items():
        model = tf.saved_model.load(str(path))
        records = [record.numpy() for record in tf.data.TFRecordDataset(str(path / WARMUP_FILE))]
        # Alone and by sixteen at once.
        assert len(records) == 2 * len(model.signatures)
        sizes = [next(iter(replay(model, record).values())).shape[0] for record in records]
        assert sizes == [1, 16] * len(model.signatures), name


def test_a_model_that_does_not_answer_is_not_exported(engine, quick_save, monkeypatch, tmp_path):
    export_models(engine, tmp_path)

    def write_warmup(version, name, examples):
        assert examples["user_id"] == ["u0", "u1", "u2", ""] and examples["item_id"] == ["i0", "i1", "i2"]
        raise ServingError("no answer")

    monkeypatch.setattr(export, "write_warmup", write_warmup)
    with pytest.raises(ServingError, match="no answer"):
        export_models(engine, tmp_path)
    for name in ("recommend", "retrieval", "ranking"):
        assert names_in(tmp_path / name) == ["1"]


def test_what_the_server_is_started_with_names_the_newest_versions(engine, quick_save, tmp_path):
    export_models(engine, tmp_path)
    export_models(engine, tmp_path)
    assert names_in(tmp_path) == [
        "alerts.yml",
        "batching_parameters.txt",
        "docker-compose.yml",
        "grafana_dashboard.json",
        "grafana_dashboards.yml",
        "grafana_datasource.yml",
        "models.config",
        "monitoring.config",
        "prometheus.yml",
        "ranking",
        "recommend",
        "retrieval",
    ]
    config = (tmp_path / "models.config").read_text()
    assert config.count("value: 2") == config.count("value: 1") == 3


def test_versions_count_up_from_the_highest(engine, quick_save, tmp_path):
    for version in ("1", "2"):
        assert {path.name for path in export_models(engine, tmp_path).values()} == {version}
    (tmp_path / "ranking" / "10").mkdir()
    (tmp_path / "ranking" / "notes").mkdir()
    written = export_models(engine, tmp_path)
    assert {name: path.name for name, path in written.items()} == {"recommend": "3", "retrieval": "3", "ranking": "11"}
    assert names_in(tmp_path / "ranking") == ["1", "10", "11", "2", "notes"]
    assert names_in(tmp_path / "recommend" / "3") == ["assets.extra", "saved_model.pb"]


def test_an_interrupted_save_leaves_no_version(engine, quick_save, monkeypatch, tmp_path):
    export_models(engine, tmp_path)
    whole = tf.saved_model.save

    def save(servable, path, signatures, options):
        whole(servable, path, signatures, options)
        # The server polls at any time: what is half-written has no integer name.
        assert not any(part.isdigit() for part in os.path.relpath(path, tmp_path).split(os.sep))
        raise KeyboardInterrupt

    monkeypatch.setattr(tf.saved_model, "save", save)
    with pytest.raises(KeyboardInterrupt):
        export_models(engine, tmp_path)
    for name in ("recommend", "retrieval", "ranking"):
        assert names_in(tmp_path / name) == ["1"]


def test_a_full_disk_leaves_no_model_ahead_of_the_others(engine, quick_save, monkeypatch, tmp_path):
    export_models(engine, tmp_path)
    whole = tf.saved_model.save

    def save(servable, path, signatures, options):
        whole(servable, path, signatures, options)
        with tf.io.gfile.GFile(os.path.join(path, "variables"), "w") as file:
            # The last of three: the others are written by then.
            file.write("x" * (1_000_000 if os.sep + "ranking" + os.sep in path else 10))

    monkeypatch.setattr(tf.saved_model, "save", save)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, before[1]))
    try:
        with pytest.raises(ServingError, match=r"the export to .* could not be written: .*too large.*Make room"):
            export_models(engine, tmp_path)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    for name in ("recommend", "retrieval", "ranking"):
        assert names_in(tmp_path / name) == ["1"]
    export_models(engine, tmp_path)
    assert names_in(tmp_path / "ranking") == ["1", "2"]


@pytest.mark.parametrize("name", ["write_warmup", "write_server_files"])
def test_what_stands_beside_a_model_may_not_fit_either(engine, quick_save, monkeypatch, tmp_path, name):
    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device", "records")

    monkeypatch.setattr(export, name, full)
    with pytest.raises(ServingError, match="the export to .*No space left on device.*Make room"):
        export_models(engine, tmp_path)


def test_a_number_that_another_exporter_took_is_left_to_it(tmp_path, monkeypatch):
    for name in ("1", "version"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "saved_model.pb").write_text(name)
    whole = Path.rename

    def rename(path, target):
        if not (tmp_path / "2").exists():
            (tmp_path / "2").mkdir()
            (tmp_path / "2" / "saved_model.pb").write_text("another")
        return whole(path, target)

    monkeypatch.setattr(Path, "rename", rename)
    assert put_in_place(tmp_path / "version", tmp_path) == tmp_path / "3"
    assert [(tmp_path / name / "saved_model.pb").read_text() for name in "123"] == ["1", "another", "version"]


def test_what_the_server_would_not_run_is_not_exported(engine, quick_save, monkeypatch, tmp_path):
    export_models(engine, tmp_path)
    whole = tf.saved_model.save

    def save(servable, path, signatures, options):
        whole(servable, path, signatures, options)
        content = saved_model_pb2.SavedModel()
        content.meta_graphs.add().graph_def.node.add(name="recommend/search", op="Scann>ScannSearchBatched")
        with open(os.path.join(path, "saved_model.pb"), "wb") as file:
            file.write(content.SerializeToString())

    monkeypatch.setattr(tf.saved_model, "save", save)
    with pytest.raises(ServingError, match="Scann>ScannSearchBatched .node 'recommend/search' in the graph.: an op of"):
        export_models(engine, tmp_path)
    for name in ("recommend", "retrieval", "ranking"):
        assert names_in(tmp_path / name) == ["1"]


def test_weights_can_be_left_out_and_then_nothing_is_computed_for_them():
    engine = tiny_world.engine()
    without = model_signatures(engine, k=3, modality_weights=False)
    assert set(without["recommend"]) == {"serving_default", "recommend", "explain"}
    assert "modality_shares" not in vars(engine)
    assert set(model_signatures(engine, 3, True)["recommend"]) == {*without["recommend"], "recommend_weighted"}


def test_without_a_ranker_there_is_no_ranking_model():
    assert sorted(model_signatures(tiny_world.engine(), 3, True)) == ["recommend", "retrieval"]

"""What a server samples of its calls, and what it tells of them."""

import gc
import json
import weakref

import numpy as np
import pytest
from fastapi.testclient import TestClient
from prometheus_client.parser import text_string_to_metric_families

from mmrec_tf.serving.drift_monitor import DriftMonitor
from mmrec_tf.serving.http_app import create_app
from mmrec_tf.serving.id_sketches import KnownIds
from mmrec_tf.serving.model_store import ModelStore
from mmrec_tf.serving.reference import REFERENCE_FILE, Distribution, Reference
from mmrec_tf.serving.server_options import ServerOptions
from tests import asked_models
from tests.served_models import save_shelf

NO_LISTS = {"exclude_ids": np.empty([1, 0], object), "history_item_ids": np.empty([1, 0], object)}


def save_reference(version):
    # The shelf gives everybody the scores 4, 3, 2, 1: each place has one bin of four.
    edges = np.tile([2.0, 3.0, 4.0], (4, 1))
    scores = Distribution(edges, 5 * np.eye(4, dtype=int)[::-1], np.array([4.0, 3, 2, 1]), np.zeros(4))
    known = {"user": KnownIds.of(["ann", "bob"]), "item": KnownIds.of(["a"])}
    Reference(4, known, scores, ("recommend",), listed_times=np.array([5]), listed_items=np.array([4])).save(version)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("watched")
    save_shelf(folder / "shelf" / "1")
    save_reference(folder / "shelf" / "1")
    save_shelf(folder / "bare" / "1")
    return folder


@pytest.fixture
def watched(folder):
    monitor = DriftMonitor(3600, sample_seconds=0.0)
    store = ModelStore(folder, sample=monitor.sample)
    monitor.watch(store)
    yield monitor, store
    store.close()


def recommend(store, user, k=4, model="shelf"):
    inputs = {"user_id": np.array([user], object), "k": np.array([k], np.int32), **NO_LISTS}
    return store.find(model).run("recommend", inputs)


def test_calls_are_measured_against_their_own_reference(watched):
    monitor, store = watched
    for number in range(320):
        recommend(store, b"ann" if number % 4 else b"stranger", k=2)
    ((name, version, report),) = monitor.reports()
    assert (name, version) == ("shelf", 1) and report.score_rows == 320
    # The two places that were asked for are as they were.
    assert report.score_psi == 0 and report.score_observed == [0, 0, 0.5, 0.5]
    assert report.unknown["user"] == 0.25 and report.coverage == pytest.approx(0.5, rel=0.01)


def test_a_model_without_reference_is_named(watched):
    monitor, store = watched
    recommend(store, b"ann", model="bare")
    assert monitor.document()["without_reference"] == [{"model": "bare", "version": 1}]
    assert monitor.reports() == []


def test_a_reference_that_is_none_stops_nothing(folder, tmp_path, caplog):
    save_shelf(tmp_path / "shelf" / "1")
    (tmp_path / "shelf" / "1" / REFERENCE_FILE).parent.mkdir()
    (tmp_path / "shelf" / "1" / REFERENCE_FILE).write_text("{")
    monitor = DriftMonitor(60)
    store = ModelStore(tmp_path, sample=monitor.sample)
    assert recommend(store, b"ann")["score"].tolist() == [[4, 3, 2, 1]]
    assert monitor.reports() == [] and "is not watched for drift" in caplog.text
    store.close()


def test_of_many_calls_a_few_are_taken(folder):
    monitor = DriftMonitor(3600, sample_seconds=1000)
    store = ModelStore(folder, sample=monitor.sample)
    for _ in range(5):
        recommend(store, b"ann")
    assert monitor.reports()[0][2].ids["user"] == 1
    store.close()


def test_what_waits_to_be_counted_is_bounded_and_small(watched):
    monitor, store = watched
    model = store.find("shelf")
    names, scores = np.full([64, 500], b"a", object), np.zeros([64, 500], np.float32)
    for _ in range(1500):
        monitor.sample(model, "recommend", {"user_id": names[:, 0]}, {"item_id": names, "score": scores})
    assert len(monitor._samples) == 1000
    _, _, inputs, outputs = monitor._samples[-1]
    assert inputs["user_id"].shape == (8,) and outputs["score"].shape == outputs["item_id"].shape == (8, 10)
    assert outputs["score"].base is None


def test_a_version_that_is_gone_is_forgotten(watched, tmp_path):
    monitor, store = watched
    recommend(store, b"ann")
    assert len(monitor.reports()) == 1
    model = weakref.ref(store.find("shelf"))
    store.close()
    store._versions = {}
    gc.collect()
    assert model() is None and monitor.reports() == []


def test_the_users_who_ask_are_embedded(tmp_path):
    # An embedding there is the length of the name, and 1.
    asked_models.export_models(tmp_path)
    spread = Distribution.of_columns(np.column_stack([np.arange(1.0, 11.0), np.ones(10)]))
    known = {"user": KnownIds.of(["u"]), "item": KnownIds.of(["p"])}
    Reference(3, known, embeddings=spread, embedding_signatures=("embed_user",)).save(tmp_path / "retrieval" / "1")
    Reference(3, known).save(tmp_path / "ranking" / "1")
    monitor = DriftMonitor(3600, sample_seconds=0)
    store = ModelStore(tmp_path, sample=monitor.sample)
    monitor.watch(store)
    for _ in range(10):
        for _ in range(4):
            inputs = {"user_id": np.array([b"four"] * 8, object), "item_ids": np.array([[b"p"]] * 8, object)}
            store.find("ranking").run("rank", inputs)
        monitor.count()
    reports = {name: report for name, _, report in monitor.reports()}
    assert list(reports) == ["ranking", "retrieval"] and reports["ranking"].ids == {"user": 320, "item": 320}
    report = reports["retrieval"]
    # Ten times 32 users, all in the bin of 4: (1 - 0.1) ln 10 + 9 (0.0001 - 0.1) ln 0.001.
    assert report.embedding_rows == 320
    assert report.embedding_psi == pytest.approx(0.9 * np.log(10) + 9 * 0.0999 * np.log(1000), rel=1e-6)
    store.close()


@pytest.fixture
def client(folder):
    with TestClient(create_app(folder, ["shelf"], ServerOptions(poll_seconds=0))) as client:
        yield client


def ask(client, users):
    rows = [{"user_id": user, "k": 4, "exclude_ids": [], "history_item_ids": []} for user in users]
    body = json.dumps({"signature_name": "recommend", "instances": rows})
    assert client.post("/v1/models/shelf:predict", content=body).status_code == 200


def test_over_http(client, monkeypatch):
    monkeypatch.setattr("mmrec_tf.serving.model_drift.LEAST_ROWS", 8)
    ask(client, ["ann", "stranger", "stranger", "bob"] * 2)
    document = client.get("/monitoring/drift").json()
    assert document["window_seconds"] == 3600 and document["without_reference"] == []
    (shelf,) = document["models"]
    assert shelf["model"] == "shelf" and shelf["version"] == 1 and shelf["unknown"] == {"user": 0.5, "item": None}
    assert shelf["score_psi"] == 0 and shelf["score_expected"] == [0.25] * 4
    text = client.get("/monitoring/prometheus/metrics").text
    found = {
        (sample.name, *sorted(sample.labels.items())): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
    }
    labels = (("model_name", "shelf"), ("version", "1"))
    assert found[("mmrec_score_psi", *labels)] == 0
    assert found[("mmrec_catalogue_coverage", *labels)] == pytest.approx(1, rel=0.01)
    assert found[("mmrec_catalogue_coverage_expected", *labels)] == pytest.approx(1, rel=0.01)
    assert found[("mmrec_unknown_id_ratio", ("kind", "user"), *labels)] == 0.5
    # What is not measured has no sample.
    assert not [key for key in found if key[0] == "mmrec_embedding_psi"]
    assert "stranger" not in json.dumps(document) + text


def test_it_can_be_turned_off(folder):
    client = TestClient(create_app(folder, options=ServerOptions(poll_seconds=0, drift_seconds=0)))
    answer = client.get("/monitoring/drift")
    assert answer.status_code == 404 and "window of 0 s" in answer.json()["error"]
    assert "mmrec_score_psi" not in client.get("/monitoring/prometheus/metrics").text
    assert client.app.state.model_store.batches.sample is None

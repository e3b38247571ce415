"""ScaNN's index exported: what it needs is told, and where its ops are it answers as the exact index."""

import importlib.util
import json
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from tensorflow.core.protobuf import saved_model_pb2

from mmrec_tf import cli_export
from mmrec_tf.errors import ServingError
from mmrec_tf.recommend.scann_index import ScannIndex
from mmrec_tf.serving import model_version
from mmrec_tf.serving.export import export_models
from mmrec_tf.serving.model_store import ModelStore
from mmrec_tf.serving.model_version import ModelVersion
from mmrec_tf.serving.op_check import NEEDED_OPS_FILE, check_export, check_model, needed_libraries, require_servable
from mmrec_tf.serving.server_files import write_server_files
from mmrec_tf.serving.signatures import model_signatures
from tests import tiny_world
from tests.saved_model_c_api import run_signatures
from tests.scann_here import needs_scann
from tests.serving.index_requests import ALL, ASKED


def forged(folder: Path, *ops: str) -> Path:
    """A version whose graph names ops and does nothing, so that ScaNN need not be installed."""
    content = saved_model_pb2.SavedModel()
    graph = content.meta_graphs.add()
    graph.meta_info_def.tags.append("serve")
    for op in ops:
        graph.graph_def.node.add(name=f"recommend/{op.partition('>')[2] or op}", op=op)
    folder.mkdir(parents=True)
    (folder / "saved_model.pb").write_bytes(content.SerializeToString())
    return folder


def ask_for(version: Path, content: str) -> None:
    path = version / NEEDED_OPS_FILE
    path.parent.mkdir(exist_ok=True)
    path.write_text(content, encoding="utf-8")


def test_what_was_not_asked_for_is_refused_and_what_was_is_told(tmp_path, capsys):
    version = forged(tmp_path / "recommend" / "1", "Placeholder", "Scann>TensorsToScann", "Scann>ScannSearchBatched")
    (refused, _), needs = check_model(version).refusals, check_model(version).needs
    assert needs == () and refused.op == "Scann>TensorsToScann" and refused.node == "recommend/TensorsToScann"
    with pytest.raises(ServingError, match="would not run 1 of 1 models; the first op: Scann>TensorsToScann"):
        cli_export.run_check_export(tmp_path, as_json=False)
    capsys.readouterr()

    ask_for(version, '{"libraries": ["ScaNN"]}')
    check = check_model(version)
    assert check.refusals == () and [need.op for need in check.needs] == [
        "Scann>TensorsToScann",
        "Scann>ScannSearchBatched",
    ]
    assert check.libraries == ("ScaNN",) and check.needs_scann
    require_servable(check, "recommend")
    cli_export.run_check_export(tmp_path, as_json=False)
    said = " ".join(capsys.readouterr().out.split())
    assert "needs ScaNN ops, as asked: not for stock TensorFlow Serving" in said
    assert "(Scann>TensorsToScann, node 'recommend/TensorsToScann')" in said
    cli_export.run_check_export(tmp_path, as_json=True)
    (found,) = json.loads(capsys.readouterr().out)
    assert found["refusals"] == [] and found["needs"][0]["node"] == "recommend/TensorsToScann"


@pytest.mark.parametrize("op", ["IO>AudioResample", "PyFunc", "MyOwn>Op", "ScannOfMine"])
def test_any_other_foreign_op_still_fails(tmp_path, op):
    version = forged(tmp_path / "1", "Scann>TensorsToScann", op)
    ask_for(version, '{"libraries": ["ScaNN", "tensorflow-io", "MyOwn"]}')
    check = check_model(version)
    assert [refusal.op for refusal in check.refusals] == [op]
    with pytest.raises(ServingError, match=f"would not run the model 'recommend':\n  {op} "):
        require_servable(check, "recommend")


@pytest.mark.parametrize(
    "content", ["", "[]", "3", "null", "{}", '{"libraries": 3}', '{"libraries": ["scann"]}', "\x00"]
)
def test_a_file_that_says_nothing_asks_for_nothing(tmp_path, content):
    version = forged(tmp_path / "1", "Scann>TensorsToScann")
    ask_for(version, content)
    assert needed_libraries(version) == () and len(check_model(version).refusals) == 1


def test_a_server_without_the_package_says_what_to_install(tmp_path, monkeypatch):
    def missing():
        raise ServingError("The package scann is not installed. Install it: pip install 'mmrec-tf[scann]'")

    monkeypatch.setattr(model_version, "scann_ops", missing)
    version = ModelVersion("recommend", 1, forged(tmp_path / "1", "Scann>TensorsToScann"))
    assert not version.load()
    assert version.state == "END" and version.error_code == "FAILED_PRECONDITION"
    assert "pip install 'mmrec-tf[scann]'" in version.error_message


def test_compose_names_no_image_that_lacks_the_ops(tmp_path):
    forged(tmp_path / "retrieval" / "1", "Placeholder")
    write_server_files(tmp_path, 30)
    assert "image: tensorflow/serving:" in (tmp_path / "docker-compose.yml").read_text()
    ask_for(forged(tmp_path / "recommend" / "1", "Scann>TensorsToScann"), '{"libraries": ["ScaNN"]}')
    write_server_files(tmp_path, 30)
    composed = (tmp_path / "docker-compose.yml").read_text()
    assert "image: tensorflow/serving" not in composed
    assert 'image: "${TF_SERVING_IMAGE:?the models use ops of ScaNN, so name an image of a server that is' in composed
    # The two newest versions are served, and they are stock again.
    forged(tmp_path / "recommend" / "2", "Placeholder"), forged(tmp_path / "recommend" / "3", "Placeholder")
    write_server_files(tmp_path, 30)
    assert "image: tensorflow/serving:" in (tmp_path / "docker-compose.yml").read_text()


@pytest.fixture(scope="module")
def engines():
    """The same models with an exact search, and with ScaNN's over everything."""
    tf.keras.utils.set_random_seed(1)
    retrieval = tiny_world.remembering_two_tower(26)
    exact, engine = (tiny_world.engine(retrieval, candidates=8, removed=["i20"]) for _ in range(2))
    embeddings = engine.item_embeddings.numpy()
    engine.search = ScannIndex(engine.search, embeddings, embeddings[:, -2:].sum(axis=1), head=4, depth=8)
    assert engine.search.leaves == 1
    return exact, engine


@pytest.fixture(scope="module")
def folder(engines, tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    export_models(engines[1], folder, 5)
    return folder


@needs_scann
@pytest.mark.slow
def test_the_export_is_checked_and_says_what_it_needs(folder):
    checks = {check.path.parent.name: check for check in check_export(folder)}
    assert {name: check.libraries for name, check in checks.items()} == {
        "recommend": ("ScaNN",),
        "retrieval": ("ScaNN",),
    }
    assert not any(check.refusals for check in checks.values())
    assert {need.op for need in checks["retrieval"].needs} == {"Scann>TensorsToScann", "Scann>ScannSearchBatched"}
    assert needed_libraries(folder / "recommend" / "1") == ("ScaNN",)


def answers_of(engine):
    served = model_signatures(engine, 5, True)
    for (model, name), inputs in [*ASKED.items(), *ALL.items()]:
        function = served[model][name]
        names = [spec.name for spec in function.input_signature]
        yield model, name, inputs, function(*(tf.constant(inputs[name]) for name in names))


def as_bytes(value):
    return np.vectorize(str.encode, otypes=[object])(value) if value.dtype.kind == "U" else value


def assert_same(found, wanted):
    for key, value in wanted.items():
        if key == "item_id":
            assert found[key].tolist() == value.numpy().tolist()
        else:
            np.testing.assert_allclose(found[key], value, rtol=1e-5, atol=1e-6)


@needs_scann
@pytest.mark.slow
def test_the_embedded_server_gives_the_exact_answers(engines, folder):
    store = ModelStore(folder)
    for model, name, inputs, wanted in answers_of(engines[0]):
        given = {key: as_bytes(value) for key, value in inputs.items()}
        assert_same(store.find(model).run(name, given), wanted)
    store.close()


@needs_scann
@pytest.mark.slow
def test_the_c_library_with_scanns_ops_gives_the_exact_answers_and_without_does_not_load(engines, folder):
    asked = [*answers_of(engines[0])]
    calls = [(folder / model / "1", name, inputs) for model, name, inputs, _ in asked]
    with pytest.raises(AssertionError, match="Op type not registered 'Scann>"):
        run_signatures(calls[:1])
    library = (
        Path(importlib.util.find_spec("scann").submodule_search_locations[0]) / "scann_ops" / "cc" / "_scann_ops.so"
    )
    for (*_, wanted), found in zip(asked, run_signatures(calls, library), strict=True):
        assert_same(found, wanted)


@needs_scann
@pytest.mark.slow
def test_versions_with_other_items_do_not_answer_for_each_other(engines, folder, tmp_path):
    exact = tiny_world.engine(engines[0].retrieval, candidates=8, removed=["i1", "i2", "i5", "i9", "i13"])
    other = tiny_world.engine(engines[0].retrieval, candidates=8, removed=["i1", "i2", "i5", "i9", "i13"])
    embeddings = other.item_embeddings.numpy()
    other.search = ScannIndex(other.search, embeddings, embeddings[:, -2:].sum(axis=1), head=4, depth=8)
    export_models(other, tmp_path, 5, modality_weights=False)
    old = ModelVersion("retrieval", 1, folder / "retrieval" / "1")
    new = ModelVersion("retrieval", 2, tmp_path / "retrieval" / "1")
    assert old.load() and new.load()
    inputs = {"user_id": np.array([b"u3", b"u7"], object), "k": np.array([4, 4], np.int32)}
    for _ in range(2):
        for version, engine in ((old, engines[0]), (new, exact)):
            wanted = model_signatures(engine, 5, False)["retrieval"]["retrieve"](*map(tf.constant, inputs.values()))
            assert_same(version.run("retrieve", inputs), wanted)

"""Finding, loading and calling the models of an export folder."""

import gc
import shutil
import subprocess
import sys
import weakref

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.errors import ServingError
from mmrec_tf.serving.model_store import GraphError, ModelNotFoundError, ModelStore, ModelVersion
from tests.served_models import add_version, save_shelf, states


def test_versions_are_ordered_as_numbers_and_only_the_highest_is_loaded(export_dir):
    store = ModelStore(export_dir)
    assert list(states(store).items()) == [(10, "AVAILABLE"), (2, "START")]
    assert store.find("halves").version == 10


def test_a_version_is_loaded_when_asked_for(export_dir):
    store = ModelStore(export_dir)
    assert store.find_loaded("halves", 2) is None
    assert store.find("halves", 2).is_available and store.find_loaded("halves", 2).version == 2
    assert states(store) == {10: "AVAILABLE", 2: "AVAILABLE"}


def test_the_two_newest_versions_are_served_as_by_tensorflow_serving(export_dir):
    store = ModelStore(export_dir)
    with pytest.raises(ModelNotFoundError, match=r"Specific\(halves, 1\); versions of halves: 10, 2"):
        store.find("halves", 1)
    assert ModelStore(export_dir, num_versions=3).find("halves", 1).is_available


def test_the_next_lower_version_stands_in_for_a_broken_one(export_dir):
    (export_dir / "halves" / "10" / "saved_model.pb").write_bytes(b"broken")
    store = ModelStore(export_dir)
    assert states(store) == {10: "END", 2: "AVAILABLE", 1: "START"}
    assert store.find("halves").version == 2
    with pytest.raises(ModelNotFoundError, match="version 10 cannot be loaded .DATA_LOSS"):
        store.find("halves", 10)


def test_leading_zeros_hidden_folders_and_words_in_version_names(export_dir, saved_halves):
    shutil.move(export_dir / "halves" / "2", export_dir / "halves" / "0002")
    for name in (".11", "latest", "-3", "1.5", "9" * 19):
        (export_dir / "halves" / name).mkdir()
    (export_dir / "halves" / "12").write_text("a file")
    assert list(states(ModelStore(export_dir, num_versions=9))) == [10, 2, 1]


def test_run_returns_arrays_by_name(export_dir):
    outputs = ModelStore(export_dir).find("halves").run("pick", {"index": np.array([2, 0])})
    np.testing.assert_array_equal(outputs["half"], np.array([1.5, 0.5], np.float32), strict=True)
    assert outputs["text"].dtype == object and outputs["text"].tolist() == [b"2", b"0"]


def test_graph_error_carries_the_code_and_what_the_op_said(export_dir):
    model = ModelStore(export_dir).find("halves")
    with pytest.raises(GraphError) as caught:
        model.run("pick", {"index": np.array([7])})
    assert caught.value.code == "INVALID_ARGUMENT"
    assert str(caught.value) == "indices[0] = 7 is not in [0, 3)"


def test_inputs_of_a_signature(export_dir):
    (spec,) = ModelStore(export_dir).find("halves").signatures["pick"].inputs.values()
    assert spec == tf.TensorSpec([None], tf.int64, name="index")


@pytest.mark.parametrize(
    ("name", "version", "message"),
    [
        ("thirds", None, r"Latest\(thirds\); models here: halves"),
        ("halves", 3, r"Specific\(halves, 3\); versions of halves: 10, 2"),
        ("../halves", None, "models here: halves"),
    ],
)
def test_what_is_not_there(export_dir, name, version, message):
    with pytest.raises(ModelNotFoundError, match=message):
        ModelStore(export_dir).find(name, version)


def test_only_named_models_are_served(export_dir):
    shutil.copytree(export_dir / "halves", export_dir / "other")
    assert ModelStore(export_dir, ["halves"]).names == ["halves"]
    assert ModelStore(export_dir, []).names == ["halves", "other"]
    with pytest.raises(ServingError, match="no model 'thirds'. Models there: halves, other"):
        ModelStore(export_dir, ["halves", "thirds"])


LABELS = """model_config_list { config { name: "halves" model_version_policy { latest { num_versions: 2 } }
  version_labels { key: "stable" value: 2 } version_labels { key: "gone" value: 99 } } }"""


def test_versions_by_label(export_dir):
    (export_dir / "models.config").write_text(LABELS)
    store = ModelStore(export_dir)
    assert store.labels("halves") == {"stable": 2, "gone": 99} and store.labels("thirds") == {}
    assert store.find("halves", label="stable").version == 2
    with pytest.raises(ModelNotFoundError, match=r"Specific\(halves, 99\)") as caught:
        store.find("halves", label="gone")
    assert caught.value.code == "NOT_FOUND"
    # TensorFlow Serving calls an unknown label a mistake in the request.
    with pytest.raises(ModelNotFoundError, match="Unrecognized servable version label: canary; .*: stable") as caught:
        store.find("halves", label="canary")
    assert caught.value.code == "INVALID_ARGUMENT"


class TestRefresh:
    def test_a_new_version_takes_the_place_of_the_oldest(self, export_dir, saved_halves):
        store = ModelStore(export_dir)
        store.refresh()
        assert states(store) == {10: "AVAILABLE", 2: "AVAILABLE"}
        add_version(saved_halves, export_dir, 11)
        store.refresh()
        # As TensorFlow Serving says of a version that it has let go.
        assert states(store) == {11: "AVAILABLE", 10: "AVAILABLE", 2: "END"}
        assert store.find("halves").version == 11
        with pytest.raises(ModelNotFoundError, match="versions of halves: 11, 10, 2"):
            store.find("halves", 2)

    def test_what_is_let_go_still_answers_who_has_found_it_and_is_freed_after(self, export_dir, saved_halves):
        store = ModelStore(export_dir, num_versions=1)
        old = store.find("halves")
        loaded = weakref.ref(old._loaded)
        add_version(saved_halves, export_dir, 11)
        store.refresh()
        assert store.find("halves").version == 11
        assert old.run("pick", {"index": np.array([1])})["half"].tolist() == [1.0]
        del old
        gc.collect()
        assert loaded() is None

    def test_a_corrupt_version_leaves_things_as_they_are_until_its_files_change(self, export_dir, saved_halves):
        store = ModelStore(export_dir)
        new = export_dir / "halves" / "11"
        new.mkdir()
        (new / "saved_model.pb").write_bytes((saved_halves / "saved_model.pb").read_bytes()[:100])
        store.refresh()
        assert states(store) == {11: "END", 10: "AVAILABLE", 2: "AVAILABLE"}
        assert store.find("halves").version == 10 and store.versions("halves")[0].error_message
        failed = store.versions("halves")[0]
        store.refresh()
        assert store.versions("halves")[0] is failed
        shutil.copytree(saved_halves, new, dirs_exist_ok=True)
        store.refresh()
        assert states(store) == {11: "AVAILABLE", 10: "AVAILABLE", 2: "END"}

    def test_a_version_whose_files_are_replaced_is_loaded_anew(self, tmp_path):
        def best(model):
            asked = {"user_id": np.array([b"u"], object), "item_id": np.array([b"p"], object)}
            return model.run("explain", asked)["score"].tolist()

        export, other = tmp_path / "shelves", tmp_path / "others"
        save_shelf(export / "shelf" / "1", 1.0)
        save_shelf(other / "shelf" / "1", 3.0)
        store = ModelStore(export)
        store.refresh()
        old = store.find("shelf")
        store.refresh()
        # Nothing has changed, and nothing is loaded again.
        assert store.find("shelf") is old and best(old) == [4.0]
        shutil.rmtree(export)
        broken = export / "shelf" / "1"
        broken.mkdir(parents=True)
        (broken / "saved_model.pb").write_bytes(b"broken")
        store.refresh()
        assert store.find("shelf") is old and states(store, "shelf") == {1: "AVAILABLE"}
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ModelVersion, "load", lambda _: pytest.fail("files that did not load are tried again"))
            store.refresh()
        shutil.rmtree(export)
        other.rename(export)
        store.refresh()
        new = store.find("shelf", 1)
        assert new is not old and best(new) == [12.0] and best(old) == [4.0]
        store.refresh()
        assert store.find("shelf") is new

    def test_a_version_that_is_gone_is_let_go_and_the_one_before_comes_back(self, export_dir):
        store = ModelStore(export_dir)
        store.refresh()
        shutil.rmtree(export_dir / "halves" / "10")
        store.refresh()
        store.refresh()
        assert states(store) == {2: "AVAILABLE", 1: "AVAILABLE"}
        assert store.find("halves").version == 2

    def test_the_last_version_stays_though_it_is_gone(self, export_dir):
        store = ModelStore(export_dir, num_versions=1)
        shutil.rmtree(export_dir / "halves")
        store.refresh()
        assert states(store) == {10: "AVAILABLE"}
        assert store.find("halves").run("pick", {"index": np.array([0])})["half"].tolist() == [0.5]
        shutil.rmtree(export_dir)
        store.refresh()
        assert store.find("halves").version == 10

    def test_a_gone_version_makes_room_for_one_that_is_there(self, export_dir):
        store = ModelStore(export_dir, num_versions=1)
        shutil.rmtree(export_dir / "halves" / "10")
        store.refresh()
        assert states(store) == {2: "AVAILABLE"}

    def test_a_label_moves_when_the_version_it_names_can_be_called(self, export_dir, saved_halves):
        def label(version):
            text = f'config {{ name: "halves" version_labels {{ key: "latest" value: {version} }} }}'
            (export_dir / "models.config").write_text(f"model_config_list {{ {text} }}")

        label(10)
        store = ModelStore(export_dir)
        (export_dir / "halves" / "11").mkdir()
        label(11)
        store.refresh()
        assert store.find("halves", label="latest").version == 10
        shutil.copytree(saved_halves, export_dir / "halves" / "11", dirs_exist_ok=True)
        store.refresh()
        assert store.find("halves", label="latest").version == 11
        (export_dir / "models.config").unlink()
        store.refresh()
        assert store.labels("halves") == {}

    def test_a_new_model_is_taken_in_unless_names_were_given(self, export_dir):
        every, named = ModelStore(export_dir), ModelStore(export_dir, ["halves"])
        shutil.copytree(export_dir / "halves" / "1", export_dir / "other" / "1")
        (export_dir / "models.config").write_text(
            'model_config_list { config { name: "other" version_labels { key: "latest" value: 1 } } }'
        )
        every.refresh()
        named.refresh()
        assert every.names == ["halves", "other"] and every.find("other", label="latest").version == 1
        assert named.names == ["halves"]


def test_folder_without_models(export_dir, tmp_path):
    with pytest.raises(ServingError, match="nowhere does not exist"):
        ModelStore(tmp_path / "nowhere")
    with pytest.raises(ServingError, match=r"holds no model .*Did you mean .*/export\?"):
        ModelStore(tmp_path)
    with pytest.raises(ServingError, match="It is itself a model: serve its parent"):
        ModelStore(export_dir / "halves")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ServingError, match="Write one with `mmrec export RUN`"):
        ModelStore(tmp_path / "empty")


LOADED = """
import sys
from pathlib import Path
from mmrec_tf.serving.model_store import ModelStore

assert "tensorflow_text" not in sys.modules
store = ModelStore(Path(sys.argv[1]))
print(store.find("texts").run("serving_default", {"text": [b"Cafe\\xcc\\x81"]})["same"][0].decode())
"""


@pytest.mark.slow
def test_ops_of_tensorflow_text_are_there_for_the_models_that_use_them(tmp_path):
    # Stock TensorFlow Serving is linked with them; a Python process has to import them.
    text = pytest.importorskip("tensorflow_text")

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="text")])
    def normalise(text_):
        return {"same": text.normalize_utf8(text_, "NFC")}

    module = tf.Module()
    module.normalise = normalise
    tf.saved_model.save(module, str(tmp_path / "texts" / "1"), signatures=normalise)
    process = subprocess.run([sys.executable, "-c", LOADED, tmp_path], capture_output=True, text=True, timeout=300)
    assert process.returncode == 0, process.stderr[-2000:]
    assert process.stdout.strip() == "Caf\u00e9"

"""Which versions of a model are served: what its `model_version_policy` in `models.config` says."""

import pytest

from mmrec_tf.errors import ServingError
from mmrec_tf.serving.model_store import ModelNotFoundError, ModelStore
from tests.served_models import add_version, states


def say(path, policy, labels=""):
    path.write_text(f'model_config_list {{ config {{ name: "halves" model_version_policy {{ {policy} }} {labels} }} }}')


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        ("latest {}", [10]),
        ("latest { num_versions: 3 }", [10, 2, 1]),
        ("all {}", [10, 2, 1]),
        ("specific { versions: 1 versions: 2 }", [2, 1]),
        ("specific { versions: 2 versions: 99 }", [2]),
    ],
)
def test_the_versions_of_the_policy_are_served_and_no_other(export_dir, policy, served):
    say(export_dir / "models.config", policy)
    store = ModelStore(export_dir)
    assert store.find("halves").version == served[0]
    store.refresh()
    assert states(store) == dict.fromkeys(served, "AVAILABLE")
    for number in {1, 2, 10} - set(served):
        with pytest.raises(ModelNotFoundError, match=rf"Specific\(halves, {number}\)"):
            store.find("halves", number)


def test_a_policy_that_changes_is_obeyed_and_what_it_leaves_out_is_let_go(export_dir, saved_halves):
    say(export_dir / "models.config", "latest { num_versions: 1 }")
    store = ModelStore(export_dir)
    # Back to a version that is known to be good, whatever is exported meanwhile.
    say(export_dir / "models.config", "specific { versions: 2 }")
    add_version(saved_halves, export_dir, 11)
    store.refresh()
    assert states(store) == {10: "END", 2: "AVAILABLE"} and store.find("halves").version == 2
    say(export_dir / "models.config", "all {}")
    store.refresh()
    assert states(store) == dict.fromkeys([11, 10, 2, 1], "AVAILABLE")


def test_the_last_version_stays_where_the_policy_names_none_that_is_there(export_dir):
    store = ModelStore(export_dir)
    say(export_dir / "models.config", "specific { versions: 7 }")
    store.refresh()
    assert store.find("halves").version == 10
    # At the start there is none to stay.
    fresh = ModelStore(export_dir)
    assert fresh.names == ["halves"] and fresh.versions("halves") == []
    with pytest.raises(ModelNotFoundError, match=r"Latest\(halves\)"):
        fresh.find("halves")


def test_a_named_version_that_does_not_load_has_no_stand_in(export_dir):
    (export_dir / "halves" / "2" / "saved_model.pb").write_bytes(b"broken")
    say(export_dir / "models.config", "specific { versions: 2 }")
    store = ModelStore(export_dir)
    assert states(store) == {2: "END"}
    with pytest.raises(ModelNotFoundError, match="version 2 cannot be loaded .DATA_LOSS"):
        store.find("halves")


def test_a_number_of_versions_that_is_given_counts_more(export_dir):
    say(export_dir / "models.config", "specific { versions: 1 }")
    assert ModelStore(export_dir, num_versions=1).find("halves").version == 10


def test_a_file_in_place_of_the_folders(export_dir, tmp_path):
    say(export_dir / "models.config", "specific { versions: 1 }")
    say(tmp_path / "mine", "specific { versions: 2 }", 'version_labels { key: "good" value: 2 }')
    store = ModelStore(export_dir, config_file=tmp_path / "mine")
    assert store.find("halves").version == 2 and store.find("halves", label="good").version == 2
    with pytest.raises(ServingError, match="none is no file"):
        ModelStore(export_dir, config_file=tmp_path / "none")

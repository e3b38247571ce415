"""What the server reads from the files beside the models."""

import pytest

from mmrec_tf.errors import ServingError
from mmrec_tf.serving.server_config import (
    ModelsConfig,
    ModelsConfigFile,
    VersionPolicy,
    read_max_batch_size,
    read_models_config,
)
from mmrec_tf.serving.server_files import write_server_files

CONFIG = """
# A comment, and settings that only TensorFlow Serving needs.
model_config_list {
  config {
    name: "shop"
    base_path: "/models/shop"
    model_platform: "tensorflow"
    model_version_policy { specific { versions: 3 versions: 7 } }
    version_labels { key: "stable" value: 3 }
    version_labels { key: "canary" value: 7 }
  }
  config: { name: "other", base_path: "/models/other" }
}
"""


def test_labels_and_policies(tmp_path):
    (tmp_path / "models.config").write_text(CONFIG)
    said = read_models_config(tmp_path / "models.config")
    assert said.labels == {"shop": {"stable": 3, "canary": 7}, "other": {}}
    assert said.policies == {"shop": VersionPolicy(only=frozenset({3, 7})), "other": VersionPolicy(latest=1)}


@pytest.mark.parametrize(
    ("policy", "served"),
    [
        # TensorFlow Serving's default is one version, and 0 is as good as not said.
        ("", [12]),
        ("model_version_policy {}", [12]),
        ("model_version_policy { latest {} }", [12]),
        ("model_version_policy { latest { num_versions: 0 } }", [12]),
        ("model_version_policy { latest { num_versions: 3 } }", [12, 10, 7]),
        ("model_version_policy { latest { num_versions: 99 } }", [12, 10, 7, 2]),
        ("model_version_policy: { all: {} }", [12, 10, 7, 2]),
        ("model_version_policy { specific { versions: 2 versions: 10 versions: 10 versions: 5 } }", [10, 2]),
        ("model_version_policy { specific { versions: [7, 2] } }", [7, 2]),
        ("model_version_policy { specific {} }", []),
    ],
)
def test_which_versions_a_policy_chooses(tmp_path, policy, served):
    (tmp_path / "models.config").write_text(f'model_config_list {{ config {{ name: "shop" {policy} }} }}')
    said = read_models_config(tmp_path / "models.config")
    assert said.policy_of("shop").chosen([12, 10, 7, 2]) == served
    assert said.policy_of("not named").chosen([12, 10, 7, 2]) == [12, 10]


def test_what_export_writes_is_read(tmp_path):
    for version in (2, 10, 9):
        (tmp_path / "shop" / str(version)).mkdir(parents=True)
    # 2^24 scores in a batch make 33 rows of half a million items.
    write_server_files(tmp_path, items=500_000)
    said = read_models_config(tmp_path / "models.config")
    assert said == ModelsConfig({"shop": {"latest": 10, "previous": 9}}, {"shop": VersionPolicy(latest=2)})
    assert read_max_batch_size(tmp_path) == 33


BROKEN = [
    b"model_config_list { config {",
    b"\xff\xfe",
    b"model_config_list { config { model_version_policy { latest { num_versions: -1 } } } }",
    b"model_config_list { config { model_version_policy { all {} latest {} } } }",
]


@pytest.mark.parametrize("content", BROKEN)
def test_one_that_cannot_be_read_leaves_things_as_they_were(tmp_path, content, caplog):
    (tmp_path / "models.config").write_bytes(content)
    file = ModelsConfigFile(tmp_path)
    assert file.said == ModelsConfig() and "holds on" in caplog.text
    (tmp_path / "models.config").write_text(CONFIG)
    said = file.read()
    assert said.labels["shop"] == {"stable": 3, "canary": 7}
    (tmp_path / "models.config").write_bytes(content)
    assert file.read() is said and file.said is said
    (tmp_path / "models.config").unlink()
    assert file.read() == ModelsConfig()


@pytest.mark.parametrize("content", [None, *BROKEN])
def test_one_that_is_named_has_to_be_there(tmp_path, content):
    named = tmp_path / "mine.config"
    if content is not None:
        named.write_bytes(content)
    with pytest.raises(ServingError, match=r"mine.config (is no file|cannot be read).*ModelServerConfig in text form"):
        ModelsConfigFile(tmp_path, named)
    named.write_text(CONFIG)
    (tmp_path / "models.config").write_bytes(BROKEN[0])
    assert set(ModelsConfigFile(tmp_path, named).said.labels) == {"shop", "other"}


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (None, 64),
        ("max_batch_size { value: 5 }", 5),
        ("# max_batch_size { value: 5 }\nmax_batch_size: {value:128}", 128),
        ("max_batch_size { value: 0 }", 1),
        ("max_enqueued_batches { value: 9 }", 64),
    ],
)
def test_the_largest_batch(tmp_path, content, expected):
    if content is not None:
        (tmp_path / "batching_parameters.txt").write_text(content)
    assert read_max_batch_size(tmp_path) == expected

"""What the server reads from the files beside the models."""

import pytest

from mmrec_tf.serving.server_config import read_labels, read_max_batch_size
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


def test_labels(tmp_path):
    (tmp_path / "models.config").write_text(CONFIG)
    assert read_labels(tmp_path) == {"shop": {"stable": 3, "canary": 7}, "other": {}}


def test_what_export_writes_is_read(tmp_path):
    for version in (2, 10, 9):
        (tmp_path / "shop" / str(version)).mkdir(parents=True)
    # 2^24 scores in a batch make 33 rows of half a million items.
    write_server_files(tmp_path, items=500_000)
    assert read_labels(tmp_path) == {"shop": {"latest": 10, "previous": 9}}
    assert read_max_batch_size(tmp_path) == 33


@pytest.mark.parametrize("content", [None, b"model_config_list { config {", b"\xff\xfe"])
def test_a_file_that_is_not_there_or_cannot_be_read_gives_no_labels(tmp_path, content, caplog):
    if content is not None:
        (tmp_path / "models.config").write_bytes(content)
    assert read_labels(tmp_path) == {}
    assert ("versions have no labels" in caplog.text) == (content is not None)


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

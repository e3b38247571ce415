"""One version of a model: what can share a call, what arrays become, and that nothing is left behind."""

import gc
import sys

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.serving.model_version import GraphError, ModelVersion
from tests.served_models import save_examples, save_shelf


@pytest.fixture(scope="module")
def shelf(tmp_path_factory):
    folder = tmp_path_factory.mktemp("version") / "1"
    save_shelf(folder)
    version = ModelVersion("shelf", 1, folder)
    assert version.load(), version.error_message
    return version


def test_only_signatures_of_rows_can_share_a_call(shelf):
    found = {name: signature.is_batched for name, signature in shelf.signatures.items() if not name.startswith("__")}
    # `total` has one number for all rows.
    joined = ("recommend", "explain", "pick", "serving_default")
    assert found == dict.fromkeys(joined, True) | {"total": False}
    assert not shelf.signatures["__saved_model_init_op"].is_batched


class Echo(tf.Module):
    @tf.function(input_signature=[tf.TensorSpec([], tf.string, name="word"), tf.TensorSpec([None], tf.bool, name="on")])
    def echo(self, word, on):
        return {"word": word, "off": ~on}


def test_scalars_booleans_and_lists(tmp_path):
    echo = Echo()
    tf.saved_model.save(echo, str(tmp_path / "1"), signatures=echo.echo.get_concrete_function())
    version = ModelVersion("echo", 1, tmp_path / "1")
    assert version.load()
    answer = version.run("serving_default", {"word": np.array(b"a\0b", object), "on": [True, False]})
    assert answer["word"].item() == b"a\0b" and answer["off"].tolist() == [False, True]


def test_calls_leave_nothing_behind(shelf):
    inputs = {
        "user_id": np.array([b"ann"], object),
        "k": np.array([2], np.int32),
        "exclude_ids": np.empty([1, 0], object),
        "history_item_ids": np.empty([1, 0], object),
    }
    for _ in range(300):
        shelf.call("recommend", inputs)
    gc.collect()
    before = sys.getallocatedblocks()
    for _ in range(1000):
        shelf.call("recommend", inputs)
    gc.collect()
    # Tensors made by `tf.constant` would leave two blocks for each input: 8,000.
    assert sys.getallocatedblocks() - before < 1000


def test_a_change_of_files_is_seen(tmp_path):
    (tmp_path / "1").mkdir()
    version = ModelVersion("shelf", 1, tmp_path / "1")
    assert not version.load() and version.is_broken and version.error_code == "NOT_FOUND"
    assert not version.has_changed()
    (tmp_path / "1" / "saved_model.pb").write_bytes(b"")
    assert version.has_changed()
    # The outcome stays what it was: a version is loaded once.
    assert not version.load() and version.error_code == "NOT_FOUND"


def test_what_an_op_says_of_bytes_that_are_no_text(tmp_path):
    save_examples(tmp_path / "1")
    version = ModelVersion("examples", 1, tmp_path / "1")
    assert version.load()
    with pytest.raises(GraphError) as refused:
        version.run("regress", {"inputs": np.array([b"\n\xc9"], object)})
    assert refused.value.code == "INVALID_ARGUMENT" and "parse" in str(refused.value).lower()

"""What TensorFlow Serving would not run is found in the file, with the node that brought it."""

import json

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf import cli_export
from mmrec_tf.errors import ServingError
from mmrec_tf.serving.op_check import (
    MAX_CONSTANT_BYTES,
    Refusal,
    check_export,
    check_graph,
    check_model,
    require_servable,
    served_ops,
)


def graph_of(function, *specs):
    return tf.function(function, input_signature=specs).get_concrete_function().graph.as_graph_def()


FLOATS = tf.TensorSpec([None], tf.float32)


def save(path, function, *specs):
    module = tf.Module()
    module.function = tf.function(function, input_signature=specs)
    tf.saved_model.save(module, str(path), signatures={"serving_default": module.function})


def test_the_list_holds_what_servers_run_and_nothing_of_python_xla_or_other_libraries():
    core, text = served_ops()["core"], served_ops()["text"]
    # Lookups, top-k, ragged gathers, decoding of media, control flow: what exports are made of.
    needed = {
        "MutableHashTableV2", "LookupTableFindV2", "TopKV2", "MatMul", "RaggedGather", "DecodeImage", "DecodeWav",
        "While", "StatelessWhile", "StatelessIf", "PartitionedCall", "StatefulPartitionedCall", "ReadVariableOp",
        "VarHandleOp", "RestoreV2", "SaveV2", "StaticRegexReplace", "StringSplitV2", "UnicodeDecodeWithOffsets",
        "TensorScatterUpdate", "ScaleAndTranslate", "Einsum",
    }  # fmt: skip
    assert needed <= core
    assert {"NormalizeUTF8", "FastWordpieceTokenizeWithOffsets", "SentencepieceOp"} <= text
    assert not core & text
    for absent in ("PyFunc", "EagerPyFunc", "XlaLaunch", "Scann>ScannSearchBatched", "IO>AudioResample", "TPUExecute"):
        assert absent not in core | text


def test_a_graph_of_core_ops_passes():
    ops, refusals = check_graph(graph_of(lambda x: {"y": tf.math.top_k(tf.sqrt(x), 1).values}, FLOATS))
    assert {"Placeholder", "Sqrt", "TopKV2"} <= ops and refusals == []


def test_python_functions_are_refused_with_the_layers_node():
    def layer(x):
        with tf.name_scope("tower"), tf.name_scope("clean_text"):
            return {"y": tf.numpy_function(np.sqrt, [x], tf.float32, stateful=False)}

    _, refusals = check_graph(graph_of(layer, FLOATS))
    (refusal,) = refusals
    assert refusal.op == "PyFuncStateless" or refusal.op == "PyFunc"
    assert refusal.node.startswith("tower/clean_text/") and refusal.function == ""
    assert refusal.reason == "it calls Python, which the server does not have"


def test_what_a_function_of_the_library_brings_is_found_too():
    @tf.function
    def inner(x):
        return tf.py_function(lambda value: value, [x], tf.float32)

    _, refusals = check_graph(graph_of(lambda x: {"y": inner(x)}, FLOATS))
    assert [refusal.op for refusal in refusals] == ["EagerPyFunc"]
    assert "inner" in refusals[0].function
    assert str(refusals[0]).startswith(f"EagerPyFunc (node 'EagerPyFunc' in function {refusals[0].function})")


def test_what_asks_for_xla_is_refused():
    @tf.function(jit_compile=True)
    def compiled(x):
        return x + 1.0

    _, refusals = check_graph(graph_of(lambda x: {"y": compiled(x)}, FLOATS))
    assert refusals and all("compiled by XLA" in refusal.reason for refusal in refusals)
    assert any("compiled" in refusal.op for refusal in refusals)


@pytest.mark.parametrize(
    ("op", "reason"),
    [
        ("Scann>ScannSearchBatched", "an op of ScaNN, which the server does not have"),
        ("IO>AudioResample", "an op of tensorflow-io, which the server does not have"),
        ("MyOwn>Op", "the server has no such op"),
        ("XlaLaunch", "it asks to be compiled by XLA, which the server leaves off; build it without jit_compile"),
    ],
)
def test_ops_of_other_libraries_are_refused(op, reason):
    graph = tf.compat.v1.GraphDef()
    graph.node.add(name="model/search", op=op)
    assert check_graph(graph)[1] == [Refusal(op, "model/search", "", reason)]


def test_a_function_of_the_graph_is_no_op():
    graph = tf.compat.v1.GraphDef()
    graph.library.function.add().signature.name = "__inference_f_1"
    graph.node.add(name="call", op="__inference_f_1")
    assert check_graph(graph) == (set(), [])


def test_large_constants_are_refused():
    # A million random floats are 4,000,000 bytes, just below the limit; 1.1 million are above.
    below, above = (np.random.default_rng(0).random(size, np.float32) for size in (1_000_000, 1_100_000))
    assert below.nbytes < MAX_CONSTANT_BYTES < above.nbytes
    assert check_graph(graph_of(lambda x: {"y": x[0] * tf.constant(below)}, FLOATS))[1] == []
    (refusal,) = check_graph(graph_of(lambda x: {"y": x[0] * tf.constant(above, name="ids")}, FLOATS))[1]
    assert refusal.op == "Const" and refusal.node == "ids"
    assert "keep it in a variable or a table" in refusal.reason


@pytest.fixture(scope="module")
def export(tmp_path_factory):
    folder = tmp_path_factory.mktemp("export")
    save(folder / "good" / "2", lambda x: {"y": x + 1.0}, FLOATS)
    save(folder / "bad" / "10", lambda x: {"y": tf.py_function(lambda v: v, [x], tf.float32)}, FLOATS)
    save(folder / "bad" / "9", lambda x: {"y": x * 2.0}, FLOATS)
    (folder / "good" / ".unfinished-1" / "model").mkdir(parents=True)
    (folder / "models.config").write_text("")
    return folder


def test_an_export_folder_a_models_folder_or_one_version(export):
    paths = [check.path for check in check_export(export)]
    assert paths == [export / "bad" / "9", export / "bad" / "10", export / "good" / "2"]
    assert [check.path.name for check in check_export(export / "bad")] == ["9", "10"]
    assert [check.path for check in check_export(export / "good" / "2")] == [export / "good" / "2"]
    assert [bool(check.refusals) for check in check_export(export)] == [False, True, False]


def test_what_is_no_export_is_told(tmp_path):
    with pytest.raises(ServingError, match="is no folder"):
        check_export(tmp_path / "absent")
    with pytest.raises(ServingError, match="holds no SavedModel.*mmrec export RUN"):
        check_export(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"\xff\xff")
    with pytest.raises(ServingError, match="cannot be read.*mmrec export RUN"):
        check_export(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"")
    with pytest.raises(ServingError, match="holds no graph"):
        check_model(tmp_path)


def test_a_refused_model_is_named_with_op_and_node(export):
    require_servable(check_model(export / "good" / "2"), "good")
    with pytest.raises(ServingError, match="would not run the model 'bad':\n  EagerPyFunc .node 'EagerPyFunc' in"):
        require_servable(check_model(export / "bad" / "10"), "bad")


def test_the_command_shows_a_row_a_model_or_json_and_fails_for_a_refused_one(export, capsys):
    cli_export.run_check_export(export / "good", as_json=True)
    (shown,) = json.loads(capsys.readouterr().out)
    assert shown["path"] == str(export / "good" / "2") and shown["refusals"] == [] and not shown["needs_text"]
    assert "AddV2" in shown["ops"]
    with pytest.raises(ServingError, match="would not run 1 of 2 models; the first op: EagerPyFunc"):
        cli_export.run_check_export(export / "bad", as_json=False)
    assert "EagerPyFunc" in capsys.readouterr().out

"""Exports with the items' embeddings in int8: what is saved, and what TensorFlow's C library answers."""

import numpy as np
import pytest
import tensorflow as tf
from pydantic import ValidationError

from mmrec_tf.recommend.inverted_file import InvertedFile
from mmrec_tf.serving.export import export_models
from mmrec_tf.serving.op_check import check_export
from mmrec_tf.serving.signatures import model_signatures
from tests import tiny_world
from tests.saved_model_c_api import run_signatures
from tests.serving.index_requests import ALL, ASKED, USERS

CALLS = {**ASKED, **ALL}


def remembering_engine(table, index="exact"):
    tf.keras.utils.set_random_seed(1)
    retrieval = tiny_world.remembering_two_tower(26)
    return tiny_world.engine(retrieval, candidates=8, removed=["i20"], index=index, table=table)


@pytest.fixture(scope="module", params=["exact", pytest.param("ivf", marks=[pytest.mark.slow, pytest.mark.thorough])])
def engine(request):
    return remembering_engine("int8", request.param)


@pytest.fixture(scope="module")
def written(engine, tmp_path_factory):
    return export_models(engine, tmp_path_factory.mktemp("export"), 5)


def test_the_c_library_answers_as_the_engine_does(engine, written):
    signatures = model_signatures(engine, 5, True)
    answers = run_signatures([(written[model], name, inputs) for (model, name), inputs in CALLS.items()])
    for ((model, name), inputs), found in zip(CALLS.items(), answers, strict=True):
        function = signatures[model][name]
        wanted = function(*(tf.constant(inputs[spec.name]) for spec in function.input_signature))
        for key, value in wanted.items():
            if key == "item_id":
                assert found[key].tolist() == value.numpy().tolist(), name
            else:
                np.testing.assert_allclose(found[key], value, rtol=1e-5, atol=1e-6, err_msg=name)


def test_scores_are_near_those_in_float32_and_what_is_remembered_keeps_its_digits(engine):
    plain = remembering_engine("float32")
    users = tf.constant(USERS)
    wanted, found = (
        {name: score for name, score in zip(*(x.numpy()[1] for x in one.retrieve_ids(users, tf.constant(29))))}
        for one in (plain, engine)
    )
    assert wanted.keys() == found.keys()
    # A place is a unit vector of 8 numbers: half a scale is at most 1 / 254, and a query's sizes add up to 8 ** 0.5.
    query = np.abs(engine.embed_user(users).numpy()[1, :8]).sum()
    assert max(abs(wanted[name] - found[name]) for name in wanted) <= query / 254 + 1e-4
    embedded = engine.embed_item(tf.constant(["i4"])).numpy()[0]
    rows = plain.item_embeddings.numpy()
    assert np.abs(embedded[8:] - rows[5, 8:]).max() <= np.abs(rows[:, 8:]).max() / 65534 + 1e-9


def test_embeddings_are_saved_once_and_in_int8(engine, written):
    is_exact = not isinstance(engine.search, InvertedFile)
    count = 31 if is_exact else engine.search.exact.rows.shape[0]
    assert {check.refusals for check in check_export(written["recommend"].parents[1])} == {()}
    for model in ("recommend", "retrieval"):
        folder = str(written[model] / "variables" / "variables")
        reader = tf.train.load_checkpoint(folder)
        kept = {
            name: (shape, reader.get_variable_to_dtype_map()[name]) for name, shape in tf.train.list_variables(folder)
        }
        shapes = list(kept.values())
        assert shapes.count(([count, 8], tf.int8)) == 1 and shapes.count(([count, 2], tf.int16)) >= 1
        assert ([31, 10], tf.float32) not in shapes and ([count, 10], tf.float32) not in shapes
        # What the weights of modalities need is twice as wide, and in int8 as well.
        assert shapes.count(([count, 18], tf.int8)) == (model == "recommend")
        assert ([count, 20], tf.float32) not in shapes
        codes = (engine.search.rows if is_exact else engine.search.exact.rows).codes
        assert codes.numpy().tobytes() not in (written[model] / "saved_model.pb").read_bytes()


def test_the_configuration_names_the_tables():
    assert tiny_world.config(export={"table": "int8"}).export.table == "int8"
    with pytest.raises(ValidationError, match="'float32', 'float16' or 'int8'"):
        tiny_world.config(export={"table": "int4"})

"""An inverted file exported: the same answers as the exact index wherever the model is loaded."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.recommend.inverted_file import InvertedFile
from mmrec_tf.serving.export import export_models
from mmrec_tf.serving.signatures import model_signatures
from tests import tiny_world
from tests.saved_model_c_api import run_signatures
from tests.serving.index_requests import ALL, ASKED


@pytest.fixture(scope="module")
def engines():
    """The same models with an exact search, and with blocks of two items that are all looked at."""
    tf.keras.utils.set_random_seed(1)
    retrieval = tiny_world.remembering_two_tower(26)
    exact, engine = (tiny_world.engine(retrieval, candidates=8, removed=["i20"]) for _ in range(2))
    embeddings, is_offered = engine.item_embeddings.numpy(), engine.is_offered.numpy()
    engine.search = InvertedFile(embeddings, is_offered, embeddings[:, -2:].sum(axis=1), head=4, width=2, depth=8)
    assert engine.search.blocks >= 13
    engine.search.probes.assign(engine.search.blocks)
    return exact, engine


@pytest.fixture(scope="module")
def written(engines, tmp_path_factory):
    return export_models(engines[1], tmp_path_factory.mktemp("export"), 5)


def test_the_c_library_gives_the_exact_answers(engines, written):
    exact = model_signatures(engines[0], 5, True)
    calls = [*ASKED, *ALL]
    given = [*ASKED.values(), *ALL.values()]
    answers = run_signatures([(written[model], name, inputs) for (model, name), inputs in zip(calls, given)])
    for (model, name), inputs, found in zip(calls, given, answers, strict=True):
        function = exact[model][name]
        names = [spec.name for spec in function.input_signature]
        wanted = function(*(tf.constant(inputs[name]) for name in names))
        for key, value in wanted.items():
            if key == "item_id":
                assert found[key].tolist() == value.numpy().tolist(), name
            else:
                np.testing.assert_allclose(found[key], value, rtol=1e-5, atol=1e-6, err_msg=name)


def test_the_embeddings_are_saved_once_and_as_a_variable(engines, written):
    rows = list(engines[1].search.exact.rows.shape)
    for model in ("recommend", "retrieval"):
        shapes = [shape for _, shape in tf.train.list_variables(str(written[model] / "variables" / "variables"))]
        assert shapes.count(rows) == 1 and [31, 10] not in shapes
        graph = (written[model] / "saved_model.pb").read_bytes()
        assert engines[1].search.exact.rows.embeddings.numpy().tobytes() not in graph

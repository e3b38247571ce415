"""What is written of a ranker that knows trends, and what is measured of it."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.compression_trial import RANKER, CompressionTrial
from mmrec_tf.models.build import build_ranker, build_two_tower
from mmrec_tf.serving.small_models import SmallModel, named_inputs
from tests import tiny_world


@pytest.fixture(scope="module")
def trial(tmp_path_factory):
    known = tiny_world.prepared(
        tmp_path_factory.mktemp("trial"), split={"method": "leave_one_out"}, ranking={"model": "fm", "trends": True}
    )
    retrieval = build_two_tower(
        known.config, known.users, known.items, known.sequences().item_index, known.trends(), known.context
    )
    ranker = build_ranker(known.config, known.users, known.items, known.context, known.trends())
    # Only trends tell items apart, and by enough to be seen.
    ranker.trend_field.second.set_weights([10.0 * weight for weight in ranker.trend_field.second.get_weights()])
    trial = CompressionTrial(known, retrieval, ranker, most_users=4, calls=1)
    trial.variants = ("float32",)
    return trial


def test_a_rankers_file_is_of_the_present(trial):
    assert trial.lists.moments is not None
    content, request = trial.converted(RANKER, "float32"), trial._requests[RANKER][2]
    model = SmallModel(content)
    assert set(model.describe()) == {"user_index", "history", "item_index"}
    inputs = {name: tf.constant(value) for name, value in request.items() if name != "moment"}
    now, then = trial.ranking(inputs).numpy(), trial.ranking({**inputs, "moment": tf.constant([0])}).numpy()
    np.testing.assert_allclose(model(named_inputs(request)), now, atol=1e-5)
    assert np.abs(now - then).max() > 1e-3


def test_lists_are_measured_at_the_moments_of_the_users_and_sizes_of_the_file(trial):
    (measured,) = trial.small(RANKER)
    assert measured.note == "" and measured.bytes == len(trial.converted(RANKER, "float32"))
    assert measured.ndcg == pytest.approx(trial.trained["chain"], abs=1e-6)
    whole = trial._converted(RANKER, "float32", trial._requests[RANKER][0], ())
    past = 4 * (
        trial.ranking.trend_field.table.shape.num_elements() - trial.ranking.trend_field.present.shape.num_elements()
    )
    assert len(whole) - measured.bytes == pytest.approx(past, abs=2000) and past > 10_000

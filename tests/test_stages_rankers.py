"""Every ranker of the configuration through the stages that `mmrec train` takes it through."""

import numpy as np
import pytest

from mmrec_tf.config_ranking import RANKERS
from mmrec_tf.models.build import build_two_tower
from mmrec_tf.stages import evaluate_models, train_ranking
from tests import target_world

OF_SEVERAL_TARGETS = ("shared_bottom", "mmoe", "ple", "esmm")


# One of each way to cross features, to read a history and to learn several targets; the others are like one of them.
EACH_RUN = ("deepfm", "dcn", "din", "mmoe", "esmm")
CASES = [(name, 1) if name in EACH_RUN else pytest.param(name, 1, marks=pytest.mark.thorough) for name in RANKERS]


@pytest.mark.parametrize(("name", "members"), [*CASES, ("bst", 2)])
def test_trained_calibrated_and_judged(name, members, tmp_path):
    targets = target_world.TARGETS if name in OF_SEVERAL_TARGETS else {}
    prepared = target_world.prepared(tmp_path, name, targets=targets, hidden=[4], dim=4, members=members)
    retrieval = build_two_tower(prepared.config, prepared.users, prepared.items, prepared.sequences().item_index)
    model, history = train_ranking(prepared, retrieval)
    assert len(model.members) == members and np.isfinite(history["loss"]).all()
    assert (float(model.calibrator.slope), float(model.calibrator.intercept)) != (1.0, 0.0)
    metrics = evaluate_models(prepared, retrieval, model)
    assert metrics["ranker"]["log_loss"] != metrics["ranker"]["uncalibrated_log_loss"]
    assert set(metrics.get("targets", {})) == set(targets)

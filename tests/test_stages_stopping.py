"""What ends the retrieval model's training."""

import numpy as np
import pytest

from mmrec_tf import stages
from mmrec_tf.evaluation.judged_users import judged_users
from tests import tiny_world

CUTOFFS = [1, 3, 20]


def test_epochs_are_told_apart_by_all_the_cut_offs(tmp_path, monkeypatch):
    given = {}

    def untrained(model, dataset, **options):
        given.update(options)
        return {"loss": [0.0]}

    monkeypatch.setattr(stages, "fit", untrained)
    known = tiny_world.prepared(tmp_path, evaluation={"k": CUTOFFS})
    model, _ = stages.train_retrieval(known)
    users, lists = judged_users(known, "validation")
    found = lists.retrieval(model, max(CUTOFFS))
    assert len(users) > 3 and set(np.diff(users.relevant.indptr)) == {1}
    gains = np.zeros((len(users), len(CUTOFFS)))
    for row, (shown, wanted) in enumerate(zip(found, users.relevant.indices)):
        for place in np.flatnonzero(shown == wanted):
            gains[row] = np.where(place < np.array(CUTOFFS), 1.0 / np.log2(place + 2.0), 0.0)
    assert 0.0 < gains[:, 0].mean() < gains[:, 2].mean()
    assert given["score"]() == pytest.approx(gains.mean(), rel=1e-6)
    assert given["score_name"] == "validation NDCG@1,3,20"


def test_training_asks_no_more_than_some_of_many_users(tmp_path, monkeypatch):
    asked = []

    def retrieval(lists, model, k):
        asked.append(lists.profiles.shape[0])
        return np.zeros([lists.profiles.shape[0], k], np.int32)

    monkeypatch.setattr(stages, "MOST_VALIDATION_USERS", 4)
    monkeypatch.setattr(stages.StageLists, "retrieval", retrieval)
    monkeypatch.setattr(stages, "fit", lambda model, dataset, score, **options: {"loss": [score()]})
    known = tiny_world.prepared(tmp_path)
    assert len(judged_users(known, "validation")[0]) > 4
    model, _ = stages.train_retrieval(known)
    stages.best_similarity_weight(known, model, tiny_world.ranker())
    assert set(asked) == {4}


def test_a_bad_loss_names_the_settings_of_its_stage(tmp_path, monkeypatch):
    given = {}

    def bad(model, dataset, **options):
        given[options["description"]] = options["advice"]
        return {"loss": [0.0]}

    for module in ("mmrec_tf.stages", "mmrec_tf.training.fit_ranker"):
        monkeypatch.setattr(f"{module}.fit", bad)
    known = tiny_world.prepared(tmp_path)
    retrieval, _ = stages.train_retrieval(known)
    stages.train_ranking(known, retrieval)
    assert "train.learning_rate" in given["training retrieval"]
    assert "models.retrieval.temperature" in given["training retrieval"]
    assert "train.ranking.learning_rate" in given["training ranking"]
    assert "temperature" not in given["training ranking"]

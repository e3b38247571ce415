"""What a trial is worth, by real trainings in the tiny world."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mmrec_tf.errors import DataError
from mmrec_tf.features.prepared import prepare as real_prepare
from mmrec_tf.models.build import build_two_tower
from mmrec_tf.search.judge import ChainJudge, validation_ndcg
from mmrec_tf.search.searching import search_settings
from mmrec_tf.search.space import merged
from mmrec_tf.stages import train_ranking, train_retrieval
from mmrec_tf.training.fit import set_seed
from tests import tiny_world
from tests.pretraining.worlds import file_config

TRAIN = {"epochs": 2, "batch_size": 32, "ranking": {"epochs": 1}}


def test_the_score_is_the_ndcg_of_the_lists_that_validation_users_are_shown(tmp_path):
    class Fixed:
        """Ranks the items by fixed numbers, whoever asks."""

        remembers = False

        def query_embeddings(self, **asked):
            return np.ones([len(asked["user_index"]), 1], np.float32)

        def candidate_embeddings(self):
            return np.arange(tiny_world.ITEMS + 1, 0, -1, dtype=np.float32)[:, None]

    known = tiny_world.prepared(tmp_path, retrieval={"trends": {"half_lives": []}}, evaluation={"k": [4]})
    model = Fixed()
    # By hand: the four lowest rows that the user has not had before, one of which may be the one held out.
    users, items, _ = tiny_world.interactions()
    gains = []
    for user in range(tiny_world.ACTIVE_USERS):
        history = items[users == user]
        shown = [item for item in range(tiny_world.ITEMS) if item not in history[:-2]][:4]
        gains.append(1.0 / np.log2(shown.index(history[-2]) + 2) if history[-2] in shown else 0.0)
    assert 0.0 < np.mean(gains)
    with pytest.MonkeyPatch.context() as patch:
        # Its embeddings are whole: there is no trend to split off for each moment.
        patch.setattr("mmrec_tf.evaluation.stage_lists.StageLists.embeddings", whole_embeddings)
        assert validation_ndcg(known, model, None) == pytest.approx(np.mean(gains))


def whole_embeddings(lists, model):
    return model.query_embeddings(**lists.asked), model.candidate_embeddings()


@pytest.mark.slow
def test_the_test_split_is_not_looked_at(tmp_path):
    known = tiny_world.prepared(tmp_path, train=TRAIN)
    scores = []
    for part in (known.split.test, pd.DataFrame()):
        changed = replace(known, split=replace(known.split, test=part))
        set_seed(1)
        retrieval, _ = train_retrieval(changed)
        ranking, _ = train_ranking(changed, retrieval)
        scores.append(validation_ndcg(changed, retrieval, ranking))
    assert scores[0] == scores[1] > 0.0


def test_data_are_embedded_once_and_again_only_for_what_they_depend_on(tmp_path, monkeypatch):
    prepared_for, trained = [], []

    def prepare(*args):
        prepared_for.append(args[1])
        return real_prepare(*args)

    def untrained(prepared, progress):
        trained.append(prepared)
        model = build_two_tower(prepared.config, prepared.users, prepared.items, context=prepared.context)
        return model, {"loss": [2.0, 1.0]}

    monkeypatch.setattr("mmrec_tf.search.judge.prepare", prepare)
    monkeypatch.setattr("mmrec_tf.search.judge.train_retrieval", untrained)
    made = file_config(tmp_path, train=TRAIN)
    judge = ChainJudge(made, tmp_path / "s")
    one = judge(made)
    assert one == judge(made) and one.epochs == 2 and 0.0 <= one.score <= 1.0
    judge(merged(made, {"models.retrieval.dim": 4, "fusion.method": "gated"}))
    assert len(prepared_for) == 1 and trained[-1].config.fusion.method == "gated"
    judge(merged(made, {"models.clock": ["hour_of_day"]}))
    # The seed draws weights and order; the users who judge, and the interactions, stay the same.
    judge(merged(made, {"models.clock": ["hour_of_day"], "seed": 5}))
    assert len(prepared_for) == 2 and trained[-1].context is not None
    assert [known.fingerprint() == judge.interactions for known in trained] == [True] * len(trained)


@pytest.mark.slow
def test_a_ranker_is_searched_on_one_retrieval_model(tmp_path, monkeypatch):
    wanted = {"stage": "ranking", "method": "random", "trials": 2, "space": {"models.ranking.dim": [2, 4, 8]}}
    made = file_config(tmp_path, train=TRAIN, search=wanted)
    first = search_settings(made, tmp_path / "s")
    assert [trial.status for trial in first.trials] == ["done", "done"]
    assert (tmp_path / "s" / "retrieval.weights.h5").is_file()

    def no_training(*_):
        raise AssertionError("the retrieval model is found again")

    monkeypatch.setattr("mmrec_tf.search.judge.train_retrieval", no_training)
    judge = ChainJudge(made, tmp_path / "s")
    judge.begin()
    # The model that was saved scores as the one that was trained did.
    assert judge(made).score == pytest.approx(first.trials[0].score, abs=1e-6)


def test_a_trial_is_told_of_time_what_a_run_is(tmp_path, monkeypatch):
    made = file_config(tmp_path, train=TRAIN, search={"stage": "retrieval"})
    path = made.data.interactions
    pd.read_csv(path, dtype=str).assign(timestamp="7").to_csv(path, index=False)
    with pytest.warns(UserWarning, match="one and the same timestamp"):
        judge = ChainJudge(made, tmp_path / "s")
    trained = []
    monkeypatch.setattr(judge, "_train", lambda prepared: trained.append(prepared.config))
    judge(made)
    assert made.models.retrieval.trends.half_lives != [] == trained[0].models.retrieval.trends.half_lives


def test_a_trial_whose_ranker_has_nothing_to_learn_is_refused_as_a_run_is(tmp_path, monkeypatch):
    made = file_config(tmp_path, train=TRAIN, search={"stage": "ranking"})
    judge = ChainJudge(made, tmp_path / "s")
    monkeypatch.setattr(judge, "_train", lambda prepared: "trained")
    assert judge(merged(made, {"models.ranking.negatives": 0})) == "trained"
    with pytest.raises(DataError, match="nothing to tell clicks from"):
        judge(merged(made, {"models.ranking.negatives": 0, "models.ranking.hard_negatives": 0}))


@pytest.mark.slow
def test_nobody_to_judge_by_is_an_error(tmp_path):
    made = file_config(tmp_path, split={"method": "random", "validation": 0.0, "test": 0.2})
    with pytest.raises(DataError, match="nobody in it to judge by. Hold more out with split.validation"):
        ChainJudge(made, tmp_path / "s")

"""Searches over a known score: budget, resuming, failures, what is left behind."""

import json

import pytest
import yaml

from mmrec_tf.config_file import load_config
from mmrec_tf.data.whole_files import marked
from mmrec_tf.errors import ConfigError, DataError, RunError
from mmrec_tf.search.searching import MOST_FAILURES, search_settings
from mmrec_tf.search.space import value_of
from tests.search.worlds import BEST, Killed, StubJudge, config, known_score


def search(folder, made=None, judge=None, **options):
    return search_settings(made or config(), folder, make_judge=(judge or StubJudge()).made, **options)


def written(folder) -> dict:
    return json.loads((folder / "trials.json").read_text(encoding="utf-8"))


@pytest.mark.parametrize("method", ["random", "bayesian"])
def test_the_best_is_kept_and_ready_for_training(method, tmp_path):
    judge, told = StubJudge(), []
    made = config(method=method, trials=7)
    result = search(tmp_path / "s", made, judge, progress=lambda *call: told.append(call))
    assert [trial.number for trial in result.trials] == list(range(7)) and len(judge.asked) == 7
    # The first is the configuration as it is: 0.002, 8 and 0.1.
    assert result.trials[0].settings == dict(zip(BEST, (0.002, 8, 0.1)))
    assert result.trials[0].score == pytest.approx(known_score(made))
    assert result.best.score == max(trial.score for trial in result.trials) > result.trials[0].score
    best = load_config(result.best_path)
    assert known_score(best) == result.best.score
    assert {name: value_of(best, name) for name in BEST} == result.best.settings
    # Nothing else has changed, and relative paths still lead to the same places.
    plain = {"train", "models", "data", "store"}
    content, expected = (one.model_dump(exclude=plain) for one in (best, made))
    assert content == expected
    assert best.data.items.is_absolute() and best.train.epochs == made.train.epochs
    assert f"Trial {result.best.number} of mmrec tune" in result.best_path.read_text().splitlines()[0]
    assert told[-1] == ("trials", 7, 7)


def test_the_search_never_ends_worse_than_it_began(tmp_path):
    made = config(trials=6)
    judge = StubJudge(lambda tried: 1.0 if tried.train == made.train and tried.models == made.models else 0.5)
    result = search(tmp_path / "s", made, judge)
    assert result.best.number == 0 and result.best.score == 1.0
    assert load_config(result.best_path).models == made.models


def test_a_start_outside_of_the_space_is_tried_first_all_the_same(tmp_path):
    result = search(tmp_path / "s", config({"models.retrieval.dim": [16, 32]}, trials=5))
    assert [trial.settings["models.retrieval.dim"] for trial in result.trials] in ([8, 16, 32], [8, 32, 16])
    # Three of five trials: the space holds no more.
    assert result.best.settings == {"models.retrieval.dim": 32}
    assert str(result.at_edge[0]).endswith("widen models.retrieval.dim beyond 32")


@pytest.mark.parametrize("kill_at", [1, 4])
def test_a_killed_search_goes_on_where_it_was(kill_at, tmp_path):
    made = config({"models.retrieval.dim": [8, 16, 32, 64, 128]}, method="bayesian", trials=5)
    expected = search(tmp_path / "whole", made)
    with pytest.raises(Killed):
        search(tmp_path / "cut", made, StubJudge(kill_at=kill_at))
    trials = written(tmp_path / "cut")["trials"]
    assert [trial["status"] for trial in trials] == ["done"] * (kill_at - 1) + ["running"]
    judge = StubJudge()
    result = search(tmp_path / "cut", made, judge)
    assert len(judge.asked) == 5 - (kill_at - 1)
    assert [trial.settings for trial in result.trials] == [trial.settings for trial in expected.trials]
    assert [trial.score for trial in result.trials] == [trial.score for trial in expected.trials]


def test_a_score_that_was_written_down_and_not_told_is_not_trained_again(tmp_path):
    folder = tmp_path / "s"
    search(folder, config(trials=3))
    oracle = (folder / "oracle.json").read_text()
    search(folder, config(trials=4))
    # As if the process had ended between writing the one file and the other.
    (folder / "oracle.json").write_text(oracle)
    judge = StubJudge()
    result = search(folder, config(trials=6), judge)
    assert len(judge.asked) == 2 and len(result.trials) == 6


def test_a_trial_whose_process_ends_twice_is_left_alone(tmp_path):
    for _ in range(2):
        with pytest.raises(Killed):
            search(tmp_path, config(trials=4), StubJudge(kill_at=1 if (tmp_path / "best.yaml").exists() else 2))
    result = search(tmp_path, config(trials=4))
    assert [trial.status for trial in result.trials] == ["done", "failed", "done", "done"]
    assert "ended 2 times without a word" in result.trials[1].message


def test_ctrl_c_is_not_held_against_a_trial(tmp_path):
    def interrupted(config):
        raise KeyboardInterrupt

    for _ in range(3):
        with pytest.raises(KeyboardInterrupt):
            search(tmp_path, config(trials=2), StubJudge(interrupted))
    assert [trial.status for trial in search(tmp_path, config(trials=2)).trials] == ["done", "done"]


def test_a_finished_search_is_shown_without_a_judge_and_goes_on_with_a_larger_budget(tmp_path):
    first = search(tmp_path, config(trials=4))

    def no_judge(*_):
        raise AssertionError("nothing is left to try")

    again = search_settings(config(trials=4), tmp_path, make_judge=no_judge)
    assert again.trials == first.trials and again.best == first.best
    judge = StubJudge()
    assert len(search(tmp_path, config(trials=6), judge).trials) == 6 and len(judge.asked) == 2


def test_minutes_are_counted_over_all_calls(tmp_path, monkeypatch):
    clock = iter(range(0, 100_000, 20))
    monkeypatch.setattr("mmrec_tf.search.searching.time.perf_counter", lambda: float(next(clock)))
    # Twenty seconds each: the third ends the minute.
    result = search(tmp_path, config(trials=None, minutes=1.0))
    assert [trial.seconds for trial in result.trials] == [20.0, 20.0, 20.0]
    assert len(search(tmp_path, config(trials=None, minutes=1.5)).trials) == 5


@pytest.mark.parametrize("stage", ["retrieval", "ranking", "both"])
def test_hyperband_rations_epochs_within_the_budget(stage, tmp_path):
    space = {"train.ranking.learning_rate": {"low": 0.001, "high": 0.1}}
    made = config(space if stage == "ranking" else None, method="hyperband", trials=4, stage=stage)
    ranking = made.train.ranking.model_copy(update={"epochs": 9 if stage == "ranking" else 3})
    train = made.train.model_copy(update={"epochs": 9, "ranking": ranking})
    made = made.model_copy(update={"train": train})
    judge = StubJudge()
    result = search(tmp_path, made, judge)
    assert result.trials[0].ration is None
    rations = [trial.ration for trial in result.trials[1:]]
    assert rations[:13] == [1] * 9 + [3] * 3 + [9]
    # Four trainings of nine epochs are 36; what runs when they are used up is still finished.
    assert 36 <= 9 + sum(rations) < 36 + 9
    given = [(asked.train.epochs, asked.train.ranking.epochs) for asked in judge.asked[1:]]
    expected = {
        "retrieval": [(ration, 3) for ration in rations],
        "ranking": [(9, ration) for ration in rations],
        "both": [(ration, {1: 1, 3: 1, 9: 3}[ration]) for ration in rations],
    }
    assert given == expected[stage]


def test_repeats_have_seeds_of_their_own_and_their_mean_counts(tmp_path):
    judge = StubJudge(lambda tried: float(tried.seed - 42))
    result = search(tmp_path, config(trials=2, repeats=3), judge)
    assert [asked.seed for asked in judge.asked] == [42, 43, 44] * 2
    assert result.trials[1].scores == [0.0, 1.0, 2.0] and result.trials[1].score == 1.0
    assert load_config(result.best_path).seed == 42


def test_failures_are_written_down_and_the_search_goes_on(tmp_path):
    def score(tried):
        if tried.models.retrieval.dim == 16:
            raise RunError("the training loss is nan. Lower train.learning_rate.")
        if tried.models.retrieval.dim == 64:
            raise MemoryError("no room for [64]")
        return known_score(tried)

    result = search(tmp_path, config({"models.retrieval.dim": [8, 16, 32, 64]}, trials=4), StubJudge(score))
    found = {trial.settings["models.retrieval.dim"]: trial for trial in result.trials}
    assert {dim: trial.status for dim, trial in found.items()} == {8: "done", 16: "failed", 32: "done", 64: "failed"}
    assert "Lower train.learning_rate" in found[16].message and found[64].message == "MemoryError: no room for [64]"
    assert result.best is found[32] and found[16].score is None
    assert written(tmp_path)["trials"][2]["message"] == result.trials[2].message


def test_combinations_that_are_refused_cost_no_trial(tmp_path):
    space = {
        "models.ranking.model": ["deepfm", "dcn"],
        "models.ranking.cross_layers": [2, 3],
        "models.ranking.dim": {"low": 4, "high": 40},
    }
    result = search(tmp_path, config(space, stage="ranking", trials=6), StubJudge(lambda tried: 0.5))
    done = [trial for trial in result.trials if trial.status == "done"]
    refused = [trial for trial in result.trials if trial.status == "refused"]
    assert len(done) == 6 and refused and all("cross_layers is no setting of deepfm" in one.message for one in refused)
    assert all(trial.settings["models.ranking.model"] == "dcn" for trial in done[1:])


def test_a_configuration_that_cannot_be_built_is_told_of_and_can_be_mended(tmp_path):
    def score(tried):
        if tried.models.retrieval.dim == 8:
            raise ConfigError("heads is 3, which does not divide 8")
        return known_score(tried)

    for _ in range(3):
        with pytest.raises(ConfigError, match="does not divide 8"):
            search(tmp_path, config(trials=3), StubJudge(score))
    # A retrieval model that was trained before is another's; what else is in the folder is not the search's.
    (tmp_path / "retrieval.weights.h5").write_text("of the first configuration")
    (tmp_path / "config.yaml").write_text("mine")
    (tmp_path / "run").mkdir()
    (tmp_path / "run" / "note.txt").write_text("mine")
    mended = config(trials=3, retrieval={"dim": 16})
    result = search(tmp_path, mended, StubJudge(score))
    assert result.trials[0].status == "done" and len(result.trials) >= 3
    assert written(tmp_path)["config"]["models"]["retrieval"]["dim"] == 16
    assert not (tmp_path / "retrieval.weights.h5").exists()
    assert (tmp_path / "config.yaml").read_text() == (tmp_path / "run" / "note.txt").read_text() == "mine"


def test_nothing_but_failures_ends_the_search_with_the_reason(tmp_path):
    def score(tried):
        raise DataError("a rating head has nothing to learn")

    judge = StubJudge(score)
    with pytest.raises(RunError, match="the last 5 trials were failed, the latest with: a rating head has nothing"):
        search(tmp_path, config(trials=50), judge)
    assert len(judge.asked) == MOST_FAILURES
    with pytest.raises(RunError, match="no trial has a score; the last one ended with: a rating head"):
        search(tmp_path / "one", config(trials=1), StubJudge(score))


def test_a_changed_configuration_is_refused_with_what_changed(tmp_path):
    search(tmp_path, config(trials=2))
    changed = config(trials=9, retrieval={"dim": 16, "id_dropout": 0.5})
    with pytest.raises(RunError) as raised:
        search(tmp_path, changed)
    assert "models.retrieval.dim was 8 and is 16\n  models.retrieval.id_dropout was 0.3 and is 0.5" in str(raised.value)
    assert "search.trials" in str(raised.value) and "search.trials was" not in str(raised.value)
    with pytest.raises(RunError, match="search.method was 'random' and is 'bayesian'"):
        search(tmp_path, config(trials=2, method="bayesian"))
    assert len(search(tmp_path, changed, overwrite=True).trials) == 9


def test_a_search_that_cannot_begin_leaves_the_earlier_one(tmp_path):
    search(tmp_path, config(trials=2))
    (tmp_path / "run").mkdir()
    before = {path: path.read_bytes() for path in tmp_path.glob("*.*")}
    assert len(before) == 3

    def no_data(*_):
        raise DataError("items.csv does not exist")

    with pytest.raises(DataError):
        search_settings(config(trials=3), tmp_path, overwrite=True, make_judge=no_data)
    assert {path: path.read_bytes() for path in tmp_path.glob("*.*")} == before
    # What else is in the folder stays also where the search begins anew.
    assert len(search(tmp_path, config(trials=3), overwrite=True).trials) == 3 and (tmp_path / "run").is_dir()


def test_other_interactions_are_refused(tmp_path):
    search(tmp_path, config(trials=2))
    judge = StubJudge(interactions="one more")
    with pytest.raises(RunError, match="the interactions have changed since the search in"):
        search(tmp_path, config(trials=3), judge)
    assert not judge.asked


def test_folders_that_cannot_be_searched_in(tmp_path):
    (tmp_path / "note.txt").write_text("mine")
    for overwrite in (False, True):
        with pytest.raises(RunError, match="exists and is no search"):
            search(tmp_path, overwrite=overwrite)
    assert (tmp_path / "note.txt").read_text() == "mine"
    with marked(tmp_path / "busy"):
        with pytest.raises(RunError, match="another process searches in"):
            search(tmp_path / "busy")
    search(tmp_path / "s", config(trials=2))
    (tmp_path / "s" / "trials.json").write_text("{")
    with pytest.raises(RunError, match="trials.json is damaged"):
        search(tmp_path / "s", config(trials=2))


def test_a_ranker_that_is_not_there_has_no_settings(tmp_path):
    made = config({}, stage="ranking")
    ranking = made.models.ranking.model_copy(update={"enabled": False})
    made = made.model_copy(update={"models": made.models.model_copy(update={"ranking": ranking})})
    with pytest.raises(ConfigError, match="models.ranking.enabled is false"):
        search(tmp_path / "s", made)
    assert not (tmp_path / "s").exists()


def test_a_space_that_is_wrong_leaves_no_folder(tmp_path):
    with pytest.raises(ConfigError, match="the search cannot begin"):
        search(tmp_path / "s", config({"train.epoch": [1, 2]}))
    assert not (tmp_path / "s").exists()


def test_infinite_half_lives_survive_the_way_through_the_files(tmp_path):
    made = config(trials=2, retrieval={"trends": {"half_lives": [7.0, float("inf")]}})
    result = search(tmp_path, made)
    trends = yaml.safe_load(result.best_path.read_text())["models"]["retrieval"]["trends"]
    assert trends["half_lives"] == [7.0, float("inf")]
    assert load_config(result.best_path).models.retrieval.trends == made.models.retrieval.trends
    assert len(search(tmp_path, made).trials) == 2

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from mmrec_tf.errors import DataError
from mmrec_tf.evaluation import choose_settings as module
from mmrec_tf.evaluation.choose_settings import choose_settings
from mmrec_tf.models.recommender_model import Asked, HeldOut, RecommenderModel, TrainingData


class _Hill(RecommenderModel):
    """Its lists hold its settings, which is all that the judge of these tests looks at."""

    def __init__(self, width: int = 4, rate: float = 1.0):
        self.width = width
        self.rate = rate

    def fit(self, training, progress=None):
        return self

    def score(self, asked):
        return np.zeros(asked.profiles.shape, np.float32)

    def recommend(self, asked, k=10):
        return np.array([self.width, self.rate])


def _training(best_width, best_rate):
    """The judge's score is highest at the given settings and falls with the distance in octaves."""

    def judge(settings):
        width, rate = settings
        return -abs(np.log2(width / best_width)) - abs(np.log2(rate / best_rate)) / 2

    return TrainingData(csr_matrix((1, 1)), held_out=HeldOut(Asked(csr_matrix((1, 1))), judge))


SEARCH = {"width": (2, 4, 8, 16), "rate": (0.5, 1.0, 2.0, 4.0)}


def test_the_best_is_found_without_trying_everything():
    chosen = choose_settings(_Hill, SEARCH, _training(8, 2.0))
    assert chosen.settings == {"width": 8, "rate": 2.0} and chosen.score == 0.0 and chosen.at_edge == []
    assert (chosen.model.width, chosen.model.rate) == (8, 2.0)
    assert len(chosen.trials) < 16 and len({tuple(settings.values()) for settings, _ in chosen.trials}) == len(
        chosen.trials
    )


def test_it_goes_on_behind_the_end_of_a_list():
    # From 16 by doubling to 32, and 64 is tried; from 0.5 by halving to 0.125, and 0.0625 (0.0625 to three digits).
    chosen = choose_settings(_Hill, SEARCH, _training(32, 0.125))
    assert chosen.settings == {"width": 32, "rate": 0.125} and chosen.at_edge == []
    assert {settings["width"] for settings, _ in chosen.trials} >= {32, 64}


def test_where_it_has_to_end_it_says_so():
    chosen = choose_settings(_Hill, {"width": (2, 4)}, _training(4096, 1.0))
    # Four more values behind 4: 8, 16, 32 and 64.
    assert chosen.settings == {"width": 64} and chosen.at_edge == ["width"]


def test_both_ends_share_what_may_be_added():
    # From the default 1 the worse 2 is tried; then four values below it, which is as far as it goes.
    chosen = choose_settings(_Hill, {"rate": (1.0, 2.0)}, _training(4, 2.0**-12))
    assert sorted(settings["rate"] for settings, _ in chosen.trials) == [0.0625, 0.125, 0.25, 0.5, 1.0, 2.0]
    # Above the default 1, 2 is better, 4 better still, and 8 worse. Then wide lists turn out to be better, with which
    # the rate goes down: of the four values two are left for that end.
    both = {"rate": (1.0, 2.0), "width": (4, 8)}

    def judge(settings):
        width, rate = settings
        # Wide lists are best with a rate of 4, of all others with the lowest.
        return -abs(np.log2(rate / 4.0)) if width == 4 else 10.0 - np.log2(rate)

    training = _training(4, 1.0)
    training.held_out.judge = judge
    rates = {settings["rate"] for settings, _ in choose_settings(_Hill, both, training).trials}
    assert rates == {1.0, 2.0, 4.0, 8.0, 0.5, 0.25}


def test_a_default_outside_of_the_list_takes_nothing_from_it():
    # To 0.25 and 0.5 the default 1 is added, and behind it 2, 4, 8 and 16.
    chosen = choose_settings(_Hill, {"rate": (0.25, 0.5)}, _training(4, 2.0**12))
    assert chosen.settings == {"rate": 16.0} and chosen.at_edge == ["rate"]


def test_a_list_of_one_value_leaves_nothing_to_try():
    chosen = choose_settings(_Hill, {"width": (4,), "rate": (0.5, 1.0, 2.0)}, _training(8, 2.0**-0.5))
    assert chosen.settings["width"] == 4 and chosen.at_edge == []
    assert {settings["width"] for settings, _ in chosen.trials} == {4}


def test_zero_is_an_end_by_nature():
    class Shrunk(_Hill):
        def __init__(self, rate: float = 1.0):
            super().__init__(rate=rate)

    training = _training(4, 1.0)
    training.held_out.judge = lambda settings: -settings[1]
    chosen = choose_settings(Shrunk, {"rate": (0.0, 1.0, 2.0)}, training)
    assert chosen.settings == {"rate": 0.0} and chosen.at_edge == []


def test_the_models_own_default_is_where_it_starts():
    chosen = choose_settings(_Hill, {"rate": (0.25, 3.0)}, _training(4, 1.0))
    assert chosen.trials[0][0] == {"rate": 1.0} and chosen.settings == {"rate": 1.0}
    assert {settings["rate"] for settings, _ in chosen.trials} == {0.25, 1.0, 3.0}


def test_the_budget_ends_the_search(monkeypatch):
    # The clock moves on half a minute with every look: one before the trial begins, two around each fit.
    clock = iter(np.arange(0.0, 1e6, 30.0))
    monkeypatch.setattr(module.time, "perf_counter", lambda: next(clock))
    calls = []
    chosen = choose_settings(_Hill, SEARCH, _training(32, 0.125), 2.0, lambda *call: calls.append(call))
    assert len(chosen.trials) == len(calls) == 2 and calls[-1] == ("choosing settings", 2, 2)


def test_without_validation_users_it_says_so():
    with pytest.raises(DataError, match="chosen on validation users"):
        choose_settings(_Hill, SEARCH, TrainingData(csr_matrix((1, 1))))

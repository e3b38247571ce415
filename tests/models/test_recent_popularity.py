import numpy as np
import pytest
from scipy.sparse import csr_matrix

from mmrec_tf.errors import ConfigError, DataError
from mmrec_tf.models.recent_popularity import RecentPopularity
from mmrec_tf.models.recommender_model import Asked, HeldOut, TrainingData

DAY = 86_400.0


def _training(items, days, n_items=3, is_positive=None):
    items = np.array(items)
    matrix = csr_matrix((np.ones(len(items), "float32"), (np.zeros(len(items), int), items)), shape=(1, n_items))
    return TrainingData(
        matrix, np.zeros(len(items), int), items, is_positive, times=DAY * np.array(days, dtype="float64")
    )


def _asked(days, n_items=3):
    return Asked(csr_matrix((len(days), n_items)), times=DAY * np.array(days, dtype="float64"))


def test_weights_halve_by_hand():
    # A half-life of 2 days, asked on day 6. Item 0 on days 0 and 2: 1/8 + 1/4 = 3/8; item 1 on day 4: 1/2. The latest
    # interaction counts as one whole, which takes a day-4 weight of 1 for item 1 and 3/4 for item 0.
    model = RecentPopularity(half_life=2.0).fit(_training([1, 0, 0], [4, 0, 2]))
    np.testing.assert_allclose(model.score(_asked([6])), [[0.75, 1.0, 0.0]], rtol=1e-6)


def test_what_came_after_training_counts_by_the_same_half_life():
    model = RecentPopularity(half_life=2.0).fit(_training([0, 0], [0, 2]))
    model.bring_up_to_date(_training([0, 0, 1], [0, 2, 4]))
    # As by hand above.
    np.testing.assert_allclose(model.score(_asked([6])), [[0.75, 1.0, 0.0]], rtol=1e-6)
    chosen = RecentPopularity().fit(_training([0, 0], [0, 2]))
    chosen.chosen_half_life = 2.0
    chosen.bring_up_to_date(_training([0, 0, 1], [0, 2, 4]))
    np.testing.assert_allclose(chosen.score(_asked([6])), [[0.75, 1.0, 0.0]], rtol=1e-6)


def test_nothing_of_the_moment_itself_or_later_is_known():
    model = RecentPopularity(half_life=2.0).fit(_training([0, 0, 1, 2], [0, 2, 4, 6]))
    # On day 4 item 1's interaction of that day is not known yet; on day 0 nothing is.
    np.testing.assert_allclose(model.score(_asked([4, 0, 4.5])), [[1, 0, 0], [0, 0, 0], [0.75, 1, 0]], rtol=1e-6)


def test_any_moments_in_any_order_agree_with_the_sum_written_out():
    random = np.random.default_rng(3)
    items, days = random.integers(0, 8, 200), random.integers(0, 60, 200)
    moments = random.uniform(-5, 70, 30)
    model = RecentPopularity(half_life=5.0).fit(_training(items, days, 8))
    scores = model.score(_asked(moments, 8))
    for moment, row in zip(moments, scores):
        known = days < moment
        expected = np.bincount(items[known], 0.5 ** ((moment - days[known]) / 5.0), minlength=8)
        np.testing.assert_allclose(row, expected / max(expected.max(), 1e-300), rtol=1e-5, atol=1e-7)


def test_without_a_moment_it_is_the_end_of_training():
    model = RecentPopularity(half_life=1.0).fit(_training([0, 0, 0, 1], [0, 0, 0, 3]))
    # Three interactions three days before the last: 3 / 8.
    np.testing.assert_allclose(model.score(Asked(csr_matrix((2, 3)))), [[0.375, 1, 0]] * 2, rtol=1e-6)


def test_a_long_silence_keeps_the_order():
    model = RecentPopularity(half_life=1.0).fit(_training([0, 1, 1], [0, 0, 0]))
    np.testing.assert_allclose(model.score(_asked([20_000])), [[0.5, 1.0, 0.0]])


def test_identical_moments_give_plain_popularity():
    model = RecentPopularity().fit(_training([2, 2, 1], [7, 7, 7]))
    np.testing.assert_allclose(model.score(Asked(csr_matrix((1, 3)))), [[0.0, 0.5, 1.0]])


def test_what_was_not_liked_does_not_count():
    model = RecentPopularity().fit(_training([0, 1], [1, 1], is_positive=np.array([False, True])))
    np.testing.assert_allclose(model.score(Asked(csr_matrix((1, 3)))), [[0, 1, 0]])


@pytest.mark.parametrize("wanted", [0.25, 3.0, 90.0, 3650.0])
def test_validation_users_choose_the_half_life(wanted):
    # The judge is given lists, which do not tell half-lives apart here, so it looks at the model itself.
    model = RecentPopularity()
    held_out = HeldOut(_asked([6]), lambda lists: -abs(np.log(model.chosen_half_life / wanted)), 2)
    training = _training([1, 0, 0], [4, 0, 2])
    training.held_out = held_out
    assert model.fit(training).chosen_half_life == wanted
    assert RecentPopularity(half_life=7.0).fit(training).chosen_half_life == 7.0
    training.held_out = None
    assert RecentPopularity().fit(training).chosen_half_life == 90.0


def test_mistakes_are_named():
    with pytest.raises(DataError, match="declare a timestamp feature"):
        RecentPopularity().fit(TrainingData(csr_matrix((2, 2))))
    with pytest.raises(ConfigError, match="above 0 days, got -1"):
        RecentPopularity(half_life=-1)

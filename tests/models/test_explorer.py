"""What an explorer adds to scores, against NumPy."""

import numpy as np
import pytest

from mmrec_tf.models.explorer import Explorer
from tests.layer_checks import check_layer

_RANDOM = np.random.default_rng(3)
QUERIES, CANDIDATES = _RANDOM.normal(size=[2, 4]).astype(np.float32), _RANDOM.normal(size=[2, 5, 4]).astype(np.float32)
SEEN = [_RANDOM.normal(size=[30, 4]).astype(np.float32) for _ in range(2)]
WEIGHTS = _RANDOM.uniform(0.0, 0.25, 30).astype(np.float32)


def features_of(queries, candidates):
    # The products of the embeddings, sqrt(4) = 2 times, and the candidates' own.
    return np.concatenate([2.0 * queries * candidates, candidates], axis=-1)


def covariance(precision):
    features = features_of(*SEEN)
    return np.linalg.inv(precision * np.eye(8) + features.T @ (WEIGHTS[:, None] * features))


def explorer(**settings):
    made = Explorer(4, **settings)
    made.learn(*SEEN, WEIGHTS)
    return made


def test_upper_bound_is_the_deviation_of_a_weighted_regression():
    asked = features_of(QUERIES[:, None], CANDIDATES)
    expected = 1.5 * np.sqrt(np.einsum("abi,ij,abj->ab", asked, covariance(0.5), asked))
    found = explorer(method="ucb", strength=1.5, precision=0.5)(QUERIES, CANDIDATES)
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_draws_have_no_mean_and_that_deviation_and_are_one_of_each_user():
    made = explorer(method="thompson", strength=1.5)
    queries, candidates = np.repeat(QUERIES[:1], 40_000, axis=0), np.repeat(CANDIDATES[:1], 40_000, axis=0)
    drawn = made(queries, candidates).numpy()
    asked = features_of(QUERIES[:1], CANDIDATES[0])
    expected = 1.5**2 * asked @ covariance(1.0) @ asked.T
    np.testing.assert_allclose(drawn.mean(axis=0), 0.0, atol=0.03 * np.sqrt(np.diag(expected)).max())
    # Items of one user share a draw: what they say goes together as their features do.
    np.testing.assert_allclose(np.cov(drawn.T), expected, atol=0.03 * np.diag(expected).max())
    assert not np.allclose(drawn[0], drawn[1]) and not np.allclose(drawn[0], made(queries, candidates)[0])


def test_of_a_user_of_whom_nothing_is_known_the_items_tell():
    found = explorer(method="ucb")(np.zeros_like(QUERIES), CANDIDATES).numpy()
    assert found.min() > 0.0 and np.ptp(found) > 0.0


@pytest.mark.parametrize("method", ["ucb", "thompson"])
def test_without_strength_nothing_is_added(method):
    np.testing.assert_array_equal(explorer(method=method, strength=0.0)(QUERIES, CANDIDATES), np.zeros([2, 5]))


def test_layer(tmp_path):
    check_layer(
        lambda: Explorer(4, method="ucb", strength=2.0, precision=0.5),
        QUERIES,
        tmp_path,
        call_arguments={"candidates": CANDIDATES},
        expected_shape=(2, 5),
        is_trainable=False,
        has_float32_output=True,
    )


def test_mistakes():
    with pytest.raises(ValueError, match="method 'greedy' is none. Allowed: ucb, thompson."):
        Explorer(4, method="greedy")
    for settings in ({"strength": -1.0}, {"precision": 0.0}):
        with pytest.raises(ValueError, match="must be"):
            Explorer(4, method="ucb", **settings)

"""The bandit head: its posterior against NumPy and scikit-learn, and its regret in a simulator with a known best."""

import numpy as np
import pytest
import tensorflow as tf
from sklearn.linear_model import Ridge

from mmrec_tf.models.bandit_head import BanditHead, pair_features
from tests.layer_checks import check_layer
from tests.tiny_world import retrieval_batch, two_tower

_RANDOM = np.random.default_rng(5)
SHOWN, REWARDS = _RANDOM.normal(size=[40, 3]).astype(np.float32), _RANDOM.normal(size=40).astype(np.float32)
ASKED = _RANDOM.normal(size=[2, 4, 3]).astype(np.float32)


def test_layer(tmp_path):
    # Draws differ from call to call, and so are told by another test.
    check_layer(
        lambda: BanditHead(3, precision=2.0, prior_mean=0.5),
        ASKED,
        tmp_path,
        expected_shape=(2, 4),
        is_trainable=False,
        has_float32_output=True,
    )


def test_mean_is_ridge_regression_however_the_examples_are_cut_into_batches():
    expected = Ridge(alpha=2.0, fit_intercept=False).fit(SHOWN, REWARDS).predict(ASKED.reshape(-1, 3)).reshape(2, 4)
    for cuts in ([40], [1, 9, 30], [20, 20]):
        head = BanditHead(3, precision=2.0)
        for batch in np.split(np.arange(40), np.cumsum(cuts)[:-1]):
            head.update(SHOWN[batch], REWARDS[batch])
        np.testing.assert_allclose(head.scores(ASKED), expected, rtol=1e-4, atol=1e-5)


def test_prior_mean_is_where_it_starts_and_what_it_shrinks_to():
    head = BanditHead(3, precision=2.0, prior_mean=1.0)
    np.testing.assert_allclose(head.scores(ASKED), ASKED.sum(axis=2), rtol=1e-5)
    head.update(SHOWN, REWARDS)
    # Ridge regression of what is left once the prior has said its part.
    rest = Ridge(alpha=2.0, fit_intercept=False).fit(SHOWN, REWARDS - SHOWN.sum(axis=1)).coef_
    np.testing.assert_allclose(head.scores(ASKED), ASKED @ (1.0 + rest), rtol=1e-3, atol=1e-5)


def test_upper_bound_adds_what_is_not_known():
    head = BanditHead(3, precision=2.0, exploration=0.7)
    head.update(SHOWN, REWARDS)
    inverse = np.linalg.inv(2.0 * np.eye(3) + SHOWN.T @ SHOWN)
    width = np.sqrt(np.einsum("abi,ij,abj->ab", ASKED, inverse, ASKED))
    np.testing.assert_allclose(head.scores(ASKED, "ucb") - head.scores(ASKED), 0.7 * width, rtol=1e-3, atol=1e-5)


def test_draws_follow_the_posterior_and_differ():
    head = BanditHead(3, precision=2.0, exploration=0.7, seed=4)
    head.update(SHOWN, REWARDS)
    draws = head.sample(200_000).numpy()
    covariance = 0.49 * np.linalg.inv(2.0 * np.eye(3) + SHOWN.T @ SHOWN)
    np.testing.assert_allclose(draws.mean(axis=0), head.coefficients, atol=0.002)
    np.testing.assert_allclose(np.cov(draws.T), covariance, atol=0.03 * covariance.max())
    scores = head.scores(ASKED, "thompson").numpy()
    assert scores.shape == (2, 4) and not np.allclose(scores, head.scores(ASKED, "thompson").numpy())
    # One draw a row: three coordinates, and four items, one of which is the sum of the others.
    items = np.concatenate([np.eye(3), np.ones([1, 3])])[None].repeat(2, axis=0)
    first, second = head.scores(items, "thompson").numpy()
    np.testing.assert_allclose([first[:3].sum(), second[:3].sum()], [first[3], second[3]], rtol=1e-4)
    assert not np.allclose(first, second)


def test_weights_count_and_0_only_fills_up():
    head, other = BanditHead(3), BanditHead(3)
    head.update(SHOWN[[0, 1, 1]], REWARDS[[0, 1, 1]])
    other.update(SHOWN[:3], REWARDS[:3], weights=np.array([1.0, 2.0, 0.0]))
    np.testing.assert_allclose(head.coefficients, other.coefficients, rtol=1e-4)


def test_compiles():
    head, compiled = BanditHead(3), BanditHead(3)

    @tf.function(jit_compile=True)
    def learn_and_score(shown, rewards, asked, many):
        compiled.update(shown, rewards)
        return compiled.scores(asked, "ucb"), compiled.scores(many, "thompson")

    head.update(SHOWN, REWARDS)
    many = tf.ones([50_000, 1, 3])
    bound, drawn = learn_and_score(tf.constant(SHOWN), tf.constant(REWARDS), tf.constant(ASKED), many)
    np.testing.assert_allclose(bound, head.scores(ASKED, "ucb"), rtol=1e-4, atol=1e-5)
    # XLA draws other numbers, from the same distribution.
    mean, deviation = head.scores(many[:1])[0, 0], head.deviation(many[:1])[0, 0]
    assert abs(drawn.numpy().mean() - mean) < 0.02 * deviation
    assert drawn.numpy().std() == pytest.approx(float(deviation), rel=0.02)


def test_starts_from_the_score_of_a_retrieval_model():
    model = two_tower()
    batch = retrieval_batch(slice(0, 4))
    queries = model({name: tf.constant(array) for name, array in batch.items()})
    candidates = tf.constant(model.candidate_embeddings())
    head = BanditHead(queries.shape[1], prior_mean=1.0)
    expected = queries.numpy() @ candidates.numpy().T
    np.testing.assert_allclose(head.scores(pair_features(queries, candidates)), expected, rtol=1e-4, atol=1e-5)
    own = tf.tile(candidates[None, 3:5], [4, 1, 1])
    np.testing.assert_allclose(head.scores(pair_features(queries, own)), expected[:, 3:5], rtol=1e-4, atol=1e-5)


def regret(explore: str | None, epsilon: float = 0.0, rounds: int = 900, seed: int = 0) -> np.ndarray:
    """Regret of each round, in a world of 10 users and 20 items that is linear in their pairs' features.

    A user comes, is shown one item, and likes it or not, with noise; the best item's mean reward is known.
    """
    random = np.random.default_rng(seed)
    features = random.normal(size=[10, 20, 6])
    features /= np.linalg.norm(features, axis=2, keepdims=True)
    truth = random.normal(size=6)
    means = features @ truth
    head = BanditHead(6, exploration=0.5, seed=seed)
    given = tf.constant(features, tf.float32)

    @tf.function
    def choose(user):
        return tf.argmax(head.scores(given[user][None], explore)[0], output_type=tf.int32)

    @tf.function
    def learn(user, item, reward):
        head.update(given[user, item][None], reward[None])

    lost = []
    for user in random.integers(0, 10, rounds):
        user = tf.constant(user, tf.int32)
        item = choose(user).numpy() if random.random() >= epsilon else random.integers(0, 20)
        reward = means[int(user), item] + 0.5 * random.normal()
        learn(user, tf.constant(item, tf.int32), tf.constant(reward, tf.float32))
        lost.append(means[int(user)].max() - means[int(user), item])
    return np.array(lost)


@pytest.mark.parametrize("explore", ["ucb", "thompson"])
def test_regret_is_sublinear_and_below_that_of_epsilon_greedy(explore):
    for seed in (0, 1):
        lost = regret(explore, seed=seed)
        # Were it linear, each third would cost the same; explored, there is next to nothing left to lose.
        assert lost[-300:].sum() < 0.3 * lost[:300].sum()
        assert lost.sum() < 0.5 * regret(None, epsilon=0.1, seed=seed).sum()


def test_mistakes():
    with pytest.raises(ValueError, match="explore 'greedy' is no way to. Allowed: ucb, thompson, or None"):
        BanditHead(3).scores(ASKED, "greedy")
    with pytest.raises(ValueError, match=r"features are \[rows, ..., 2\], got \(2, 4, 3\)"):
        BanditHead(2).scores(ASKED)
    with pytest.raises(ValueError, match=r"a reward for each row, got \(40, 3\) and \(39,\)"):
        BanditHead(3).update(SHOWN, REWARDS[1:])
    for settings in ({"dim": 0}, {"dim": 2, "precision": 0.0}, {"dim": 2, "exploration": -1.0}):
        with pytest.raises(ValueError, match=f"{list(settings)[-1]} must be"):
            BanditHead(**settings)

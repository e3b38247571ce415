"""Alignment by correlation against SciPy's canonical correlations and hand arithmetic."""

import numpy as np
import pytest
import scipy.linalg
import tensorflow as tf
import tf_keras
from sklearn.cross_decomposition import CCA

from mmrec_tf.losses.canonical import CanonicalAlignment
from tests.layer_checks import check_layer


def related(rows: int = 400, noise: float = 0.5) -> tuple[np.ndarray, np.ndarray]:
    """Vectors of widths 4 and 3 that share two directions."""
    random = np.random.default_rng(4)
    common = random.normal(size=[rows, 2])
    first = np.concatenate([common, random.normal(size=[rows, 2])], axis=1) @ random.normal(size=[4, 4])
    second = np.concatenate([common, random.normal(size=[rows, 1])], axis=1) @ random.normal(size=[3, 3])
    second += noise * random.normal(size=second.shape)
    return first.astype(np.float32), second.astype(np.float32)


def canonical_correlations(first: np.ndarray, second: np.ndarray) -> np.ndarray:
    """The cosines of the angles between the two column spaces, by SciPy; the largest first."""
    return np.cos(scipy.linalg.subspace_angles(first - first.mean(axis=0), second - second.mean(axis=0)))[::-1]


def test_passes_the_layer_checks(tmp_path):
    vectors = related(rows=30)
    masks = np.arange(30) % 5 != 0, np.arange(30) % 7 != 0
    check_layer(
        lambda: CanonicalAlignment(dim=2),
        vectors,
        tmp_path,
        call_arguments={"masks": masks},
        expected_shape=(),
        has_float32_output=True,
    )


def test_loss_of_the_best_projections_is_what_the_canonical_correlations_leave():
    # scikit-learn's projections on the canonical directions are uncorrelated among themselves.
    first, second = related()
    mapped = CCA(n_components=3, scale=False, max_iter=5000, tol=1e-10).fit_transform(first, second)
    there = np.ones(len(first), bool)
    loss = CanonicalAlignment(dim=None, regularization=1e-6)(mapped, masks=(there, there))
    assert float(loss) == pytest.approx(1.0 - canonical_correlations(first, second).mean(), abs=1e-3)


def test_loss_against_numpy():
    first, second = related(rows=40)
    second = np.concatenate([second, first[:, :1]], axis=1)
    there = np.arange(40) % 4 != 1
    loss = CanonicalAlignment(dim=None, regularization=0.1)((first, second), masks=(there, np.ones(40, bool)))

    def whitened(side):
        covariance = np.cov(side[there].T, bias=True)
        root = np.linalg.cholesky(covariance + 0.1 * np.trace(covariance) / 4 * np.eye(4))
        return np.linalg.solve(root, (side[there] - side[there].mean(axis=0)).T)

    expected = 1.0 - np.trace(whitened(first) @ whitened(second).T / there.sum()) / 4
    assert float(loss) == pytest.approx(expected, abs=1e-4)


def test_loss_by_hand():
    # Each has variance 1 in one number only, the covariance is 0.6: 1 - 0.6 / (1 + r), r being 0.25.
    values = np.array([1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0, 1.0, -1.0])[:, None]
    other = np.array([1.0, 1.0, 1.0, 1.0, -1.0, -1.0, -1.0, -1.0, -1.0, 1.0])[:, None]
    there = np.ones(10, bool)
    loss = CanonicalAlignment(dim=None, regularization=0.25)((values, other), masks=(there, there))
    assert float(loss) == pytest.approx(1.0 - 0.6 / 1.25, abs=1e-4)


@pytest.mark.parametrize("constant", ["first", "both"])
def test_equal_vectors_explain_nothing_and_pull_nothing(constant):
    first = related(rows=20)[0]
    second = first + 1.0
    first = np.ones_like(first)
    second = np.ones_like(second) if constant == "both" else second
    there = np.ones(20, bool)
    sides = tf.constant(first), tf.constant(second)
    with tf.GradientTape() as tape:
        tape.watch(sides)
        loss = CanonicalAlignment(dim=None)(sides, masks=(there, there))
    assert float(loss) == 0.0
    assert all(np.abs(gradient).max() < 1e-6 for gradient in tape.gradient(loss, sides))


def test_an_item_that_stands_twice_is_not_pushed_apart():
    # Every item is there twice: the analysis is the same as with each once.
    first, second = related(rows=50)
    second = np.concatenate([second, first[:, :1]], axis=1)
    once = CanonicalAlignment(dim=None)((first, second), masks=(np.ones(50, bool),) * 2)
    twice = [np.repeat(side, 2, axis=0) for side in (first, second)]
    found = CanonicalAlignment(dim=None)(twice, masks=(np.ones(100, bool),) * 2, ids=np.repeat(np.arange(50), 2))
    assert float(found) == pytest.approx(float(once), rel=1e-4)


def test_training_makes_projections_correlate():
    first, second = related(rows=300, noise=0.1)
    there = np.ones(300, bool)
    layer = CanonicalAlignment(dim=2)
    optimizer = tf_keras.optimizers.Adam(0.05)
    tf_keras.utils.set_random_seed(1)
    for _ in range(150):
        with tf.GradientTape() as tape:
            loss = layer((first, second), masks=(there, there))
        optimizer.minimize(loss, layer.trainable_weights, tape=tape)
    # Two dimensions can hold the two best correlations, and no projection can do better.
    best = canonical_correlations(first, second)[:2].mean()
    mapped = first @ layer.project_first.kernel.numpy(), second @ layer.project_second.kernel.numpy()
    assert canonical_correlations(*mapped).mean() == pytest.approx(best, abs=0.02)
    assert float(loss) == pytest.approx(1.0 - best, abs=0.03)

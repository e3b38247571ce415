"""A common space in closed form: against the two-modality solution, SciPy, and constructed worlds."""

import numpy as np
import pytest
import scipy.linalg

from mmrec_tf.errors import DataError
from mmrec_tf.losses.linear_alignment import linear_alignment
from mmrec_tf.pretraining.common_space import common_space
from tests.pretraining.worlds import linked


def all_there(vectors):
    return {name: np.ones(len(rows), bool) for name, rows in vectors.items()}


def three(items=300, noise=0.2):
    """Three modalities that say the same three things, and two of each one's own."""
    random = np.random.default_rng(5)
    shared = random.normal(size=[items, 3])
    vectors = {}
    for name, width in (("a", 6), ("b", 7), ("c", 5)):
        said = np.concatenate([shared, random.normal(size=[items, 2])], axis=1)
        vectors[name] = said @ random.normal(size=[5, width]) + noise * random.normal(size=[items, width])
    return vectors


def same_but_for_sign_and_scale(found, expected, atol=1e-3):
    for column in range(expected.shape[1]):
        one, other = (rows[:, column] / np.linalg.norm(rows[:, column]) for rows in (found, expected))
        assert abs(abs(one @ other) - 1.0) < atol


@pytest.mark.parametrize("method", ["cca", "procrustes"])
def test_for_two_modalities_it_is_the_linear_alignment(method):
    vectors = linked(noise=0.5)
    found = common_space(vectors, all_there(vectors), method, dim=4, regularization=0.01)
    expected = linear_alignment(vectors["a"], vectors["b"], method=method, dim=4, regularization=0.01)
    for name, one in (("a", expected.first_map), ("b", expected.second_map)):
        same_but_for_sign_and_scale(found.maps[name], one)
    np.testing.assert_allclose(found.agreements, expected.strengths, atol=1e-4)
    np.testing.assert_allclose(found.correlations["a", "b"][:4], expected.strengths, atol=1e-5)
    # Both modalities have their sign in common: what agrees is not turned against each other.
    mapped = [rows @ found.maps[name] for name, rows in vectors.items()]
    assert all(np.corrcoef(mapped[0][:, k], mapped[1][:, k])[0, 1] > 0.3 for k in range(4))


def test_for_three_it_is_scipys_generalised_eigenproblem():
    vectors = {name: rows - rows.mean(axis=0) for name, rows in three().items()}
    found = common_space(vectors, all_there(vectors), dim=3, regularization=0.0)
    side_by_side = np.concatenate(list(vectors.values()), axis=1)
    every = side_by_side.T @ side_by_side / len(side_by_side)
    own = scipy.linalg.block_diag(*(rows.T @ rows / len(rows) for rows in vectors.values()))
    # Of `every w = (1 + agreement) own w` the largest.
    values, directions = scipy.linalg.eigh(every, own, subset_by_index=[15, 17])
    np.testing.assert_allclose(found.agreements, values[::-1] - 1.0, atol=1e-4)
    same_but_for_sign_and_scale(np.concatenate([found.maps[name] for name in "abc"]), directions[:, ::-1])


@pytest.mark.parametrize("method", ["cca", "procrustes"])
def test_items_find_their_other_modalities(method):
    vectors = three(noise=0.02)
    train, new = slice(0, 240), slice(240, 300)
    known = {name: rows[train] for name, rows in vectors.items()}
    found = common_space(known, all_there(known), method, dim=3, regularization=1e-4)
    mapped = {name: (rows[new] - rows[train].mean(axis=0)) @ found.maps[name] for name, rows in vectors.items()}
    mapped = {name: rows / np.linalg.norm(rows, axis=1, keepdims=True) for name, rows in mapped.items()}
    for one, other in (("a", "b"), ("b", "c"), ("c", "a")):
        cosines = mapped[one] @ mapped[other].T
        # Others are at 0 on average; rotations alone cannot undo what the modalities' own maps have skewed.
        assert np.diag(cosines).mean() > (0.9 if method == "cca" else 0.3) and abs(cosines.mean()) < 0.1
        # Chance is one in sixty.
        assert method == "procrustes" or np.mean(np.argmax(cosines, axis=1) == np.arange(60)) > 0.5


def test_rows_without_a_modality_have_no_part_in_it():
    vectors = three()
    masks = {name: np.random.default_rng(place).random(300) > 0.3 for place, name in enumerate("abc")}
    holes = {name: np.where(masks[name][:, None], rows, 1e6) for name, rows in vectors.items()}
    found = common_space(holes, masks, dim=3, regularization=0.01)
    zeros = {name: np.where(masks[name][:, None], rows, 0.0) for name, rows in vectors.items()}
    again = common_space(zeros, masks, dim=3, regularization=0.01)
    for name in "abc":
        np.testing.assert_allclose(found.maps[name], again.maps[name], rtol=1e-4, atol=1e-5)
    # Two thirds of the items tell the same story as all of them.
    whole = common_space(vectors, all_there(vectors), dim=3, regularization=0.01)
    np.testing.assert_allclose(found.agreements, whole.agreements, atol=0.25)


def test_maps_of_procrustes_keep_lengths():
    vectors = three()
    found = common_space(vectors, all_there(vectors), "procrustes", dim=4)
    for name in "abc":
        np.testing.assert_allclose(found.maps[name].T @ found.maps[name], np.eye(4), atol=1e-5)


def test_only_what_agrees_is_returned():
    vectors = {name: rows[:, :width] for (name, rows), width in zip(three().items(), (2, 4, 3))}
    # Nine dimensions in all have eigenvalues of both signs, which sum to 0.
    found = common_space(vectors, all_there(vectors))
    assert 0 < found.maps["a"].shape[1] < 9 and (found.agreements > 0).all()
    assert (np.diff(found.agreements) <= 1e-6).all()


def test_regularization_doubts_what_few_items_seem_to_say():
    # Twenty items of noise in sixty dimensions agree perfectly by chance.
    random = np.random.default_rng(0)
    noise = {name: random.normal(size=[20, 60]) for name in "ab"}
    doubted, believed = (common_space(noise, all_there(noise), regularization=share) for share in (10.0, 1e-6))
    assert believed.correlations["a", "b"][0] > 0.99
    assert doubted.correlations["a", "b"][0] < 0.5


@pytest.mark.parametrize("method", ["cca", "procrustes"])
def test_a_modality_that_is_constant_takes_no_part(method):
    vectors = {**linked(), "c": np.ones([240, 3])}
    found = common_space(vectors, all_there(vectors), method, dim=3)
    assert not found.maps["c"].any() and found.maps["a"].any()
    assert not found.correlations["a", "c"].any()


def test_nothing_in_common_is_said_so():
    vectors = {"a": np.ones([5, 2]), "b": np.random.default_rng(0).normal(size=[5, 2])}
    with pytest.raises(DataError, match="a, b have nothing in common"):
        common_space(vectors, all_there(vectors))


def test_two_items_with_both_are_needed():
    masks = {"a": np.array([True, True, False, False]), "b": np.array([False, True, True, True])}
    vectors = {name: np.random.default_rng(0).normal(size=[4, 2]) for name in "ab"}
    with pytest.raises(DataError, match="at least two rows that have both modalities, got 1"):
        common_space(vectors, masks)

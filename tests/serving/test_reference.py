"""What is stored with a version, and what is said of a file that is no such thing."""

import json

import numpy as np
import pytest

from mmrec_tf.errors import ServingError
from mmrec_tf.serving.id_sketches import KnownIds
from mmrec_tf.serving.reference import REFERENCE_FILE, Distribution, Reference


def reference(**changes):
    random = np.random.default_rng(0)
    scores = np.sort(random.normal(size=[200, 3]))[:, ::-1]
    said = {
        "catalogue_size": 4,
        "known": {"user": KnownIds.of(["u1", "u2"]), "item": KnownIds.of(["a", "b", "c", "d"])},
        "scores": Distribution.of_places(scores),
        "score_signatures": ("serving_default", "recommend"),
        "embeddings": Distribution.of_columns(np.column_stack([scores[:, 0], np.ones(200)])),
        "embedding_signatures": ("embed_user",),
        "listed_times": np.array([1, 3]),
        "listed_items": np.array([2, 1]),
    }
    return Reference(**said | changes)


def test_columns_have_bins_of_equal_shares():
    values = np.column_stack([np.arange(100.0), 5 - np.arange(100.0) ** 2])
    spread = Distribution.of_columns(values)
    assert spread.edges.shape == (2, 9)
    assert (spread.counts == 10).all()
    np.testing.assert_allclose(spread.mean, values.mean(axis=0))
    np.testing.assert_allclose(spread.variance, values.var(axis=0))


def test_a_constant_column_has_no_distribution():
    spread = Distribution.of_columns(np.column_stack([np.full(50, 0.3) + 1e-9 * np.arange(50), np.arange(50.0)]))
    assert spread.varies.tolist() == [False, True]


def test_places_share_their_edges_and_what_is_missing_is_left_out():
    spread = Distribution.of_places(np.array([[4.0, 3.0], [2.0, np.nan], [1.0, 0.0]]))
    assert (spread.edges[0] == spread.edges[1]).all()
    assert spread.counts.sum(axis=1).tolist() == [3, 2]
    np.testing.assert_allclose(spread.mean, [7 / 3, 1.5])


def test_a_reference_comes_back_as_it_was(tmp_path):
    saved = reference()
    saved.save(tmp_path)
    loaded = Reference.load(tmp_path)
    for name in ("scores", "embeddings"):
        for part in ("edges", "counts", "mean", "variance"):
            np.testing.assert_array_equal(getattr(getattr(loaded, name), part), getattr(getattr(saved, name), part))
    assert loaded.score_signatures == saved.score_signatures and loaded.catalogue_size == 4
    assert loaded.listed_times.tolist() == [1, 3] and loaded.listed_items.tolist() == [2, 1]
    assert "u1" in loaded.known["user"] and "a" not in loaded.known["user"]
    assert json.loads((tmp_path / REFERENCE_FILE).read_text())["unknown_id_share"] == 0


def test_parts_may_be_missing(tmp_path):
    assert Reference.load(tmp_path) is None
    reference(scores=None, embeddings=None).save(tmp_path)
    loaded = Reference.load(tmp_path)
    assert loaded.scores is None and loaded.embeddings is None and loaded.list_length == 0


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"format": 2}, "its format is 2, not 1"),
        ({"catalogue_size": 0}, "its catalogue_size is 0"),
        ({"catalogue_size": "4"}, "its catalogue_size is '4'"),
        ({"scores": {}}, "counts"),
        ({"scores": {"counts": [[1, 2]], "edges": [[1, 2, 3]], "mean": [0], "variance": [0]}}, "ValueError"),
        ({"scores": {"counts": [[1, -2]], "edges": [[1]], "mean": [0], "variance": [0]}}, "do not agree"),
        ({"known": {"user": "AA=="}}, "item"),
        ({"known": {"user": "?", "item": "AA=="}}, "reference.json is no reference"),
        ({"listed": {"times": [1], "items": []}}, "do not agree"),
    ],
)
def test_a_file_that_is_no_reference(tmp_path, change, said):
    reference().save(tmp_path)
    path = tmp_path / REFERENCE_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ServingError, match=said) as caught:
        Reference.load(tmp_path)
    assert "Export the run again" in str(caught.value)


@pytest.mark.parametrize("text", ["", "[]", "[" * 100_000, "nonsense", '{"format": 1}'])
def test_a_file_that_is_not_even_json_of_its_kind(tmp_path, text):
    (tmp_path / REFERENCE_FILE).parent.mkdir()
    (tmp_path / REFERENCE_FILE).write_text(text)
    with pytest.raises(ServingError, match="is no reference of a model"):
        Reference.load(tmp_path)

"""BPR, VBPR and the models of single interactions: what training has to reach, not how its numbers come out."""

import numpy as np
import pytest
from scipy.sparse import csr_matrix

from mmrec_tf.errors import DataError, MmrecError
from mmrec_tf.models.bpr import Bpr
from mmrec_tf.models.explicit_als import ExplicitAls
from mmrec_tf.models.explicit_sgd import ExplicitSgd
from mmrec_tf.models.implicit_sgd import ImplicitSgd
from mmrec_tf.models.recommender_model import Asked, HeldOut, TrainingData
from mmrec_tf.models.vbpr import Vbpr
from tests import tiny_world


def _two_tastes(users=60, items=20, each=6, seed=6):
    """Users of even rows take from the first half of the items, the others from the second; the last is untouched."""
    random = np.random.default_rng(seed)
    counts = np.zeros((users, items + 1), "float32")
    for user in range(users):
        own = np.arange(items // 2) + items // 2 * (user % 2)
        counts[user, random.choice(own, each, replace=False)] = 1
    return counts


@pytest.mark.parametrize("kind", [Bpr, ImplicitSgd])
def test_tastes_are_learnt_for_users_and_strangers(kind):
    counts = _two_tastes()
    model = kind(factors=4, epochs=40, batch_size=128).fit(TrainingData(csr_matrix(counts)))
    # A user of training who took some of the first half wants the rest of it, and so does a stranger with two of it.
    stranger = csr_matrix(([1.0, 1.0], ([0, 0], [0, 1])), shape=(1, 21))
    for asked in (Asked(csr_matrix(counts[:1]), np.array([0])), Asked(stranger)):
        scores = model.score(asked)[0]
        assert scores[:10].min() > scores[10:20].max()
    # Nobody touched the last item: it is like the rarest for everybody, and near neither taste.
    scores = model.score(Asked(csr_matrix(counts[:2]), np.arange(2)))[:, 20]
    np.testing.assert_allclose(scores[0] - scores[1], model.user_factors[0, -1] - model.user_factors[1, -1], atol=1e-5)
    rarest = counts[:, :20].sum(axis=0) == counts[:, :20].sum(axis=0).min()
    bias = model.network.item_bias.embeddings.numpy()[:20, 0]
    np.testing.assert_allclose(model.item_factors[20, -2], bias[rarest].mean(), rtol=1e-5)


def test_vbpr_places_new_items_by_their_content():
    # In the tiny world users like items of their own group, which the text tells. The last three items have no
    # interactions: 27, 28 and 29 of the groups 3, 0 and 1; 27 has pictures only, 28 and 29 have a text.
    users, items, _ = tiny_world.interactions()
    positives = csr_matrix((np.ones(len(users), "float32"), (users, items)), shape=(tiny_world.USERS, tiny_world.ITEMS))
    training = TrainingData(positives, items=tiny_world.item_table())
    model = Vbpr(factors=4, content_factors=8, epochs=120, batch_size=54).fit(training)
    scores = model.score(Asked(positives[:18], np.arange(18)))
    group = np.arange(18) % tiny_world.GROUPS
    for item in (28, 29):
        own = group == item % tiny_world.GROUPS
        assert scores[own, item].mean() > scores[~own, item].mean() + 0.5


def test_ratings_are_fitted_as_alternating_least_squares_fits_them():
    random = np.random.default_rng(3)
    rows, columns = np.nonzero(random.random((150, 30)) < 0.5)
    taste = random.normal(size=(150, 2)) @ random.normal(size=(2, 30))
    labels = (3.5 + taste[rows, columns]).astype("float32")
    held = random.random(len(rows)) < 0.1
    positives = csr_matrix((np.ones(len(rows), "float32"), (rows, columns)), shape=(150, 30))
    training = TrainingData(positives, rows[~held], columns[~held], labels=labels[~held])
    errors = {}
    for model in (ExplicitSgd(factors=4, regularization=0.1, epochs=120, batch_size=128), ExplicitAls(4, 0.1)):
        scores = model.fit(training).score(Asked(positives, np.arange(150)))
        errors[type(model)] = np.sqrt(np.mean((scores[rows[held], columns[held]] - labels[held]) ** 2))
    spread = labels[held].std()
    assert errors[ExplicitAls] < 0.3 * spread and errors[ExplicitSgd] < 0.4 * spread


@pytest.mark.parametrize("kind", [Bpr, ExplicitSgd])
def test_the_seed_decides(kind):
    counts = csr_matrix(_two_tastes(users=20))
    rows, columns = counts.nonzero()
    training = TrainingData(counts, rows, columns, labels=(columns % 5).astype("float32"))
    first, again, other = (kind(factors=3, epochs=2, seed=seed).fit(training) for seed in (1, 1, 2))
    np.testing.assert_array_equal(first.item_factors, again.item_factors)
    np.testing.assert_array_equal(first.user_factors, again.user_factors)
    assert not np.allclose(first.item_factors, other.item_factors)


def test_validation_users_say_when_to_stop_and_which_factors_are_kept():
    counts = csr_matrix(_two_tastes(users=20))
    seen, scores = [], iter([0.1, 0.5, 0.2, 0.5, 0.4, 0.3, 0.9])

    def judge(lists):
        seen.append(lists)
        return next(scores)

    asked = Asked(counts, np.arange(20))
    model = Bpr(factors=3, epochs=60, batch_size=16).fit(TrainingData(counts, held_out=HeldOut(asked, judge, 5)))
    # Looks after epochs 5, 10, 15, 20, 25 and 30: the best is the second, and four in a row are no better.
    assert model.history["score"] == [0.1, 0.5, 0.2, 0.5, 0.4, 0.3] and len(model.history["loss"]) == 30
    np.testing.assert_array_equal(model.recommend(asked, 5), seen[1])


def test_an_exploding_loss_stops_with_advice():
    counts = csr_matrix(_two_tastes(users=20))
    with pytest.raises(MmrecError, match=r"loss of ImplicitSgd is no longer a number in epoch \d.*Lower learning_rate"):
        ImplicitSgd(factors=3, learning_rate=1e30, epochs=5).fit(TrainingData(counts))


def test_mistakes_are_named():
    with pytest.raises(DataError, match="Bpr has no positive interaction"):
        Bpr().fit(TrainingData(csr_matrix((2, 2))))
    with pytest.raises(DataError, match="explicit_sgd learns from ratings"):
        ExplicitSgd().fit(TrainingData(csr_matrix(np.eye(2))))
    with pytest.raises(DataError, match="vbpr needs items with media"):
        Vbpr().fit(TrainingData(csr_matrix(np.eye(2))))

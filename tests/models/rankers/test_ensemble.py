"""Ensembles: the mean of their members, and a ranker in every other way."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras
from scipy.special import expit

from mmrec_tf.models.rankers.ensemble import RankerEnsemble
from mmrec_tf.models.rankers.field_contributions import field_contributions
from mmrec_tf.run_export import serving_engine
from mmrec_tf.serving.signatures import model_signatures
from mmrec_tf.stages import train_ranking
from tests import tiny_world
from tests.models.rankers.worlds import one_pair, only_ids, pairs, randomized


def ensemble(**ranking):
    model = tiny_world.ranker(members=3, **ranking)
    for seed, member in enumerate(model.members):
        randomized(member, seed=seed)
    return model


def test_the_mean_of_two_logits():
    # bias + both weights + u . i: 10 + 0.5 - 0.25 + (1 * 3 + 2 * -1) = 11.25, and with a bias of -2 in its place -0.75.
    one, other = only_ids("fm"), only_ids("fm")
    other.bias.assign(-2.0)
    model = RankerEnsemble([one, other])
    np.testing.assert_allclose(model(one_pair()), [(11.25 - 0.75) / 2], rtol=1e-6)
    np.testing.assert_allclose(model.predictions(model(one_pair())), [expit(5.25)], rtol=1e-6)


def test_says_that_its_members_are_trained():
    with pytest.raises(ValueError, match="compile and fit each of its members.*train_ranking"):
        RankerEnsemble([only_ids("fm")]).compile("adam")


@pytest.mark.parametrize(
    "settings", [{}, {"model": "din"}, {"target": "rating", "loss": "ordinal", "levels": [1, 2, 3, 4, 5]}]
)
def test_members_answer_together(settings):
    model, inputs = ensemble(**settings), pairs()
    said = [member(inputs, is_raw=True).numpy() for member in model.members]
    assert np.std(said, axis=0).min() > 1e-6
    mean = np.mean(said, axis=0)
    np.testing.assert_allclose(model(inputs, is_raw=True), mean, rtol=1e-5, atol=1e-6)
    if "loss" in settings:
        # The lowest of five stars, and one more for each level that is exceeded.
        mean = 1.0 + expit(mean).sum(axis=-1)
    np.testing.assert_allclose(model(inputs), mean, rtol=1e-4, atol=1e-5)
    # Retrieval's similarity is weighed once, by the ensemble.
    model.similarity_weight.assign(2.0)
    similar = tf.ones_like(inputs["item_index"], tf.float32)
    np.testing.assert_allclose(model({**inputs, "similarity": similar}), mean + 2.0, rtol=1e-4, atol=1e-5)


def test_of_several_targets_each_is_a_mean():
    model = ensemble(model="esmm", hidden=[6], targets={"bought": {}}, order_by={"click": 1.0, "bought": 1.0})
    inputs = pairs()
    said = [member.target_scores(inputs) for member in model.members]
    means = {name: np.mean([scores[name] for scores in said], axis=0) for name in ("click", "bought")}
    found = model.target_scores(inputs)
    for name, mean in means.items():
        np.testing.assert_allclose(found[name], mean, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(model.target_predictions(found)[name], expit(mean), rtol=1e-4, atol=1e-6)
    both = np.log(expit(means["click"])) + np.log(expit(means["bought"]))
    np.testing.assert_allclose(model.order(found), both, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(model(inputs), both, rtol=1e-4, atol=1e-5)
    joint = np.exp(both)
    np.testing.assert_allclose(model.joint(found, "bought"), np.log(joint / (1.0 - joint)), rtol=1e-3, atol=1e-4)


def test_contributions_add_up_for_the_ensemble_too():
    model, inputs = ensemble(), pairs(group=None, count=5)
    # Each member's own average pair is what its contributions start from.
    found = sum(field_contributions(model, inputs, steps=64).values())
    alone = np.mean([sum(field_contributions(member, inputs, steps=64).values()) for member in model.members], axis=0)
    np.testing.assert_allclose(found, alone, rtol=1e-4, atol=1e-5)
    differences = model(inputs).numpy() - found
    np.testing.assert_allclose(differences, np.full(5, differences[0]), rtol=2e-2, atol=2e-3)


def test_weights_and_configuration_come_back(tmp_path):
    model, inputs = ensemble(), pairs()
    model.save_weights(str(tmp_path / "ranking.weights.h5"))
    fresh = tiny_world.ranker(members=3)
    assert np.abs(fresh(inputs) - model(inputs)).max() > 0.01
    fresh.load_weights(str(tmp_path / "ranking.weights.h5"))
    np.testing.assert_array_equal(fresh(inputs), model(inputs))
    again = tf_keras.saving.deserialize_keras_object(tf_keras.saving.serialize_keras_object(model))
    assert [type(member) for member in again.members] == [type(model.members[0])] * 3
    assert again.members[1].get_config() == model.members[1].get_config()


def test_the_tables_are_there_once():
    model = ensemble()
    lookups = {id(member.items) for member in model.members}
    assert len(lookups) == 1
    single = tiny_world.ranker()
    tables = sum(weight.shape.num_elements() for lookup in (single.users, single.items) for weight in lookup.weights)
    count = {name: sum(w.shape.num_elements() for w in m.weights) for name, m in (("one", single), ("all", model))}
    assert count["all"] - tables == 3 * (count["one"] - tables)


def test_trained_member_by_member_and_exported(tmp_path):
    ranking = {"members": 2, "negatives": 2, "hard_negatives": 0}
    prepared = tiny_world.prepared(tmp_path, ranking=ranking, train={"ranking": {"epochs": 2, "batch_size": 16}})
    retrieval = tiny_world.two_tower()
    model, history = train_ranking(prepared, retrieval)
    one, other = (member.user_fields.ids.embeddings.numpy() for member in model.members)
    assert np.abs(one - other).max() > 1e-3
    assert {"loss", "loss, member 2", "validation AUC", "validation AUC, member 2"} <= set(history)
    engine = serving_engine(prepared, retrieval, model)
    signatures = model_signatures(engine, k=5, modality_weights=False)["ranking"]
    tf.saved_model.save(engine, str(tmp_path / "ranking"), signatures=signatures)
    users, items = tf.constant(["u3", "nobody"]), tf.constant([["i4", "i9", "i28"], ["i1", "i2", "i3"]])
    answer = tf.saved_model.load(str(tmp_path / "ranking")).signatures["rank"](user_id=users, item_ids=items)
    np.testing.assert_allclose(answer["score"], engine.rank_targets(users, items)["score"], rtol=1e-5, atol=1e-6)


def test_without_members_there_is_nothing_to_say():
    with pytest.raises(ValueError, match="needs one ranker or more, got none"):
        RankerEnsemble([])

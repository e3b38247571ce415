"""Fits in half the precision: finite, near float32's, float32 again afterwards, and without a trace in the process."""

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.evaluation.judged_users import judged_users
from mmrec_tf.models.build import build_ranker
from mmrec_tf.models.rankers.base import Ranker
from mmrec_tf.models.smaller_ranker import DistilledRanker, PrunedRanker
from mmrec_tf.run import new_run
from mmrec_tf.stages import taught_grades, train_ranking, train_retrieval
from mmrec_tf.training.fit import fit
from mmrec_tf.training.fit_ranker import fit_ranker
from mmrec_tf.training.lazy_adam import LazyAdam
from mmrec_tf.training.precision import layers_in, twin_in
from tests import tiny_world

HALVES = ("mixed_bfloat16", "mixed_float16")
SHORT = {"epochs": 3, "batch_size": 32, "ranking": {"epochs": 2}}


def policies_of(model) -> set[str]:
    return {layer.dtype_policy.name for layer in model._flatten_layers()}


@pytest.mark.parametrize("policy", HALVES)
def test_the_policy_holds_in_the_block_alone(policy):
    with layers_in(policy):
        assert tf_keras.layers.Dense(2).dtype_policy.name == policy
    assert tf_keras.mixed_precision.global_policy().name == "float32"
    with pytest.raises(ZeroDivisionError):
        with layers_in(policy):
            raise ZeroDivisionError
    assert tf_keras.mixed_precision.global_policy().name == "float32"


def test_float32_leaves_the_model_and_the_process_as_they_are():
    model = tiny_world.ranker()
    assert twin_in("float32", model, build=None) is model
    tf_keras.mixed_precision.set_global_policy("mixed_bfloat16")
    try:
        with layers_in("float32"):
            assert tf_keras.mixed_precision.global_policy().name == "mixed_bfloat16"
    finally:
        tf_keras.mixed_precision.set_global_policy("float32")


@pytest.mark.parametrize("policy", HALVES)
@pytest.mark.parametrize("make", [tiny_world.calm_two_tower, tiny_world.ranker])
def test_a_twin_has_the_same_float32_weights_and_nearly_the_same_answers(policy, make):
    model = make()
    twin = twin_in(policy, model, make)
    assert policy in policies_of(twin) and policy not in policies_of(model)
    for own, others in zip(model.weights, twin.weights, strict=True):
        assert own.dtype == others.dtype
        np.testing.assert_array_equal(own.numpy(), others.numpy())
    batch = tiny_world.ranking_examples(slice(0, 20))
    inputs = {name: tf.constant(array) for name, array in batch.items() if name != "label"}
    # bfloat16 has 8 bits: each of a few roundings costs up to 1 / 256 of the largest number in a sum, of about 10.
    np.testing.assert_allclose(twin(inputs).numpy(), model(inputs).numpy(), atol=0.3)


@pytest.mark.parametrize(
    ("policy", "xla"),
    [
        ("mixed_float16", False),
        pytest.param("mixed_bfloat16", False, marks=[pytest.mark.slow, pytest.mark.thorough]),
        pytest.param("mixed_bfloat16", True, marks=[pytest.mark.slow, pytest.mark.thorough]),
        pytest.param("mixed_float16", True, marks=pytest.mark.slow),
    ],
)
def test_loss_scale_average_lazy_steps_and_xla_go_together(policy, xla, tmp_path):
    known = tiny_world.prepared(tmp_path)
    settings = {"epochs": 5, "learning_rate": 0.02, "patience": 5, "average": 0.9, "optimizer": "lazy_adam"}
    losses = {}
    for chosen in ("float32", policy):
        tf_keras.utils.set_random_seed(0)
        model = tiny_world.calm_two_tower()
        learner = twin_in(chosen, model, tiny_world.calm_two_tower)
        losses[chosen] = fit(learner, known.retrieval_dataset(16), xla=xla and chosen == policy, **settings)["loss"]
    assert np.isfinite(losses[policy]).all()
    # The scale begins at 2 ** 15, and the first steps, whose gradients overflow, only halve it.
    compared = slice(None) if policy == "mixed_bfloat16" else slice(-1, None)
    np.testing.assert_allclose(losses[policy][compared], losses["float32"][compared], rtol=0.05)
    optimizer = learner.optimizer
    if policy == "mixed_float16":
        assert isinstance(optimizer, tf_keras.mixed_precision.LossScaleOptimizer)
        assert 2.0**5 <= float(optimizer.loss_scale) < 2.0**15
        optimizer = optimizer.inner_optimizer
    assert isinstance(optimizer, LazyAdam) and optimizer.use_ema
    # What is left in the model is the averages.
    for weight, average in zip(learner.trainable_weights, optimizer._model_variables_moving_average, strict=True):
        assert np.isfinite(weight.numpy()).all()
        np.testing.assert_array_equal(weight.numpy(), average.numpy())


@pytest.mark.parametrize(
    "policy", ["mixed_bfloat16", pytest.param("mixed_float16", marks=[pytest.mark.slow, pytest.mark.thorough])]
)
def test_both_stages_are_fitted_in_it_and_kept_in_float32(policy, tmp_path, monkeypatch):
    fitted = []
    for module in ("mmrec_tf.stages", "mmrec_tf.training.fit_ranker"):
        monkeypatch.setattr(f"{module}.fit", lambda model, *args, **options: spy(fitted, model, args, options))
    known = tiny_world.prepared(tmp_path, train={**SHORT, "precision": policy})
    retrieval, history = train_retrieval(known)
    ranking, ranking_history = train_ranking(known, retrieval)
    assert [policy in policies_of(model) for model in fitted] == [True, True]
    assert np.isfinite(history["loss"]).all() and np.isfinite(ranking_history["loss"]).all()
    assert max(history["validation NDCG@10,20,50"]) > 0.0
    assert policies_of(retrieval) | policies_of(ranking) == {"float32"}
    assert tf_keras.mixed_precision.global_policy().name == "float32"

    # What was learned is in the models that are kept, and comes back from a run's folder.
    for kept, learner in zip((retrieval, ranking), fitted):
        for own, others in zip(kept.trainable_weights, learner.trainable_weights, strict=True):
            if "trend_blend" not in own.name and "newness" not in own.name:
                np.testing.assert_array_equal(own.numpy(), others.numpy())
    with new_run(tmp_path / "run") as run:
        run.save_config(known.config)
        run.save_tables(known)
        run.save_models(retrieval, ranking)
        again, ranking_again = run.load_models(run.load_config(), *run.load_tables())
    _, lists = judged_users(known, "validation")
    assert lists.embeddings(again)[1].dtype == np.float32
    for one, other in zip(lists.embeddings(again), lists.embeddings(retrieval)):
        np.testing.assert_array_equal(one, other)
    candidates = lists.retrieval(again, 5)
    np.testing.assert_array_equal(lists.scores(ranking_again, candidates), lists.scores(ranking, candidates))


WRAPS = {
    "graded": lambda known: taught_grades(known),
    "distilled": lambda known: lambda learner: DistilledRanker(learner, lambda inputs: inputs["label"]),
    "pruned": lambda known: lambda learner: PrunedRanker(learner, sparsity=0.5),
}


@pytest.mark.parametrize("wrap", WRAPS.values(), ids=WRAPS)
def test_what_trains_in_a_rankers_place_scales_its_loss(wrap, tmp_path, monkeypatch):
    stars = 1.0 + np.arange(len(tiny_world.interactions()[0])) % 5
    sections = {"ranking": {"negatives": 0, "hard_negatives": 0}, "train": {**SHORT, "precision": "mixed_float16"}}
    known = tiny_world.prepared(tmp_path, stars, positive_from=4.0, **sections)
    model, fitted = build_ranker(known.config, known.users, known.items, known.context, known.trends()), []
    monkeypatch.setattr(
        "mmrec_tf.training.fit_ranker.fit", lambda model, *args, **options: spy(fitted, model, args, options)
    )
    history = fit_ranker(known, model, known.ranking_dataset(), wrap=wrap(known))
    assert not isinstance(fitted[0], Ranker)
    assert isinstance(fitted[0].optimizer, tf_keras.mixed_precision.LossScaleOptimizer)
    assert np.isfinite(history["loss"]).all()
    assert policies_of(model) == {"float32"}
    assert tf_keras.mixed_precision.global_policy().name == "float32"


def test_both_stages_take_the_optimizer_of_the_configuration(tmp_path):
    known = tiny_world.prepared(tmp_path, train={**SHORT, "optimizer": "lazy_adam", "average": 0.0})
    retrieval, _ = train_retrieval(known)
    ranking, history = train_ranking(known, retrieval)
    assert [type(model.optimizer) for model in (retrieval, ranking)] == [LazyAdam, LazyAdam]
    assert np.isfinite(history["loss"]).all()


def spy(fitted, model, arguments, options):
    fitted.append(model)
    return fit(model, *arguments, **options)


@pytest.mark.slow
@pytest.mark.parametrize(
    "sections",
    [
        {"tasks": {"heads": [{"task": "category", "feature": "category"}], "experts": 2}},
        pytest.param(
            {"retrieval": {"graph": {"neighbours": 3, "light_gcn": 2}, "negatives": {"source": "mixed", "hard": 2}}},
            marks=pytest.mark.thorough,
        ),
        pytest.param(
            {
                "retrieval": {"history": {"encoder": "transformer", "all_positions": True}},
                "fusion": {"method": "gated"},
            },
            marks=pytest.mark.thorough,
        ),
        {"alignment": {"method": "contrastive"}, "retrieval": {"adversarial": {"weight": 0.5, "epsilon": 0.02}}},
    ],
    ids=["heads", "graphs", "transformer", "alignment"],
)
def test_what_stands_beside_the_towers_trains_in_it_too(sections, tmp_path):
    losses = {}
    for precision in ("float32", *HALVES):
        known = tiny_world.prepared(tmp_path, train={**SHORT, "precision": precision}, **sections)
        tf_keras.utils.set_random_seed(0)
        retrieval, history = train_retrieval(known)
        losses[precision] = history["loss"]
        assert policies_of(retrieval) == {"float32"}
    np.testing.assert_allclose(losses["mixed_bfloat16"], losses["float32"], rtol=0.1)
    # Of a handful of steps, the first ones are lost to finding the loss scale.
    np.testing.assert_allclose(losses["mixed_float16"], losses["float32"], rtol=0.4)

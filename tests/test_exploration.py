"""The exploration of a run: what it has seen, kept and loaded, and never what is evaluated or reported."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.config_ranking import ExplorationConfig, RankingConfig
from mmrec_tf.errors import RunError
from mmrec_tf.exploration import fit_explorer, load_explorer, save_explorer
from mmrec_tf.run import Run
from mmrec_tf.run_export import export_run, serving_engine
from tests import tiny_world


def prepared(folder, **ranking):
    exploration = {"method": "ucb", "strength": 2.0, "precision": 0.5}
    ranking = {"exploration": exploration, **ranking}
    return tiny_world.prepared(folder, ranking=ranking, split={"method": "leave_one_out"})


def features_of(queries, candidates):
    return np.concatenate([np.sqrt(queries.shape[1]) * queries * candidates, candidates], axis=1)


def test_it_has_seen_the_training_interactions_each_by_what_it_told(tmp_path):
    world, retrieval, ranking = prepared(tmp_path), tiny_world.two_tower(), tiny_world.ranker()
    explorer = fit_explorer(world, retrieval, ranking)
    assert (explorer.method, explorer.strength, explorer.precision) == ("ucb", 2.0, 0.5)
    train, sequences = world.split.train, world.sequences()
    users, items = world.rows(train)
    queries = retrieval.query_embeddings(**sequences.asked_now(np.arange(tiny_world.USERS)))
    examples = world.ranking_examples(train, sequences)
    inputs = {name: tf.constant(examples[name]) for name in ("user_index", "item_index", "history")}
    chances = 1.0 / (1.0 + np.exp(-ranking(inputs).numpy()))
    features = features_of(queries[users], retrieval.candidate_embeddings()[items + 1])
    # Untrained, and so not calibrated: the chance is the sigmoid of the score.
    expected = 0.5 * np.eye(2 * queries.shape[1]) + features.T @ ((chances * (1.0 - chances))[:, None] * features)
    np.testing.assert_allclose(explorer.head.information, expected, rtol=1e-3, atol=1e-4)
    np.testing.assert_array_equal(explorer.head.coefficients, np.zeros(2 * queries.shape[1]))


def test_ratings_tell_by_their_error(tmp_path):
    stars = np.arange(108) % 5 + 1.0
    options = {"exploration": "thompson", "target": "rating"}
    world = tiny_world.prepared(tmp_path, stars, ranking=options, split={"method": "leave_one_out"})
    retrieval, ranking = tiny_world.two_tower(), tiny_world.ranker(target="rating")
    explorer = fit_explorer(world, retrieval, ranking)
    examples = world.ranking_examples(world.split.train, world.sequences())
    inputs = {name: tf.constant(examples[name]) for name in ("user_index", "item_index", "history")}
    error = np.mean((ranking(inputs).numpy() - examples["label"]) ** 2)
    queries = retrieval.query_embeddings(**world.sequences().asked_now(np.arange(tiny_world.USERS)))
    users, items = world.rows(world.split.train)
    features = features_of(queries[users], retrieval.candidate_embeddings()[items + 1])
    expected = np.eye(2 * queries.shape[1]) + features.T @ features / error
    np.testing.assert_allclose(explorer.head.information, expected, rtol=1e-3, atol=1e-4)


def test_it_is_kept_with_the_run_and_is_in_what_is_exported_alone(tmp_path, monkeypatch):
    world, retrieval, ranking = prepared(tmp_path / "world"), tiny_world.two_tower(), tiny_world.ranker()
    run = Run(tmp_path / "run")
    (run.folder / "checkpoints").mkdir(parents=True)
    with pytest.raises(RunError, match="exploration.npz is not there: the run was trained without exploration"):
        load_explorer(run, world.config)
    explorer = fit_explorer(world, retrieval, ranking)
    save_explorer(run, explorer)
    assert [path.name for path in (run.folder / "checkpoints").iterdir()] == ["exploration.npz"]
    loaded = load_explorer(run, world.config)
    for one, other in zip(loaded.get_weights(), explorer.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    seen = []
    monkeypatch.setattr("mmrec_tf.run_export.export_models", lambda engine, *_: seen.append(engine.explorer) or {})
    engine = serving_engine(world, retrieval, ranking)
    export_run(run, world, engine, {})
    assert seen[0].strength == 2.0 and engine.explorer is None
    without = tiny_world.prepared(tmp_path / "without", split={"method": "leave_one_out"})
    export_run(run, without, serving_engine(without, retrieval, ranking), {})
    assert seen[1] is None


def test_configuration():
    assert RankingConfig().exploration is None
    assert RankingConfig(exploration="ucb").exploration == ExplorationConfig(method="ucb")
    for wrong in ("greedy", {"method": "ucb", "strength": -1.0}, {"strength": 1.0}):
        with pytest.raises(ValueError, match="exploration"):
            RankingConfig(exploration=wrong)

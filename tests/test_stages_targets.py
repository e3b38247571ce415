"""Several targets from the log to the exported model."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.data.validation import validate_frames
from mmrec_tf.errors import DataError
from mmrec_tf.evaluation.report import write_report
from mmrec_tf.models.build import build_ranker, build_two_tower
from mmrec_tf.recommend.search import NOTHING
from mmrec_tf.run_export import serving_engine
from mmrec_tf.serving.signatures import model_signatures
from mmrec_tf.stages import evaluate_models, train_ranking
from tests import target_world, tiny_world

LIKED = {"column": "minutes", "positive_from": 3.0}


def test_trained_judged_saved_and_exported(tmp_path):
    order = {"click": 1, "purchase": 0.5, "minutes": 0.1}
    prepared = target_world.prepared(tmp_path, "esmm", order_by=order)
    retrieval = build_two_tower(
        prepared.config, prepared.users, prepared.items, prepared.sequences().item_index, prepared.trends()
    )
    model, history = train_ranking(prepared, retrieval)
    train, epochs = prepared.split.train, len(history["loss"])
    for name in ("click", "purchase", "minutes"):
        assert len(history[f"{name} loss"]) == epochs and np.isfinite(history[f"{name} loss"]).all()
    # Numbers start from their mean and spread, purchases from how often they follow a click.
    minutes, bought = train["minutes"].dropna(), train["bought"].dropna().mean()
    assert float(model.target_heads["minutes"].centre) == pytest.approx(minutes.mean(), rel=1e-5)
    assert float(model.target_heads["minutes"].scale) == pytest.approx(minutes.std(ddof=0), rel=1e-5)
    assert float(model.target_heads["purchase"].centre) == pytest.approx(np.log(bought / (1 - bought)), rel=1e-5)

    metrics = evaluate_models(prepared, retrieval, model)
    test = prepared.split.test
    assert {name: figures["pairs"] for name, figures in metrics["targets"].items()} == {
        "purchase": int(test["clicked"].sum()),
        "minutes": int(test["clicked"].sum()),
    }
    page = tmp_path / "report.html"
    write_report(
        page, title="t", facts={}, metrics=metrics, validation={"rows": {}, "problems": []}, history={}, examples=[]
    )
    shown = page.read_text()
    assert "<h4>purchase</h4>" in shown and "Joint AUC" in shown and "Spread" in shown

    model.save_weights(str(tmp_path / "ranking.weights.h5"))
    fresh = build_ranker(prepared.config, prepared.users, prepared.items, prepared.context)
    fresh.load_weights(str(tmp_path / "ranking.weights.h5"))
    for one, other in zip(fresh.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(one, other)
    # So that lists are in the ranker's order alone.
    fresh.similarity_weight.assign(0.0)
    engine = serving_engine(prepared, retrieval, fresh)
    signatures = model_signatures(engine, k=5, modality_weights=False)["ranking"]
    tf.saved_model.save(engine, str(tmp_path / "ranking"), signatures=signatures)
    users, items = tf.constant(["u3", "nobody"]), tf.constant([["i4", "i9", "i28"], ["i1", "", ""]])
    answer = tf.saved_model.load(str(tmp_path / "ranking")).signatures["rank"](user_id=users, item_ids=items)
    assert {name: value.dtype for name, value in answer.items()} == dict.fromkeys(
        ("score", "purchase", "minutes", "order"), tf.float32
    )
    in_process, told = engine.rank_targets(users, items), items.numpy() != b""
    for name, value in answer.items():
        np.testing.assert_allclose(value.numpy(), in_process[name].numpy(), rtol=1e-4, atol=1e-5)
        np.testing.assert_array_equal(value.numpy()[~told], NOTHING)
    product = answer["score"] * answer["purchase"] ** 0.5 * tf.exp(0.1 * answer["minutes"])
    np.testing.assert_allclose(np.exp(answer["order"].numpy()[told]), product.numpy()[told], rtol=1e-4)
    # Of a single item for each user likewise; and `recommend` goes by the same order.
    single = engine.rank_targets(users, items[:, 0])
    np.testing.assert_allclose(single["order"], answer["order"][:, 0], rtol=1e-4, atol=1e-5)
    names, scores = engine.recommend(users[:1], tf.constant(5))
    np.testing.assert_allclose(scores[0], engine.rank_targets(users[:1], names)["order"][0], rtol=1e-3, atol=1e-4)


def test_batches_hold_what_is_known_of_every_target(tmp_path):
    prepared = target_world.prepared(tmp_path, "mmoe", negatives=2, targets={**target_world.TARGETS, "liked": LIKED})
    labels = {name: [0.0, 0.0] for name in ("purchase", "minutes", "liked")}
    for batch in prepared.ranking_dataset(30):
        assert batch["item_index"].shape == (10, 3)
        weight = batch["weight"].numpy()
        for name, said in batch["targets"].items():
            assert said["label"].shape == said["weight"].shape == (10, 3)
            labels[name][0] += float(tf.reduce_sum(said["label"]))
            labels[name][1] += float(tf.reduce_sum(said["weight"]))
            # Drawn items: never bought, as far as they count; of the others nothing is known.
            assert not said["label"].numpy()[:, 1:].any()
            expected = weight[:, 1:] if name == "purchase" else np.zeros([10, 2])
            np.testing.assert_array_equal(said["weight"].numpy()[:, 1:], expected)
    train = prepared.split.train
    # The incomplete last batch is left out, of ten rows at the most.
    assert 0 <= train["bought"].sum() - labels["purchase"][0] <= 9
    assert 0 <= train["minutes"].notna().sum() - labels["minutes"][1] <= 9
    assert labels["liked"][1] == labels["minutes"][1]


@pytest.mark.parametrize(
    ("cells", "message"),
    [
        (["yes", "no"], "interactions.bought: non_finite_number, 4 rows, first in row 0: 'yes'. A target is a number"),
        (None, "interactions.bought: missing_column"),
    ],
)
def test_a_column_that_cannot_be_learned_stops_before_anything_is_done(cells, message):
    frame = target_world.log().head(4).drop(columns="bought")
    if cells is not None:
        frame["bought"] = cells * 2
    tables = (tiny_world.SCHEMA, frame, tiny_world.items_frame(), tiny_world.users_frame())
    with pytest.raises(DataError, match=message):
        validate_frames(*tables, label="clicked", targets=["bought"])


def test_single_cells_that_are_no_number_are_not_known_and_reported():
    frame = target_world.log().head(4)
    frame["bought"] = ["1", "perhaps", "", "0"]
    tables = (tiny_world.SCHEMA, frame, tiny_world.items_frame(), tiny_world.users_frame())
    data, report = validate_frames(*tables, label="clicked", targets=["bought", "minutes", "clicked"])
    np.testing.assert_array_equal(data.interactions["bought"], [1.0, np.nan, np.nan, 0.0])
    np.testing.assert_array_equal(data.interactions["minutes"], frame["minutes"])
    assert data.interactions["clicked"].dtype == np.float32
    (problem,) = report.of_kind("non_finite_number")
    assert (problem.column, problem.row, problem.value, problem.action) == ("bought", 1, "'perhaps'", "filled")
    notes = {problem.column: problem.remedy for problem in report.of_kind("missing_number")}
    assert notes["bought"] == "These rows do not teach this target."


def test_a_target_of_one_class_stops_before_items_are_embedded(tmp_path):
    frame = target_world.log()
    frame["bought"] = frame["bought"] * 0.0
    with pytest.raises(DataError, match="the target purchase has nothing to learn.*in none of them bought is above 0"):
        target_world.prepared(tmp_path, "esmm", frame=frame)
    assert not (tmp_path / "store").exists()

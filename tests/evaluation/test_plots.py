import xml.etree.ElementTree as ElementTree

import matplotlib

from mmrec_tf.evaluation.plots import metric_bars, reliability_plot, training_curves

SVG = "{http://www.w3.org/2000/svg}"
ROWS = {"popularity": {"recall@10": 0.03, "ndcg@10": 0.01}, "two_tower": {"recall@10": 0.12, "ndcg@10": None}}


def _texts(svg):
    return ["".join(text.itertext()).strip() for text in ElementTree.fromstring(svg).iter(f"{SVG}text")]


def test_bars_show_names_titles_and_values():
    texts = _texts(metric_bars(ROWS, ["recall@10", "ndcg@10"], ["popularity"]))
    for expected in ("popularity", "two tower", "Recall@10", "NDCG@10", "0.030", "0.120", "0.010", "0.000"):
        assert expected in texts


def test_baselines_are_grey_and_chance_is_marked():
    svg = metric_bars(ROWS, ["recall@10"], ["popularity"])
    assert (svg.count("fill: var(--other)"), svg.count("fill: var(--ours)")) == (1, 1)
    marked = metric_bars(ROWS, ["recall@10"], ["popularity"], chance={"recall@10": 0.01})
    assert any("chance" in text for text in _texts(marked))
    assert not any("chance" in text for text in _texts(svg))


def test_the_first_model_stands_on_top():
    heights = {
        "".join(text.itertext()).strip(): float(text.attrib["y"])
        for text in ElementTree.fromstring(metric_bars(ROWS, ["recall@10", "ndcg@10"], [])).iter(f"{SVG}text")
        if "y" in text.attrib
    }
    assert heights["popularity"] < heights["two tower"]


def test_colours_follow_the_readers_mode():
    svg = metric_bars(ROWS, ["recall@10"], [])
    assert "prefers-color-scheme:dark" in svg
    assert "fill: #1c2733" not in svg


def test_curves_have_a_panel_for_losses_and_one_for_scores():
    history = {"loss": [3.0, 2.0], "val_loss": [3.5, 2.6], "validation NDCG@10": [0.1, 0.2]}
    texts = _texts(training_curves(history))
    assert {"Loss", "Val loss", "Validation NDCG@10", "epoch"} <= set(texts)
    assert texts.count("epoch") == 2
    assert _texts(training_curves({"loss": [3.0]})).count("epoch") == 1


def test_reliability_has_a_line_for_what_was_trained_and_one_for_what_is_predicted():
    curves = {"calibrated": [[0.1, 0.12, 50], [0.6, 0.58, 50]], "uncalibrated": [[0.2, 0.12, 50], [0.9, 0.58, 50]]}
    svg = reliability_plot(curves)
    assert {"as trained", "calibrated", "predicted chance, mean of a bin"} <= set(_texts(svg))
    assert "as trained" not in _texts(reliability_plot({"calibrated": curves["calibrated"]}))
    # One point, and nothing but zeros, are drawn too.
    assert _texts(reliability_plot({"calibrated": [[0.0, 0.0, 9]]}))


def test_the_same_figures_give_the_same_picture():
    assert metric_bars(ROWS, ["recall@10"], []) == metric_bars(ROWS, ["recall@10"], [])


def test_global_settings_stay_as_they_were():
    before = dict(matplotlib.rcParams)
    metric_bars(ROWS, ["recall@10"], [])
    training_curves({"loss": [1.0]})
    assert dict(matplotlib.rcParams) == before

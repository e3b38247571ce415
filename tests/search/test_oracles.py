"""KerasTuner's oracles: what they propose, that they go on after a kill, and that they leave Keras 2 models alone."""

import json
import math

import numpy as np
import pytest
import tensorflow as tf
import tf_keras

from mmrec_tf.errors import RunError
from mmrec_tf.search.oracles import Oracle
from mmrec_tf.search.space import Choices, Span

METHODS = ("random", "bayesian", "hyperband")
SPACE = {
    "rate": Span(1e-4, 1e-1, is_log=True),
    "width": Choices((16, 32, 64, 128)),
    "layers": Span(1, 9, is_whole=True),
    "kind": Choices((None, "a", [1, 2])),
}
START = {"rate": 0.001, "width": 32, "layers": 2, "kind": None}


def known_score(settings) -> float:
    """1 at a rate of 0.01, width 64, 5 layers and kind a."""
    return (
        1.0
        - 0.2 * (math.log10(settings["rate"]) + 2.0) ** 2
        - abs(settings["width"] - 64) / 300
        - abs(settings["layers"] - 5) / 40
        - 0.2 * (settings["kind"] != "a")
    )


def search(oracle, count):
    """What is proposed, after telling the known score of each."""
    found = []
    for _ in range(count):
        proposal = oracle.ask()
        oracle.tell(proposal.key, known_score(proposal.settings))
        found.append(proposal)
    return found


@pytest.mark.parametrize("method", METHODS)
def test_the_start_comes_first_and_then_values_of_the_space(method, tmp_path):
    first, *others = search(Oracle(method, SPACE, START, tmp_path / "oracle.json", epochs=9, initial=6), 8)
    assert first.settings == START
    for proposal in others:
        assert list(proposal.settings) == list(SPACE)
        assert all(domain.holds(proposal.settings[name]) for name, domain in SPACE.items())
        rate = proposal.settings["rate"]
        assert isinstance(proposal.settings["layers"], int) and rate == float(f"{rate:.3g}")
    assert len({proposal.settings["width"] for proposal in others}) > 1


def test_rates_are_drawn_by_their_logarithm(tmp_path):
    found = []
    oracle = Oracle("random", {"rate": SPACE["rate"]}, None, tmp_path / "oracle.json")
    for _ in range(60):
        found.append(oracle.ask())
        oracle.tell(found[-1].key, 0.0)
    # Half of them below the middle of the exponents, 10 ** -2.5: 30 of 60, with a standard deviation of 4.
    below = sum(proposal.settings["rate"] < 10**-2.5 for proposal in found)
    assert 15 <= below <= 45


def test_a_model_of_the_scores_finds_the_best_settings(tmp_path):
    space = {name: SPACE[name] for name in ("rate", "kind")}
    fixed = {"width": 64, "layers": 5}
    oracle = Oracle("bayesian", space, {"rate": 0.0001, "kind": None}, tmp_path / "oracle.json", initial=4)
    found = []
    for _ in range(12):
        proposal = oracle.ask()
        found.append(known_score({**fixed, **proposal.settings}))
        oracle.tell(proposal.key, found[-1])
    # The start is two decades and a kind away: 1 - 0.2 * 4 - 0.2. Within a third of a decade it is above 0.97.
    assert found[0] == pytest.approx(0.0) and max(found) > 0.97


def test_bayesian_repeats_no_choice_and_ends_when_all_were_tried(tmp_path):
    space = {"width": Choices((1, 2, 3)), "kind": Choices(("a", "b"))}
    oracle = Oracle("bayesian", space, {"width": 1, "kind": "a"}, tmp_path / "oracle.json", initial=3)
    found = []
    while (proposal := oracle.ask()) is not None:
        oracle.tell(proposal.key, float(proposal.settings["width"]))
        found.append(tuple(proposal.settings.values()))
    assert sorted(found) == [(width, kind) for width in (1, 2, 3) for kind in "ab"]


def test_hyperband_gives_the_better_half_more_epochs(tmp_path):
    found = search(Oracle("hyperband", SPACE, START, tmp_path / "oracle.json", epochs=9), 16)
    assert found[0].epochs is None
    # Nine epochs, by a factor of 3: nine trials of one epoch, the best three of them of three, the best of nine.
    assert [proposal.epochs for proposal in found[1:14]] == [1] * 9 + [3] * 3 + [9]
    scores = sorted((known_score(proposal.settings) for proposal in found[1:10]), reverse=True)
    again = [known_score(proposal.settings) for proposal in found[10:14]]
    assert again == [*scores[:3], scores[0]]


@pytest.mark.parametrize("method", METHODS)
def test_a_search_that_was_killed_goes_on_as_it_would_have_gone_on(method, tmp_path):
    options = {"seed": 3, "epochs": 4, "initial": 3}
    expected = search(Oracle(method, SPACE, START, tmp_path / "whole.json", **options), 7)
    found = search(Oracle(method, SPACE, START, tmp_path / "cut.json", **options), 4)
    # Asked for and not told of: it is proposed once more.
    cut_off = Oracle(method, SPACE, START, tmp_path / "cut.json", **options).ask()
    found += search(Oracle(method, SPACE, START, tmp_path / "cut.json", **options), 3)
    assert found == expected and cut_off == expected[4]


def test_seeds_differ_and_zero_is_one_of_them(tmp_path):
    one, same, other = (
        search(Oracle("random", SPACE, None, tmp_path / f"{name}.json", seed), 3)
        for name, seed in (("one", 0), ("same", 0), ("other", 1))
    )
    assert one == same != other


def test_a_damaged_file_is_refused_with_advice(tmp_path):
    path = tmp_path / "oracle.json"
    search(Oracle("random", SPACE, START, path), 2)
    assert json.loads(path.read_text())["trials"]
    path.write_text(path.read_text()[:50])
    with pytest.raises(RunError, match="oracle.json is damaged.*--overwrite"):
        Oracle("random", SPACE, START, path)


def test_keras_3_beside_them_changes_nothing_for_keras_2():
    assert issubclass(tf.keras.layers.Layer, tf_keras.layers.Layer)
    model = tf_keras.Sequential([tf_keras.layers.Dense(1, use_bias=False, kernel_initializer="ones")])
    model.compile(optimizer=tf_keras.optimizers.SGD(0.5), loss="mse")
    model.fit(np.ones([4, 1]), np.full([4, 1], 2.0), epochs=1, verbose=0)
    # One step of 0.5 along the gradient 2 * (1 - 2).
    np.testing.assert_allclose(model.get_weights(), [[[2.0]]])
    assert type(model.weights[0]).__module__.startswith("tensorflow.")

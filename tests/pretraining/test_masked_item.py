"""Masked-item modelling: which windows are shown, what is hidden in them, and that what is hidden is found."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.config_pretraining import MaskedItemConfig
from mmrec_tf.data.sequences import Sequences
from mmrec_tf.errors import ConfigError
from mmrec_tf.pretraining.fitting import fit_stage
from mmrec_tf.pretraining.masked_item import HiddenItems, MaskedItemStage, masked_item
from tests import tiny_world
from tests.pretraining.worlds import world


def histories(items, length=3):
    """Sequences of users, each a list of item rows in order."""
    users = [user for user, rows in enumerate(items) for _ in rows]
    rows = [row for user in items for row in user]
    return Sequences(np.array(users), np.array(rows), np.arange(len(rows), dtype=float), len(items), length)


def batch_of(hidden, seed=(0, 0)):
    return {**{name: tf.constant(array) for name, array in hidden.arrays.items()}, "seed": tf.constant(seed)}


def windows(sequences, hide=0.0, draws=60):
    """Every example with the histories it was shown with: (user, item, position) -> set of tuples."""
    hidden = HiddenItems(sequences, hide)
    found = {}
    for step in range(draws):
        shown = hidden(batch_of(hidden, (1, step)))
        for row, history in enumerate(shown["history"].numpy()):
            key = (int(shown["user_index"][row]), int(shown["item_index"][row]), int(hidden.arrays["position"][row]))
            found.setdefault(key, set()).add(tuple(int(item) for item in history))
    return found


def test_windows_are_those_that_hold_the_example_with_a_gap_in_its_place():
    # One user with items 1 to 4 in order (rows 0 to 3), windows of three; 0 stands for the gap and for what is not
    # there. Item 3 lies last in (1, 2, 3), in the middle of (2, 3, 4), and first of what would begin with it.
    found = windows(histories([[0, 1, 2, 3]]))
    assert found[(1, 3, 2)] == {(1, 2, 0), (2, 0, 4)}
    assert found[(1, 1, 0)] == {(0, 0, 0), (0, 0, 2), (0, 2, 3)}
    assert found[(1, 4, 3)] == {(2, 3, 0)}


def test_windows_hold_one_users_items_only():
    found = windows(histories([[0, 1], [2, 3, 4], [5]]))
    for (user, _, _), shown in found.items():
        own = {1: {1, 2}, 2: {3, 4, 5}, 3: {6}}[user]
        assert {item for history in shown for item in history} <= own | {0}
    # Somebody with one interaction is an example without a history.
    assert found[(3, 6, 5)] == {(0, 0, 0)}


def test_other_occurrences_of_the_hidden_item_are_hidden_too():
    found = windows(histories([[0, 1, 0, 2]]))
    assert all(1 not in history for history in found[(1, 1, 0)] | found[(1, 1, 2)])


def test_further_items_are_hidden_by_chance():
    sequences = histories([list(range(40))], length=20)
    rows = [
        sum(item > 0 for item in history)
        for hide in (0.0, 0.5)
        for shown in [windows(sequences, hide, draws=4)]
        for history in shown[(1, 30, 29)]
    ]
    # The windows around an item in the middle are full: 19 others, of which half stay.
    assert max(rows) == 19 and min(rows) < 15


def test_the_loss_is_the_models_own():
    model = tiny_world.calm_two_tower()
    batch = {name: tf.constant(array) for name, array in tiny_world.retrieval_batch().items()}
    values = MaskedItemStage(model)(batch)
    assert float(values["loss"]) == pytest.approx(float(model.compute_loss(batch)), rel=1e-6)


def test_a_batch_of_one_is_no_question():
    model = tiny_world.calm_two_tower(negatives={"source": "in_batch"})
    batch = {name: tf.constant(array) for name, array in tiny_world.retrieval_batch(slice(3, 4)).items()}
    assert float(MaskedItemStage(model)(batch)["loss"]) == pytest.approx(0.0, abs=1e-6)


@pytest.mark.slow
def test_hidden_items_are_found_more_often_than_before(tmp_path):
    model, prepared = world(tmp_path, split={"method": "leave_one_out"})
    options = MaskedItemConfig(epochs=60, batch_size=36, learning_rate=0.02)
    stage, batches, sources = masked_item(model, prepared, options, seed=0)
    hidden = HiddenItems(prepared.sequences(), hide=0.0)

    def hit_rate():
        shown = hidden(batch_of(hidden, (5, 5)))
        queries = model.embed_query(shown["user_index"], shown["history"])
        scores = tf.matmul(queries, model.embed_candidate(tf.range(1, 28)), transpose_b=True)
        return float(np.mean(tf.math.in_top_k(shown["item_index"] - 1, scores, 5)))

    before = hit_rate()
    fit_stage(stage, batches, options, sources=sources, seed=0)
    # Five of 27 items are shown: 0.19 by chance.
    assert before < 0.4 and hit_rate() > before + 0.2


def test_examples_are_judged_at_their_own_moments(tmp_path):
    model, prepared = world(tmp_path)
    _, batches, _ = masked_item(model, prepared, MaskedItemConfig(batch_size=16), seed=1)
    sequences, trends = prepared.sequences(), prepared.trends()
    np.testing.assert_array_equal(batches.arrays["moment"], trends.periods(sequences.times))
    assert "moment" in batches.change(batch_of(batches.change))


def test_the_stage_of_a_configuration(tmp_path):
    model, prepared = world(tmp_path)
    stage, batches, sources = masked_item(model, prepared, MaskedItemConfig(hide=0.3, batch_size=16), seed=1)
    assert stage.two_tower is model and batches.batch_size == 16 and batches.change.hide == 0.3
    assert batches.count == len(prepared.sequences())
    assert batches.epochs(0, 1).element_spec["history"].shape == [16, tiny_world.HISTORY]
    assert any(np.array_equal(array, prepared.users.id_index) for array in sources)


def test_without_histories_nothing_can_be_hidden(tmp_path):
    model, prepared = world(tmp_path, retrieval={"history_length": 0})
    with pytest.raises(ConfigError, match="history_length is 0"):
        masked_item(model, prepared, MaskedItemConfig(), seed=1)

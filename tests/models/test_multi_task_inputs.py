"""Multi-task training on data that say little: nothing counted in a batch, nothing to learn at all."""

import numpy as np
import pytest
import tensorflow as tf

from mmrec_tf.config_tasks import TasksConfig
from mmrec_tf.errors import DataError
from mmrec_tf.models.multi_task import build_multi_task
from mmrec_tf.training.fit import fit
from tests import tiny_world
from tests.multi_task_world import CALM, first_batch, world


def test_a_batch_in_which_nothing_is_counted(tmp_path):
    head = {"task": "category", "feature": "category"}
    prepared, two_tower, model = world(tmp_path, heads=[head], calm=True)
    batch = dict(first_batch(prepared))
    without_content = 1 + tiny_world.WITHOUT_MODALITIES
    batch["item_index"] = tf.fill([12], without_content)
    with tf.GradientTape() as tape:
        loss = model.compute_loss(batch, training=True)
    # The head adds nothing, not even to its own weight.
    assert float(loss) == pytest.approx(float(two_tower.compute_loss(batch, training=True)), abs=1e-6)
    gradients = tape.gradient(loss, [*model.heads["category"].trainable_weights, model.balance.log_variances])
    np.testing.assert_array_equal(gradients[0].numpy(), 0.0)
    assert gradients[2].numpy()[1] == 0.0
    assert float(model.means["category"].result()) == 0.0


def test_items_without_a_category_are_not_counted(tmp_path):
    head = {"task": "category", "feature": "tags"}
    prepared, _, model = world(tmp_path, heads=[head], calm=True)
    batch = dict(first_batch(prepared))
    # Rows 0, 3, 6 have no tags; row 1 has one.
    batch["item_index"] = tf.constant([1, 4, 7, 2])
    read = model._read_items(batch, training=False)["category"]
    assert float(model.heads["category"].loss(read)[1]) == 1


@pytest.mark.parametrize("feature", ["category", "tags"])
def test_windows_of_which_all_positions_are_learned(tmp_path, feature):
    windows = {**CALM, "history": {"encoder": "transformer", "all_positions": True}}
    prepared, _, model = world(
        tmp_path,
        heads=[{"task": "category", "feature": feature}],
        retrieval=windows,
        fusion={"modality_dropout": 0.0},
    )
    batch = first_batch(prepared)
    items = batch["item_index"].numpy()
    assert items.ndim == 2 and (items == 0).any()
    loss, count = model._judge(batch, training=True)
    # Each item that is not padding, as often as it stands in the windows.
    shown = {**batch, "item_index": tf.constant(items[items > 0])}
    expected, expected_count = model._judge(shown, training=True)
    name = next(iter(model.heads))
    assert float(count[name]) == float(expected_count[name])
    assert float(loss[name]) == pytest.approx(float(expected[name]), rel=1e-5)
    history = fit(model, prepared.multi_task_dataset(12), epochs=1, learning_rate=0.01, patience=1)
    assert np.isfinite(history["loss"]).all()


@pytest.mark.parametrize(
    ("heads", "labels", "options", "answer"),
    [
        (
            ["rating"],
            np.full(108, 4.0),
            {},
            "rating head has nothing to learn: all 72 training labels in 'stars' are 4",
        ),
        (
            ["sentiment"],
            np.linspace(3, 5, 108),
            {},
            "sentiment head has nothing to learn.*go from .* to .*, all on one side of data.positive_from 2.5",
        ),
    ],
)
def test_labels_with_nothing_to_learn(tmp_path, heads, labels, options, answer):
    with pytest.raises(DataError, match=answer):
        world(tmp_path, heads=heads, labels=labels, **options)


def test_categories_with_nothing_to_learn(tmp_path):
    prepared, two_tower, _ = world(tmp_path, heads=["rating"])
    config = prepared.config.model_copy(
        update={"tasks": TasksConfig(heads=[{"task": "category", "feature": "category"}])}
    )
    table = prepared.items
    masks = dict(table.masks)
    table.masks.update({name: np.zeros_like(mask) for name, mask in masks.items()})
    with pytest.raises(DataError, match="no item of the training interactions has both a 'category' and content"):
        build_multi_task(config, prepared, two_tower)
    table.masks.update(masks)
    table.vocabularies["category"] = type(table.vocabularies["category"])(["c0"])
    with pytest.raises(DataError, match="the items of the training interactions have 1 categories in 'category'"):
        build_multi_task(config, prepared, two_tower)

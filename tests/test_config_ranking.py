"""The configuration's section about the ranker: what it refuses, and how."""

import pytest
from pydantic import ValidationError

from mmrec_tf.config_ranking import RankingConfig
from tests import tiny_world


def test_defaults_are_those_of_deepfm():
    options = RankingConfig()
    assert (options.model, options.target, options.loss, options.own_settings) == ("deepfm", "click", None, {})


def test_own_settings_are_those_that_are_given():
    options = RankingConfig(model="bst", blocks=3)
    assert options.own_settings == {"blocks": 3}
    # As a run's config.yaml is read back, where everything is written down.
    assert RankingConfig(**options.model_dump()) == options


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "deep_fm"}, "there is no ranker 'deep_fm'. Did you mean 'deepfm'"),
        ({"model": "din", "heads": 2}, "heads is no setting of din, which takes attention_hidden"),
        ({"cross_layers": 2}, "cross_layers is no setting of deepfm, which takes none of its own"),
        ({"loss": "soft_max"}, "loss 'soft_max' is none for the target click. Did you mean 'softmax'"),
        ({"target": "rating", "loss": "pairwise"}, "Allowed: mse, huber, ordinal"),
        ({"loss": "list_mle", "negatives": 0, "hard_negatives": 0}, "set negatives or hard_negatives above 0"),
        ({"levels": [1, 3, 2]}, "levels must rise"),
        ({"model": "bst", "dim": 6, "heads": 4}, "heads is 4, which does not divide dim, 6. Choose one of 1, 2, 3, 6"),
        ({"model": "autoint", "dim": 7}, "heads is 2, which does not divide dim, 7"),
        ({"model": "finalmlp", "hidden": [8, 5]}, "does not divide the last of hidden, 5"),
        ({"model": "finalmlp", "second_hidden": [5]}, "does not divide the last of second_hidden, 5"),
        ({"model": "finalmlp", "hidden": []}, "Give the last of hidden one width or more"),
        ({"number_embedding": "spline"}, "number_embedding"),
        ({"calibration": "beta"}, "calibration"),
        ({"negatives_kept": 0.0}, "negatives_kept"),
        ({"negatives_kept": 0.1}, "set target to click, negatives and hard_negatives to 0"),
        (
            {"negatives_kept": 0.1, "negatives": 0, "hard_negatives": 0, "target": "rating"},
            "set target to click, negatives and hard_negatives to 0",
        ),
        ({"grades": True, "target": "rating"}, "set target to click and loss to log_loss.*The target is rating"),
        ({"grades": True, "loss": "pairwise"}, "the loss pairwise"),
        ({"position": "place", "loss": "softmax"}, "position needs the target click with log_loss, got click"),
        ({"position": "place", "target": "rating"}, "got rating with its default"),
    ],
)
def test_refuses_with_advice(settings, message):
    with pytest.raises(ValidationError, match=message):
        RankingConfig(**settings)


@pytest.mark.parametrize(
    ("settings", "learns"),
    [
        ({}, False),
        ({"negatives": 0, "hard_negatives": 0}, True),
        ({"negatives": 0, "hard_negatives": 0, "grades": False}, False),
        ({"negatives": 0, "hard_negatives": 0, "negatives_kept": 0.5}, False),
        ({"target": "rating"}, False),
        ({"loss": "softmax"}, False),
        ({"grades": True}, True),
    ],
)
def test_grades_are_learned_where_every_interaction_is_taken_as_it_is(settings, learns):
    assert RankingConfig(**settings).learns_grades is learns


@pytest.mark.parametrize(
    ("levels", "label_range", "expected"),
    [
        ([0.5, 1.0], [1, 5], [0.5, 1.0]),
        (None, [1, 4], [1.0, 2.0, 3.0, 4.0]),
        (None, [0.5, 5], None),
        (None, None, None),
    ],
)
def test_rating_levels(levels, label_range, expected):
    data = {"label": "stars", "label_range": label_range}
    assert tiny_world.config(data=data, ranking={"levels": levels}).rating_levels == expected


def test_ordinal_needs_levels():
    ranking = {"target": "rating", "loss": "ordinal"}
    with pytest.raises(ValidationError, match="set models.ranking.levels"):
        tiny_world.config(data={"label": "stars"}, ranking=ranking)
    assert tiny_world.config(data={"label": "stars", "label_range": [1, 5]}, ranking=ranking)


def test_position_is_a_number_of_the_context():
    schema = tiny_world.SCHEMA.model_dump()
    schema["context"] += [{"name": "place", "kind": "number"}, {"name": "device", "kind": "categorical"}]
    assert tiny_world.config(schema=schema, ranking={"position": "place"}).models.ranking.position == "place"
    with pytest.raises(ValidationError, match="position 'device' is no number of schema.context. Allowed: place"):
        tiny_world.config(schema=schema, ranking={"position": "device"})
    with pytest.raises(ValidationError, match="position 'place' is no number of schema.context. Allowed: none"):
        tiny_world.config(ranking={"position": "place"})


@pytest.mark.parametrize(
    ("settings", "interactions", "positives", "members"),
    [
        ({}, 900_000, 142_857, 4),  # 142,857 * (1 + 4 + 2) = 999,999 pairs
        ({}, 900_000, 142_858, 1),
        ({"negatives": 0, "hard_negatives": 0}, 1_000_000, 10, 4),
        ({"target": "rating"}, 1_000_001, 10, 1),
        ({"members": 2}, 10**9, 10**9, 2),
        ({"members": 1}, 10, 10, 1),
    ],
)
def test_members_are_several_where_an_epoch_is_short(settings, interactions, positives, members):
    assert RankingConfig(**settings).with_members(interactions, positives).members == members

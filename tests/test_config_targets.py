"""The configuration of several targets: what it fills in, what it refuses, and how."""

import pytest
from pydantic import ValidationError

from mmrec_tf.config_file import dump_config, parse_config
from mmrec_tf.config_ranking import RankingConfig
from mmrec_tf.config_targets import SEVERAL_TARGETS, TargetConfig, target_columns
from mmrec_tf.errors import ConfigError
from mmrec_tf.models.rankers import make_ranker, ranker_class, ranker_names
from tests import tiny_world
from tests.models.rankers.worlds import only_ids

PURCHASE = {"purchase": {"column": "bought"}}


def test_the_rankers_of_several_targets_are_those_whose_init_takes_them():
    takers = [name for name in ranker_names() if hasattr(ranker_class(name), "target_outputs")]
    assert takers == SEVERAL_TARGETS
    assert only_ids("ple", hidden=[3], targets={"stars": {"kind": "rating"}}).target_names == ["click", "stars"]
    with pytest.raises(ConfigError, match="targets is no setting of fm"):
        make_ranker("fm", None, None, 2, targets={})


def test_a_target_is_read_from_the_column_of_its_name_unless_told_otherwise():
    options = RankingConfig(model="mmoe", targets={"stars": {"kind": "rating"}, **PURCHASE})
    assert target_columns(options.targets) == {"stars": "stars", "purchase": "bought"}
    assert (options.weighting, options.order_by, options.targets["purchase"].weight) == ("uncertainty", None, 1.0)


def test_what_comes_after_the_click():
    chain = {"cart": {"after": "click"}, "purchase": {"after": "cart"}, "returned": {}, "refund": {"after": "returned"}}
    options = RankingConfig(model="mmoe", targets=chain)
    assert options.targets_after_main == ["cart", "purchase"]
    # Of ESMM what happens comes after the click; numbers do not.
    options = RankingConfig(
        model="esmm", targets={"cart": {}, "purchase": {"after": "cart"}, "stars": {"kind": "rating"}}
    )
    assert [target.after for target in options.learned_targets.values()] == ["click", "cart", None]
    # What was written stays as it was written.
    assert options.targets["cart"].after is None
    assert RankingConfig(**options.model_dump()) == options


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"model": "deepfm", "targets": PURCHASE}, "deepfm learns one target only. Set model to one of shared_bottom"),
        ({"targets": {"click": {}}}, "'click' cannot be the name of a target"),
        ({"targets": {"score": {}}}, "none of click, score, order"),
        ({"targets": {"is bought": {}}}, "Take letters, digits and _"),
        (
            {"targets": {"cart": {"after": "clik"}}},
            "after 'clik', which is no target of kind click. Did you mean 'click'",
        ),
        ({"targets": {"stars": {"kind": "rating"}, "cart": {"after": "stars"}}}, "no target of kind click"),
        ({"targets": {"a": {"after": "b"}, "b": {"after": "a"}}}, "a after b after a goes in a circle"),
        ({"targets": {"cart": {"after": "click"}}, "loss": "softmax"}, "whose loss softmax gives no chances"),
        ({"targets": {"stars": {"kind": "rating", "positive_from": 3}}}, "positive_from is for what happens or not"),
        ({"targets": {"stars": {"kind": "rating", "after": "click"}}}, "after is for what happens or not"),
        ({"targets": {"stars": {"kind": "rating", "loss": "log_loss"}}}, "Allowed: mse, huber"),
        ({"targets": {"cart": {"weight": 0}}}, "weight"),
        ({"targets": {"cart": {"colum": "bought"}}}, "colum"),
        ({"targets": PURCHASE, "order_by": {"purchas": 1}}, "'purchas' is no target. Did you mean 'purchase'"),
        ({"targets": PURCHASE, "order_by": {"purchase": float("nan")}}, "give a finite number"),
        ({"targets": PURCHASE, "order_by": {"purchase": 0}}, "no exponent but 0"),
        ({"targets": PURCHASE, "order_by": {}}, "no exponent but 0"),
        ({"model": "esmm"}, "name a target of kind click"),
        ({"model": "esmm", "target": "rating", "targets": PURCHASE}, "set target to click"),
        ({"hidden": []}, "share 1 of the layers of hidden, which has 0"),
        ({"model": "ple", "shared_layers": 3}, "share 3 of the layers of hidden, which has 2"),
        ({"experts": 2, "model": "shared_bottom"}, "experts is no setting of shared_bottom"),
    ],
)
def test_refuses_with_advice(settings, message):
    with pytest.raises(ValidationError, match=message):
        RankingConfig(**{"model": "mmoe", **settings})


def test_the_models_do_not_see_their_answers():
    schema = tiny_world.SCHEMA.model_dump()
    schema["context"].append({"name": "cart", "kind": "number", "columns": ["bought"]})
    for target in ("cart", "bought"):
        with pytest.raises(
            ValidationError, match=f"column '{target}', which is also the feature 'cart' of schema.context"
        ):
            tiny_world.config(schema=schema, ranking={"model": "mmoe", "targets": {target: {}}})
    with pytest.raises(ValidationError, match="column 'item_id', which is also the id of the item"):
        tiny_world.config(ranking={"model": "mmoe", "targets": {"item_id": {}}})
    with pytest.raises(ValidationError, match="column 'part', which is also split.column"):
        tiny_world.config(
            split={"method": "column", "column": "part"}, ranking={"model": "mmoe", "targets": {"part": {}}}
        )
    # Another reading of the label is no answer that they see.
    stars = {"stars": {"kind": "rating"}}
    assert tiny_world.config(data={"label": "stars", "positive_from": 4}, ranking={"model": "mmoe", "targets": stars})


def test_goes_through_the_file_and_names_what_is_misspelt(tmp_path):
    ranking = {"model": "esmm", "targets": PURCHASE, "order_by": {"click": 1, "purchase": 0.5}, "weighting": "fixed"}
    config = tiny_world.config(ranking=ranking)
    import yaml

    written = dump_config(config)
    assert parse_config(yaml.safe_load(written), tmp_path).models.ranking == config.models.ranking
    content = yaml.safe_load(written)
    content["models"]["ranking"]["targets"]["purchase"]["afer"] = "click"
    with pytest.raises(ConfigError, match="models.ranking.targets.purchase.afer: unknown key. Did you mean 'after'"):
        parse_config(content, tmp_path)


def test_defaults():
    assert TargetConfig().model_dump() == {
        "column": None,
        "kind": "click",
        "positive_from": None,
        "after": None,
        "loss": None,
        "weight": 1.0,
    }

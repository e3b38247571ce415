"""What may be tried: names and values are judged before anything is trained."""

import pytest

from mmrec_tf.config_file import dump_config, parse_config
from mmrec_tf.errors import ConfigError
from mmrec_tf.features.item_vectors import resolve_encoders
from mmrec_tf.search.space import Choices, Span, merged, search_space, setting_names, stage_of, value_of
from tests import tiny_world
from tests.search.worlds import config


def test_values_are_read_as_the_configuration_reads_them():
    space = search_space(
        config(
            {
                "train.learning_rate": {"low": "5e-4", "high": "1e-2", "scale": "log"},
                "models.retrieval.dim": {"low": 8, "high": 64},
                "models.retrieval.temperature": [1, 0.5],
                "models.retrieval.hidden": [[], [16], [32, 16]],
                "alignment.method": [None, "cca"],
                "train.xla": [False, True],
            }
        )
    )
    assert space["train.learning_rate"] == Span(0.0005, 0.01, is_log=True)
    assert space["models.retrieval.dim"] == Span(8, 64, is_whole=True)
    assert space["models.retrieval.temperature"] == Choices((1.0, 0.5))
    assert isinstance(space["models.retrieval.temperature"].values[0], float)
    assert space["models.retrieval.hidden"] == Choices(([], [16], [32, 16]))
    assert space["alignment.method"] == Choices((None, "cca"))
    # Only numbers have an order, and with it ends.
    assert space["models.retrieval.temperature"].ends == (0.5, 1.0)
    assert space["alignment.method"].ends is space["train.xla"].ends is None


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"train.lerning_rate": [0.1, 0.2]}, "train.lerning_rate: there is no such setting. Did you mean 'train.learn"),
        ({"models.retrieval.dims": [8, 16]}, "Did you mean 'models.retrieval.dim'"),
        ({"models.retrieval.dim": [1, 64]}, "models.retrieval.dim: the configuration refuses 1: .*greater than or equ"),
        ({"models.retrieval.dropout": {"low": 0.5, "high": 1.5}}, "refuses 1.5"),
        ({"models.retrieval.dim": {"low": 8.5, "high": 64}}, "refuses 8.5"),
        ({"fusion.method": {"low": 1, "high": 2}}, "fusion.method: the configuration refuses 1"),
        (
            {"fusion.method": ["concat", "gatd"]},
            "fusion.method: the configuration refuses 'gatd': .*Did you mean 'gated'",
        ),
        (
            {"alignment.method": ["cca", "ccb"]},
            "alignment.method: the configuration refuses 'ccb': .*Did you mean 'cca'",
        ),
        ({"train.xla": {"low": 0, "high": 1}}, "a range is for numbers, and this setting is False"),
        ({"models.ranking.dim": [8, 16]}, "belongs to ranking, and search.stage is retrieval. Set that to ranking or"),
        ({"evaluation.k": [[5], [10]]}, "would change what is measured. Allowed: settings below alignment"),
        ({"seed": [1, 2]}, "would change what is measured"),
        ({"data.positive_from": [1, 2]}, "would change what is measured"),
        ({"search.trials": [1, 2]}, "would change what is measured"),
        ({"models.retrieval.loss": [{}, {"name": "bpr"}], "models.retrieval.loss.smoothing": [0, 0.1]}, "a part of"),
    ],
)
def test_what_cannot_be_searched(space, message):
    with pytest.raises(ConfigError, match=message):
        search_space(config(space))


@pytest.mark.parametrize(
    ("space", "message"),
    [
        ({"train.epochs": [3]}, "leaves nothing to choose"),
        ({"train.epochs": []}, "leaves nothing to choose"),
        ({"train.epochs": [3, 4, 3]}, "names a value twice"),
        ({"train.epochs": 3}, "takes a list of values or {low: ..., high: ...}, got 3"),
        ({"train.epochs": {"low": 5, "high": 5}}, "the range from 5 to 5 is empty"),
        ({"train.epochs": {"low": 5, "high": 2}}, "the range from 5 to 2 is empty"),
        ({"train.epochs": {"low": 5}}, "needs two numbers, low and high; they are 5 and None"),
        ({"train.epochs": {"low": True, "high": 3}}, "needs two numbers"),
        ({"train.epochs": {"low": 1, "high": float("inf")}}, "needs two numbers"),
        ({"train.epochs": {"low": 0, "high": 5, "scale": "log"}}, "begins above 0, got low: 0"),
        ({"train.epochs": {"low": 1, "hihg": 5}}, "a range has no 'hihg'. Did you mean 'high'"),
        ({"train.epochs": {"low": 1, "high": 5, "scale": "lgo"}}, "scale"),
    ],
)
def test_ranges_and_lists_that_are_none(space, message):
    content = tiny_world.config().model_dump(mode="json", by_alias=True)
    with pytest.raises(ConfigError, match=message):
        parse_config({**content, "search": {"space": space}})


def test_a_search_needs_an_end():
    content = tiny_world.config().model_dump(mode="json", by_alias=True)
    with pytest.raises(ConfigError, match="after trials or minutes"):
        parse_config({**content, "search": {"trials": None}})


def test_all_mistakes_come_at_once():
    with pytest.raises(ConfigError) as raised:
        search_space(config({"train.epoch": [1, 2], "models.retrieval.dim": [0, 8]}))
    assert "train.epoch:" in str(raised.value) and "models.retrieval.dim:" in str(raised.value)


def test_a_value_may_need_another_settings_value():
    # cross_layers is a setting of dcn alone, and the configuration's ranker is another.
    space = {"models.ranking.model": ["deepfm", "dcn"], "models.ranking.cross_layers": [2, 3]}
    assert set(search_space(config(space, stage="ranking"))) == set(space)
    with pytest.raises(ConfigError, match="cross_layers is no setting of deepfm"):
        search_space(config({"models.ranking.cross_layers": [2, 3]}, stage="ranking"))


TARGETS = [{}, {"purchase": {"column": "bought"}}]


@pytest.mark.parametrize("stage", ["ranking", "both"])
@pytest.mark.parametrize(
    ("name", "values", "message"),
    [
        ("models.ranking.position", [None, "place"], "models.ranking.position: it decides which columns of the"),
        ("models.ranking.targets", TARGETS, "which is prepared once for all trials. Take it out, and search once for"),
        (
            "models.ranking",
            [{"model": "mmoe", "targets": targets} for targets in TARGETS],
            "it would change models.ranking.targets, and it decides which columns",
        ),
    ],
)
def test_what_is_prepared_once_for_all_trials_cannot_be_searched(stage, name, values, message):
    with pytest.raises(ConfigError, match=message):
        search_space(config({name: values}, stage=stage))


def test_whole_sections_may_be_searched_where_they_agree_in_what_is_prepared():
    values = [{"dim": 4}, {"dim": 8}]
    found = search_space(config({"models.ranking": values}, stage="ranking"))["models.ranking"].values
    assert [value["dim"] for value in found] == [4, 8]


def test_hyperband_gives_out_the_epochs():
    with pytest.raises(ConfigError, match="hyperband gives out the epochs itself"):
        search_space(config({"train.epochs": [3, 4]}, method="hyperband"))


@pytest.mark.parametrize("stage", ["retrieval", "ranking", "both"])
def test_the_usual_space_holds_where_the_search_begins(stage):
    sections = {"dim": 48, "temperature": 0.5}
    made = config({}, retrieval=sections, stage=stage)
    space = search_space(made)
    assert space
    assert all(domain.holds(value_of(made, name)) for name, domain in space.items())
    assert all(stage == "both" or stage_of(name) == stage for name in space)
    # It is itself a space that can be asked for.
    asked = {
        name: list(domain.values)
        if isinstance(domain, Choices)
        else {"low": domain.low, "high": domain.high, "scale": "log" if domain.is_log else "linear"}
        for name, domain in space.items()
    }
    assert search_space(config(asked, retrieval=sections, stage=stage)) == space


def test_merged_settings_reach_their_sections_and_nothing_else():
    made = config()
    changed = merged(made, {"models.retrieval.adversarial.epsilon": 0.5, "train.epochs": 3})
    assert changed.models.retrieval.adversarial.epsilon == 0.5 and changed.train.epochs == 3
    back = merged(changed, {"models.retrieval.adversarial": None, "train.epochs": made.train.epochs})
    assert dump_config(back) == dump_config(merged(made, {}))
    with pytest.raises(ConfigError, match="the configuration with train.epochs: 0 is not valid"):
        merged(made, {"train.epochs": 0})


def test_names_of_sections_settings_and_of_each_features_encoder():
    schema = {
        "user": {"u": "id"},
        "item": {"i": "id", "title": "text"},
        "context": {"t": "timestamp"},
    }
    made = resolve_encoders(tiny_world.config(schema=schema))
    names = setting_names(made)
    for name in ("train.learning_rate", "models.retrieval.history.encoder", "encoders.title.clean", "schema"):
        assert name in names
    assert value_of(merged(made, {"encoders.title.max_tokens": 7}), "encoders.title.max_tokens") == 7

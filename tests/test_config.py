"""The configuration file: defaults, unknown keys, overrides, paths and the YAML round trip."""

import copy

import pytest

from mmrec_tf.config import Config
from mmrec_tf.config_file import dump_config, load_config, parse_config
from mmrec_tf.errors import ConfigError, suggestion
from tests import tiny_world

MINIMAL = {
    "data": {"interactions": "a.csv", "items": "tables/b.csv"},
    "schema": {
        "user": {"user": "id"},
        "item": {"item": "id", "title": "text", "photo": "image"},
        "context": {"time": "timestamp"},
    },
}


def _parse(*overrides, folder=".", **sections) -> Config:
    return parse_config({**copy.deepcopy(MINIMAL), **sections}, folder, list(overrides))


def test_tables_and_schema_are_enough():
    config = _parse()
    assert config.split.method == "leave_one_out"
    assert config.data.strict is False
    assert config.data.policies.missing_media == "keep"


@pytest.mark.parametrize(
    ("section", "key", "nearest"),
    [
        ({"trian": {}}, "trian", "train"),
        ({"train": {"epoch": 3}}, "train.epoch", "epochs"),
        ({"models": {"retrieval": {"temprature": 1}}}, "models.retrieval.temprature", "temperature"),
        ({"encoders": {"title": {"imagesize": 3}}}, "encoders.title.imagesize", "image_size"),
        ({"train": {"ranking": {"patiences": 3}}}, "train.ranking.patiences", "patience"),
    ],
)
def test_unknown_keys_name_the_nearest(section, key, nearest):
    with pytest.raises(ConfigError) as raised:
        _parse(**section)
    assert f"{key}: unknown key. Did you mean '{nearest}'?" in str(raised.value)


def test_unknown_policy_names_the_nearest():
    data = {**MINIMAL["data"], "policies": {"unknow_item": "drop"}}
    with pytest.raises(ConfigError, match="Did you mean 'unknown_item'"):
        _parse(data=data)


def test_all_mistakes_come_at_once():
    with pytest.raises(ConfigError) as raised:
        _parse(train={"epochs": 0}, fusion={"dimm": 3}, seed="many")
    text = str(raised.value)
    assert "train.epochs" in text and "fusion.dimm" in text and "seed" in text and "'many'" in text


def test_overrides_are_yaml_values_in_sections():
    config = _parse("train.epochs=3", "evaluation.k=[5, 10]", "data.strict=true", "encoders.photo=image_cnn")
    assert config.train.epochs == 3
    assert config.evaluation.k == [5, 10]
    assert config.data.strict is True
    assert config.encoders["photo"].type == "image_cnn"


@pytest.mark.parametrize(
    ("override", "message"),
    [
        ("train.epochs", "takes section.key=value"),
        ("=3", "takes section.key=value"),
        ("train.epochs=[", "not valid YAML"),
        ("split.test_from=2024-02-30", r"not valid YAML \(day is out of range"),
        ("seed.x=3", "seed"),
        ("train.epoch=3", "Did you mean 'epochs'"),
    ],
)
def test_overrides_that_are_wrong(override, message):
    with pytest.raises(ConfigError, match=message):
        _parse("seed=1", override)


def test_relative_paths_start_at_the_file(tmp_path):
    config = _parse(folder=tmp_path, encoders={"title": {"path": "modules/text"}})
    assert config.data.items == tmp_path / "tables" / "b.csv"
    assert config.encoders["title"].path == tmp_path / "modules" / "text"
    assert config.store == tmp_path / "feature_store"
    absolute = {**MINIMAL["data"], "users": str(tmp_path / "elsewhere" / "u.csv")}
    assert _parse(folder="anywhere", data=absolute).data.users == tmp_path / "elsewhere" / "u.csv"


def test_round_trip_through_yaml(tmp_path):
    config = _parse(
        "models.retrieval.hidden=[8, 4]",
        folder=tmp_path,
        split={"method": "temporal", "test_from": "2024-01-31"},
        encoders={"image": "image_cnn"},
        data={**MINIMAL["data"], "label": "stars", "label_range": [1, 5], "positive_from": 4},
        name="Äpfel: a shop",
    )
    path = tmp_path / "config.yaml"
    path.write_text(dump_config(config), encoding="utf-8")
    assert load_config(path) == config


def test_dates_may_stand_without_quotes(tmp_path):
    path = tmp_path / "config.yaml"
    text = dump_config(_parse(folder=tmp_path)) + "\n"
    path.write_text(text.replace("test_from: null", "test_from: 2024-01-31"), encoding="utf-8")
    assert load_config(path).split.test_from == "2024-01-31"


def test_encoders_by_name_or_a_list_of_names_or_a_place(tmp_path):
    config = _parse(
        folder=tmp_path,
        encoders={"title": {"type": ["bert", "minilm", "hashed_text"], "max_tokens": 64}, "photo": {"path": "module"}},
    )
    assert config.encoders["title"].type == ["bert", "minilm", "hashed_text"]
    # A place alone means a module in TF-Hub's format; with the name of a published module, a copy of that.
    assert (config.encoders["photo"].type, config.encoders["photo"].path) == ("hub", tmp_path / "module")
    named = _parse(folder=tmp_path, encoders={"photo": {"type": "vit_b16", "path": "module"}}).encoders["photo"]
    assert (named.type, named.path) == ("vit_b16", tmp_path / "module")


@pytest.mark.parametrize(
    ("sections", "message"),
    [
        ({"encoders": {"titel": "hashed_text"}}, "Did you mean 'title'"),
        ({"encoders": {"title": {"handle": "https://x", "path": "y"}}}, "not both"),
        ({"encoders": {"title": {"type": "hub"}}}, "needs handle"),
        ({"encoders": {"title": {"type": "kerasnlp"}}}, "needs handle"),
        ({"encoders": {"title": {"type": []}}}, "type lists no encoder"),
        ({"split": {"validation": 0.5, "test": 0.5}}, "leave nothing to train on"),
        ({"split": {"method": "leave_two_out"}}, "split.method"),
        ({"data": {**MINIMAL["data"], "positive_from": 4}}, "need a label column"),
        ({"data": {**MINIMAL["data"], "label": "x", "label_range": [5, 1]}}, "is empty"),
        ({"data": {"items": "b.csv"}}, "data.interactions: this key is required"),
        ({"models": {"ranking": {"target": "rating"}}}, "needs data.label"),
        ({"models": {"ranking": {"grades": True}}}, "models.ranking.grades needs data.label"),
        ({"evaluation": {"k": []}}, "one or more cut-offs"),
        ({"export": {"index": "hnsw"}}, "export.index.*'auto', 'exact', 'ivf' or 'scann'"),
        ({"export": {"recall": 0.0}}, "export.recall.*greater than 0"),
        ({"export": {"recall": 1.01}}, "export.recall.*less than or equal to 1"),
        ({"schema": {"user": {"user": "id"}, "item": {"title": "text"}}}, "item needs exactly one feature of kind id"),
        ({"schema": {"user": {"user": "id"}, "item": {"item": "id"}}}, "needs a timestamp feature"),
    ],
)
def test_what_a_configuration_refuses(sections, message):
    with pytest.raises(ConfigError, match=message):
        _parse(**sections)


def test_files_that_are_no_configuration(tmp_path):
    with pytest.raises(ConfigError, match="does not exist.*mmrec init"):
        load_config(tmp_path / "config.yaml")
    (tmp_path / "config.yaml").write_text("a: [")
    with pytest.raises(ConfigError, match="not valid YAML"):
        load_config(tmp_path / "config.yaml")
    (tmp_path / "config.yaml").write_text("split: {test_from: 2023-06-31}")
    with pytest.raises(ConfigError, match="not valid YAML: day is out of range"):
        load_config(tmp_path / "config.yaml")
    (tmp_path / "config.yaml").write_text("- a list")
    with pytest.raises(ConfigError, match="must be a mapping.*got list"):
        load_config(tmp_path / "config.yaml")


def test_suggestion_is_silent_when_nothing_is_near():
    assert suggestion("epoch", ["epochs", "dim"]) == " Did you mean 'epochs'?"
    assert suggestion("zzz", ["epochs", "dim"]) == ""


@pytest.mark.parametrize("seed", [-1, 2**31])
def test_a_seed_that_generators_cannot_take_is_refused(seed):
    with pytest.raises(ConfigError, match="seed: "):
        _parse(seed=seed)


def test_alignment_is_named_or_given_in_full():
    assert tiny_world.config().alignment.method is None
    assert tiny_world.config(alignment="cca").alignment.method == "cca"
    full = tiny_world.config(alignment={"method": "triplet", "pairs": [["text", "image"]], "weight": 0.3, "dim": None})
    assert (full.alignment.pairs, full.alignment.weight, full.alignment.dim) == ([("text", "image")], 0.3, None)


@pytest.mark.parametrize(
    ("pairs", "message"),
    [
        ([["text", "imag"]], r"names 'imag', .* Did you mean 'image'\? Allowed: text, image"),
        ([["text", "text"]], "names two different item features, got 'text' twice"),
    ],
)
def test_pairs_of_an_alignment_are_item_features(pairs, message):
    with pytest.raises(ValueError, match=message):
        tiny_world.config(alignment={"method": "contrastive", "pairs": pairs})


def test_adversarial_training_is_off_by_default_and_has_its_own_defaults():
    assert tiny_world.config().models.retrieval.adversarial is None
    options = tiny_world.config(retrieval={"adversarial": {}}).models.retrieval.adversarial
    assert (options.weight, options.epsilon) == (0.5, 0.02)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("train: {epochs: 3}\nseed: 1\ntrain: {patience: 2}", "train stands there twice, in lines 1 and 3"),
        ("train:\n  epochs: 3\n  epochs: 4", "epochs stands there twice, in lines 2 and 3"),
    ],
)
def test_what_stands_twice_is_refused_as_the_first_would_be_lost(tmp_path, text, said):
    path = tmp_path / "config.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError, match=f"is not valid YAML: {said}. Join the two"):
        load_config(path)


def test_yaml_that_takes_over_keys_and_changes_one_is_no_doubled_key(tmp_path):
    path = tmp_path / "config.yaml"
    shared = "shared: &shared {epochs: 3, patience: 1}\ntrain:\n  <<: *shared\n  epochs: 4\n"
    path.write_text(shared)
    with pytest.raises(ConfigError, match="shared: unknown key") as refused:
        load_config(path)
    assert "twice" not in str(refused.value)


@pytest.mark.parametrize("setting", ["retrieval.hidden", "ranking.hidden", "ranking.attention_hidden"])
def test_layers_without_units_are_refused(setting):
    with pytest.raises(ConfigError, match=rf"models\.{setting}\.0: Input should be greater than or equal to 1, got 0"):
        _parse(f"models.{setting}=[0]", "models.ranking.model=din")


@pytest.mark.parametrize(
    ("override", "said"),
    [
        (
            "models.retrieval.history=gru",
            r"models\.retrieval\.history takes settings, as in {encoder: \.\.\.}, got 'gru'",
        ),
        ("models.retrieval.trends=null", r"models\.retrieval\.trends is empty\. Write settings below it, or leave"),
        ("train=null", "train is empty"),
        ("encoders=null", "encoders is empty"),
        ("schema.context=null", r"schema\.context is empty"),
        ("schema.item.title={kind: text, columns: plot}", r"schema\.item\.title\.columns takes a list, as in \[plot\]"),
        ("schema.item.photo=imge", r"schema\.item\.photo\.kind: .*got 'imge'\. Did you mean 'image'"),
    ],
)
def test_a_value_in_place_of_a_section_says_what_goes_there(override, said):
    with pytest.raises(ConfigError, match=said):
        _parse(override)


def test_an_override_below_a_short_form_says_how_to_give_it_whole():
    whole = r"encoders\.title is 'hashed_text' and no section\. .*--set 'encoders\.title={type: minilm}'"
    with pytest.raises(ConfigError, match=whole):
        _parse("encoders.title.type=minilm", encoders={"title": "hashed_text"})


def test_a_folder_is_told_from_a_file_that_is_not_there(tmp_path):
    with pytest.raises(ConfigError, match="is a folder.*Write one with: mmrec init"):
        load_config(tmp_path)
    (tmp_path / "config.yaml").write_text("seed: 1")
    with pytest.raises(ConfigError, match=r"is a folder.*Name the file in it: .*config\.yaml"):
        load_config(tmp_path)

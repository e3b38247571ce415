"""The demo shop: same bytes from the same seed, an honest taste signal, and the flaws that it is meant to have."""

import colorsys
import hashlib
import re
import wave
from io import BytesIO

import numpy as np
import pandas as pd
import pytest

from mmrec_tf.config_file import load_config
from mmrec_tf.data import demo_taste
from mmrec_tf.data.demo_jingles import MOOD_NAMES, compose_jingle
from mmrec_tf.data.demo_photos import PALETTE_HUES, PATTERN_NAMES, paint_photo
from mmrec_tf.data.demo_shapes import SHAPES
from mmrec_tf.data.demo_shop import draw_shop, generate_demo_shop
from mmrec_tf.data.demo_text import MATERIALS, SUBCATEGORIES, THEMES, write_description
from mmrec_tf.errors import DataError

SMALL = {"users": 60, "items": 40, "interactions": 600}
ENTRIES = {"users.csv", "items.csv", "interactions.csv", "photos", "jingles", "config.yaml", ".mmrec_demo_shop"}


def hashes(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("demo") / "shop"
    generate_demo_shop(folder, **SMALL)
    return folder


@pytest.fixture(scope="module")
def tables(shop):
    return {
        name: pd.read_csv(shop / f"{name}.csv", keep_default_na=False) for name in ("users", "items", "interactions")
    }


@pytest.fixture(scope="module")
def full_size():
    return draw_shop(seed=7, users=2000, items=1000, interactions=40000)


def test_same_seed_gives_same_bytes_and_another_seed_does_not(shop, tmp_path):
    generate_demo_shop(tmp_path / "again", **SMALL)
    generate_demo_shop(tmp_path / "other", seed=8, **SMALL)
    first, again, other = hashes(shop), hashes(tmp_path / "again"), hashes(tmp_path / "other")
    assert first == again
    # The tables and every sound photo and jingle differ; an empty file and the marker are the same in all shops.
    same = {name for name in first if first[name] == other.get(name)}
    empty = hashlib.sha256(b"").hexdigest()
    assert {name for name in same if first[name] != empty} == {".mmrec_demo_shop"}


def test_tables_have_the_sizes_asked_for_and_fit_each_other(tables):
    users, items, interactions = tables["users"], tables["items"], tables["interactions"]
    assert (len(users), len(items), len(interactions)) == (60, 40, 600)
    assert users.user_id.is_unique and items.item_id.is_unique
    assert set(interactions.user_id) == set(users.user_id)
    assert set(interactions.item_id) <= set(items.item_id)
    assert not interactions.duplicated(["user_id", "item_id"]).any()
    assert interactions.user_id.value_counts().min() >= 5
    assert interactions.timestamp.is_monotonic_increasing
    # 2024-01-01 and 182 days later, in seconds since 1970.
    assert interactions.timestamp.between(1704067200, 1704067200 + 182 * 86400).all()
    assert (items.price > 0).all()
    # Every tag list starts with a subcategory of the item's category.
    pairs = zip(items.category, items.tags.str.split("|").str[0], strict=True)
    assert set(pairs) <= set(SUBCATEGORIES)


def test_new_items_are_bought_after_the_start_of_the_test_only(tables):
    items, interactions = tables["items"], tables["interactions"]
    added = items.set_index("item_id").added_at
    new = added.index[added >= "2024-01-01"]
    assert len(new) == 4  # a tenth of 40
    # The configuration tests the latest 12 %: rows 528 to 599 of 600.
    assert not interactions.item_id[:528].isin(new).any()
    assert interactions.item_id[528:].isin(new).any()
    bought = pd.to_datetime(interactions.timestamp, unit="s")
    assert (bought >= pd.to_datetime(interactions.item_id.map(added))).all()


def test_new_items_take_a_fifth_to_a_third_of_the_test_at_full_size(full_size):
    _, items, _, (_, item, _) = full_size
    assert items.is_new.sum() == 100
    assert not items.is_new[item[:35200]].any()
    assert 0.2 < items.is_new[item[35200:]].mean() < 0.34


def test_no_modality_and_no_id_alone_explains_the_choices(full_size):
    _, _, parts, _ = full_size
    spread = {name: part.var(axis=1).mean() for name, part in parts.items()}
    share = {name: spread[name] / sum(spread.values()) for name in parts}
    # Squared strengths 1.69, 1.5625, 1.5625, 0.64, 0.3844, 0.4225, 0.5625 sum up to 6.8244.
    expected = {
        "look": 0.248, "sound": 0.229, "theme": 0.229, "category": 0.094,
        "price": 0.056, "quality": 0.062, "id_only": 0.082,
    }  # fmt: skip
    assert share == pytest.approx(expected, abs=0.02)
    # The parts are independent of one another: no modality betrays what another one holds.
    names = [name for name in parts if name != "quality"]
    flat = np.stack([(parts[name] - parts[name].mean(axis=1, keepdims=True)).ravel() for name in names])
    off_diagonal = np.corrcoef(flat) - np.eye(len(names))
    assert np.abs(off_diagonal).max() < 0.05


def test_whoever_knows_the_tastes_recommends_far_better_than_popularity(full_size):
    _, _, parts, (user, item, _) = full_size
    users, count, start = 2000, 1000, 35200
    seen = np.zeros((users, count), dtype=bool)
    seen[user[:start], item[:start]] = True
    relevant = np.zeros_like(seen)
    relevant[user[start:], item[start:]] = True

    def recall_at_10(score):
        top = np.argsort(-np.where(seen, -np.inf, score), axis=1)[:, :10]
        tested = relevant.any(axis=1)
        hits = np.take_along_axis(relevant, top, axis=1).sum(axis=1)
        return (hits[tested] / relevant[tested].sum(axis=1)).mean()

    everything = sum(parts.values())
    oracle = recall_at_10(everything)
    popularity = recall_at_10(np.broadcast_to(seen.sum(axis=0), seen.shape))
    assert oracle > 8 * popularity
    for name in ("look", "sound", "theme"):
        assert recall_at_10(parts[name]) < 0.25 * oracle
        assert recall_at_10(everything - parts[name]) < 0.85 * oracle


def test_choices_follow_the_softmax_of_the_utilities():
    # Three items of utility log 1, log 2 and log 7 are chosen with probability 0.1, 0.2 and 0.7. Of 4000 choices a
    # share has a standard deviation of at most sqrt(0.25 / 4000) = 0.008; four of them are allowed.
    rng = np.random.default_rng(0)
    users, items = demo_taste.draw_users(rng, 4000), demo_taste.draw_items(rng, 4)
    # Item 3 stands for the one new item, which is not there yet: it is released after the last choice.
    items = demo_taste.ItemTraits(**{**vars(items), "released": np.array([-np.inf, -np.inf, -np.inf, 1.0])})
    utility = np.tile(np.log([1.0, 2.0, 7.0, 1000.0]), (4000, 1))
    _, chosen, _ = demo_taste.draw_choices(rng, utility, users, items, np.ones(4000, dtype=int))
    np.testing.assert_allclose(np.bincount(chosen, minlength=4) / 4000, [0.1, 0.2, 0.7, 0.0], atol=0.032)


@pytest.mark.parametrize("interactions", [300, 600, 1200])
def test_activity_sums_up_within_its_bounds(interactions):
    activity = demo_taste.draw_activity(np.random.default_rng(0), users=60, interactions=interactions, most=20)
    assert activity.sum() == interactions
    assert activity.min() >= 5 and activity.max() <= 20


def can_open(path):
    from PIL import Image

    try:
        if path.suffix == ".jpg":
            with Image.open(path) as image:
                image.load()
                return image.size == (96, 96)
        with wave.open(str(path)) as sound:
            form = sound.getnchannels(), sound.getsampwidth(), sound.getframerate()
            return form == (1, 2, 16000) and len(sound.readframes(24000)) == 48000
    except (OSError, wave.Error, EOFError):
        return False


@pytest.mark.parametrize(("column", "blank", "absent"), [("photo", 1, 2), ("jingle", 2, 3)])
def test_media_open_but_for_the_missing_and_three_corrupt(shop, tables, column, blank, absent):
    # Of 40 items 8 % are 3 photos and 12 % are 5 jingles; half of them, rounded down, have an empty cell.
    cells = tables["items"][column]
    paths = [shop / cell for cell in cells if cell]
    assert (cells == "").sum() == blank
    assert sum(not path.exists() for path in paths) == absent
    broken = [path for path in paths if path.exists() and not can_open(path)]
    assert len(broken) == 3
    assert sum(path.stat().st_size == 0 for path in broken) == 1


def test_a_few_descriptions_are_empty(tables):
    items = tables["items"]
    assert (items.description == "").sum() == 1
    assert ((items.description == "") & (items.title == "")).sum() == 1


@pytest.mark.parametrize("palette", range(len(PALETTE_HUES)))
def test_a_photo_shows_its_palette(palette):
    from PIL import Image

    for number, subcategory in enumerate(SHAPES):
        rng = np.random.default_rng(number)
        photo = Image.open(BytesIO(paint_photo(rng, subcategory, palette, number % len(PATTERN_NAMES))))
        pixels = np.asarray(photo.convert("RGB")).reshape(-1, 3) / 255
        colourful = [colorsys.rgb_to_hsv(*pixel) for pixel in pixels if pixel.max() - pixel.min() > 0.4]
        hue = np.angle(np.mean([np.exp(2j * np.pi * h) for h, _, _ in colourful]), deg=True)
        distances = [abs((hue - other + 180) % 360 - 180) for other in PALETTE_HUES]
        assert int(np.argmin(distances)) == palette, (subcategory, hue)


def samples(mood, seed):
    with wave.open(BytesIO(compose_jingle(np.random.default_rng(seed), mood))) as sound:
        return np.frombuffer(sound.readframes(sound.getnframes()), "<i2") / 32768


def test_moods_sound_different():
    def centroid(sound):
        power = np.abs(np.fft.rfft(sound)) ** 2
        return (power * np.fft.rfftfreq(len(sound), 1 / 16000)).sum() / power.sum()

    brightness = np.array([[centroid(samples(mood, seed)) for seed in range(5)] for mood in range(len(MOOD_NAMES))])
    cheerful, excited, gloomy = (brightness[MOOD_NAMES.index(name)] for name in ("cheerful", "excited", "gloomy"))
    assert excited.min() > gloomy.max()
    assert cheerful.min() > gloomy.max()


@pytest.mark.parametrize("mood", range(len(MOOD_NAMES)))
def test_jingles_are_neither_silent_nor_clipped(mood):
    peak = np.abs(samples(mood, seed=3)).max()
    assert 0.5 < peak < 0.95


@pytest.mark.parametrize("theme", range(len(THEMES)))
def test_a_description_speaks_of_its_theme_and_of_no_other(theme):
    def named(text, words):
        return any(re.search(rf"\b{re.escape(word)}", text, re.IGNORECASE) for group in words for word in group)

    for number, (_, subcategory) in enumerate(SUBCATEGORIES):
        rng = np.random.default_rng([theme, number])
        text = write_description(rng, subcategory, MATERIALS[subcategory][0], theme)
        assert [place for place, words in enumerate(THEMES) if named(text, words)] == [theme], text
        assert not re.search(r"\ba [aeio]|\ban [bcdfgjklmnpqrstvwxyz]|[{}]", text, re.IGNORECASE), text
        assert text.count(".") >= 3


def test_every_subcategory_has_a_drawing_and_materials():
    subcategories = {subcategory for _, subcategory in SUBCATEGORIES}
    assert subcategories == set(SHAPES) == set(MATERIALS)


def test_the_configuration_loads(shop):
    config = load_config(shop / "config.yaml")
    assert config.name == "Demo shop"
    assert config.data.items == shop / "items.csv"
    assert [feature.name for feature in config.features.modalities] == ["description", "photo", "jingle"]
    assert {name: encoder.type for name, encoder in config.encoders.items()} == {
        "description": ["minilm", "hashed_text"],
        "photo": ["efficientnet_lite0", "image_cnn"],
        "jingle": ["musicnn", "audio_cnn"],
    }
    assert (config.split.method, config.split.validation, config.split.test) == ("temporal", 0.08, 0.12)
    for side, table in (("user", "users"), ("item", "items"), ("context", "interactions")):
        header = (shop / f"{table}.csv").read_text().splitlines()[0].split(",")
        for feature in getattr(config.features, side):
            assert set(feature.columns) <= set(header)


def test_an_empty_folder_is_filled_and_progress_is_told(tmp_path):
    folder = tmp_path / "below" / "shop"
    folder.mkdir(parents=True)
    told = []
    assert generate_demo_shop(folder, progress=lambda *report: told.append(report), **SMALL) == folder / "config.yaml"
    assert {path.name for path in folder.iterdir()} == ENTRIES
    assert [path.name for path in folder.parent.iterdir()] == ["shop"]
    assert told[39][1:] == told[79][1:] == (40, 40) and len(told) == 80


def test_an_earlier_shop_is_replaced_and_other_files_in_it_stay(tmp_path):
    folder = tmp_path / "shop"
    generate_demo_shop(folder, seed=1, **SMALL)
    (folder / "runs").mkdir()
    (folder / "runs" / "kept.txt").write_text("mine")
    (folder / "photos" / "old.jpg").write_bytes(b"old")
    generate_demo_shop(folder, seed=2, **SMALL)
    generate_demo_shop(tmp_path / "fresh", seed=2, **SMALL)
    replaced = hashes(folder)
    assert replaced.pop("runs/kept.txt") == hashlib.sha256(b"mine").hexdigest()
    assert replaced == hashes(tmp_path / "fresh")


def test_a_folder_with_other_files_and_a_file_are_refused(tmp_path):
    (tmp_path / "letters").mkdir()
    (tmp_path / "letters" / "dear.txt").write_text("Dear reader")
    with pytest.raises(DataError, match="letters holds files that are no demo shop"):
        generate_demo_shop(tmp_path / "letters", **SMALL)
    with pytest.raises(DataError, match="dear.txt is a file"):
        generate_demo_shop(tmp_path / "letters" / "dear.txt", **SMALL)
    assert [path.name for path in (tmp_path / "letters").iterdir()] == ["dear.txt"]


def test_an_interrupted_call_leaves_things_as_they_were(tmp_path):
    def interrupt(description, done, total):
        if description == "composing jingles" and done == 20:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        generate_demo_shop(tmp_path / "shop", progress=interrupt, **SMALL)
    assert list(tmp_path.iterdir()) == []
    generate_demo_shop(tmp_path / "shop", **SMALL)
    before = hashes(tmp_path)
    with pytest.raises(KeyboardInterrupt):
        generate_demo_shop(tmp_path / "shop", seed=9, progress=interrupt, **SMALL)
    assert hashes(tmp_path) == before


@pytest.mark.parametrize(
    ("sizes", "message"),
    [
        ({"users": 60, "items": 40, "interactions": 299}, "300 to 1200 interactions, got 299"),
        ({"users": 60, "items": 40, "interactions": 1201}, "300 to 1200 interactions, got 1201"),
        ({"users": 9, "items": 40, "interactions": 90}, "at least 10 users and 20 items, got 9 and 40"),
        ({"seed": -1}, "seed must be 0 or more, got -1"),
    ],
)
def test_sizes_that_do_not_fit_are_refused(tmp_path, sizes, message):
    with pytest.raises(DataError, match=message):
        generate_demo_shop(tmp_path / "shop", **sizes)
    assert not (tmp_path / "shop").exists()

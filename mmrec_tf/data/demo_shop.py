"""The demo shop: a small shop with real tables, photos, jingles and words, for trying everything without own data.

It is made so that a recommender has something to find in every modality (`demo_taste`), and so that it looks like data
from life: new items that nobody has bought, photos and jingles that are missing, a few files that are corrupt.
"""

import os
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from mmrec_tf.data import demo_taste
from mmrec_tf.data.demo_jingles import SECONDS, compose_jingle
from mmrec_tf.data.demo_photos import paint_photo
from mmrec_tf.data.demo_text import SUBCATEGORIES, write_description, write_tags, write_title
from mmrec_tf.data.whole_files import workshop_beside
from mmrec_tf.errors import DataError

SHARE_WITHOUT_PHOTO = 0.08
SHARE_WITHOUT_JINGLE = 0.12
SHARE_WITHOUT_DESCRIPTION = 0.015
SHARE_WITHOUT_WORDS = 0.002
CORRUPT = 3

START = pd.Timestamp("2024-01-01")
DAYS = 182

_MARKER = ".mmrec_demo_shop"
_ENTRIES = ("users.csv", "items.csv", "interactions.csv", "photos", "jingles", "config.yaml")

_CONFIG = """\
# The demo shop: made-up users, products and purchases. Start here, change anything, and train again with mmrec train;
# mmrec demo would write this file and its run anew.
name: Demo shop
seed: {seed}

# Paths are relative to this file; the photo and jingle columns are relative to the items table.
data:
  interactions: interactions.csv
  items: items.csv
  users: users.csv

# What each column is. Columns that are not named here (added_at) are not used.
schema:
  user:
    user_id: id
    country: categorical
    household: categorical
    age: number
  item:
    item_id: id
    description: {{kind: text, columns: [title, description]}}   # the two columns, joined by a space
    category: categorical
    tags: multi_categorical        # values separated by |
    price: number
    photo: image
    jingle: audio
  context:
    timestamp: timestamp           # seconds since 1970

# The latest 12 % of the purchases are the test. The new items appear after its start: training never sees them.
split:
  method: temporal
  validation: 0.08
  test: 0.12

# How content becomes vectors. Of a list the first is taken that is on this machine: the pretrained encoders once they
# have been built (mmrec pretrained build minilm efficientnet_lite0 musicnn), until then the light, built-in ones.
encoders:
  description: [minilm, hashed_text]
  photo: [efficientnet_lite0, image_cnn]
  jingle: {{type: [musicnn, audio_cnn], seconds: {seconds}}}

# Where the items' vectors are kept once they are computed.
store: feature_store
"""


def generate_demo_shop(
    folder: Path,
    seed: int = 7,
    users: int = 2000,
    items: int = 1000,
    interactions: int = 40000,
    progress: Callable[[str, int, int], None] | None = None,
) -> Path:
    """Writes the demo shop: `users.csv`, `items.csv`, `interactions.csv`, `photos/`, `jingles/` and `config.yaml`.

    The same seed and sizes give the same bytes. Everything is written beside the folder and put in place at the end, so
    that an interrupted call leaves no half shop.

    Args:
        folder: where to. It must not exist, be empty, or hold an earlier demo shop, whose files are then replaced;
            anything else in it (a feature store, runs) stays.
        seed: int, at least 0.
        users: int, at least 10.
        items: int, at least 20; a tenth of them are new.
        interactions: int, from 5 for each user to half of the items for each user.
        progress: called as `progress(description, done, total)`.

    Returns:
        Path of the `config.yaml`.

    Raises:
        DataError: when the folder holds something else, or the sizes do not fit each other.
    """
    folder = Path(folder)
    _check_sizes(seed, users, items, interactions)
    _check_folder(folder)
    with workshop_beside(folder) as workshop:
        built = workshop / "shop"
        built.mkdir()
        _write_shop(built, seed, users, items, interactions, progress)
        _put_in_place(built, folder, workshop)
    return folder / "config.yaml"


def draw_shop(
    seed: int, users: int, items: int, interactions: int
) -> tuple[
    demo_taste.UserTraits, demo_taste.ItemTraits, dict[str, np.ndarray], tuple[np.ndarray, np.ndarray, np.ndarray]
]:
    """What stands behind the tables: users, items, the parts of their utility, and the choices (user, item, time)."""
    rng = np.random.default_rng(seed)
    item_traits = demo_taste.draw_items(rng, items)
    user_traits = demo_taste.draw_users(rng, users)
    parts = demo_taste.utility_parts(user_traits, item_traits)
    activity = demo_taste.draw_activity(rng, users, interactions, most=items // 2)
    choices = demo_taste.draw_choices(rng, sum(parts.values()), user_traits, item_traits, activity)
    return user_traits, item_traits, parts, choices


def _check_sizes(seed, users, items, interactions):
    if seed < 0:
        raise DataError(f"seed must be 0 or more, got {seed}.")
    if users < 10 or items < 20:
        raise DataError(f"A demo shop needs at least 10 users and 20 items, got {users} and {items}.")
    least, most = demo_taste.LEAST_ACTIVITY * users, users * (items // 2)
    if not least <= interactions <= most:
        raise DataError(
            f"{users} users and {items} items can have {least} to {most} interactions, got {interactions}. "
            "Give a number in that range, or other numbers of users and items."
        )


def _check_folder(folder):
    if folder.exists() and not folder.is_dir():
        raise DataError(f"{folder} is a file. Name a folder that does not exist or is empty.")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / _MARKER).is_file():
        raise DataError(
            f"{folder} holds files that are no demo shop, and they would be mixed with one. "
            "Name a folder that does not exist or is empty."
        )


def _put_in_place(built, folder, workshop):
    if not folder.exists() or not any(folder.iterdir()):
        if folder.exists():
            folder.rmdir()
        os.replace(built, folder)
        return
    # The configuration goes first and comes last: while the parts are exchanged nobody can take the shop for whole.
    replaced = workshop / "replaced"
    replaced.mkdir()
    for entry in reversed(_ENTRIES):
        if (folder / entry).exists():
            shutil.move(folder / entry, replaced / entry)
    for entry in _ENTRIES:
        os.replace(built / entry, folder / entry)


def _write_shop(folder, seed, users, items, interactions, progress):
    user_traits, item_traits, _, (user, item, time) = draw_shop(seed, users, items, interactions)
    user_ids = np.array([f"U{number:04d}" for number in range(1, users + 1)])
    item_ids = np.array([f"P{number:04d}" for number in range(1, items + 1)])
    moment = START + pd.to_timedelta(np.floor(time * DAYS * 86400), unit="s")
    opened = moment[np.ceil(np.clip(item_traits.released, 0, 1) * interactions).astype(int)]

    _write_table(
        folder / "users.csv",
        {
            "user_id": user_ids,
            "country": np.array(demo_taste.COUNTRIES)[user_traits.country],
            "household": np.array(demo_taste.HOUSEHOLDS)[user_traits.household],
            "age": user_traits.age,
        },
    )
    _write_table(
        folder / "interactions.csv",
        {
            "user_id": user_ids[user],
            "item_id": item_ids[item],
            "timestamp": (moment - pd.Timestamp(0)) // pd.Timedelta(seconds=1),
        },
    )
    _write_table(folder / "items.csv", _item_columns(folder, seed, item_ids, item_traits, opened, progress))
    (folder / _MARKER).write_text("The files beside this one were made by mmrec and may be replaced by it.\n")
    (folder / "config.yaml").write_text(_CONFIG.format(seed=seed, seconds=SECONDS))


def _item_columns(folder, seed, item_ids, traits, opened, progress):
    count = len(item_ids)
    rng = np.random.default_rng([seed, 1])
    wordless = rng.permutation(count)[: max(1, round(SHARE_WITHOUT_DESCRIPTION * count))]
    titleless = wordless[: max(1, round(SHARE_WITHOUT_WORDS * count))]
    age_of_range = pd.to_timedelta(rng.integers(20, 900, size=count), unit="D")
    added = np.where(traits.is_new, opened, START - age_of_range)
    titles, descriptions, tags = [], [], []
    names = list(SUBCATEGORIES)
    for place in range(count):
        words = np.random.default_rng([seed, 2, place])
        _, subcategory = names[traits.subcategory[place]]
        title, material = write_title(words, subcategory)
        titles.append("" if place in titleless else title)
        description = write_description(words, subcategory, material, traits.theme[place])
        descriptions.append("" if place in wordless else description)
        tags.append(write_tags(words, subcategory))

    def photo(place):
        _, subcategory = names[traits.subcategory[place]]
        painter = np.random.default_rng([seed, 3, place])
        return paint_photo(painter, subcategory, traits.palette[place], traits.pattern[place])

    def jingle(place):
        return compose_jingle(np.random.default_rng([seed, 4, place]), traits.mood[place])

    paths = [f"photos/{item.lower()}.jpg" for item in item_ids], [f"jingles/{item.lower()}.wav" for item in item_ids]
    return {
        "item_id": item_ids,
        "title": titles,
        "description": descriptions,
        "category": [names[kind][0] for kind in traits.subcategory],
        "tags": tags,
        "price": [f"{price:.2f}" for price in traits.price],
        "photo": _write_media(folder, paths[0], photo, rng, SHARE_WITHOUT_PHOTO, "painting photos", progress),
        "jingle": _write_media(folder, paths[1], jingle, rng, SHARE_WITHOUT_JINGLE, "composing jingles", progress),
        "added_at": pd.to_datetime(added).strftime("%Y-%m-%d"),
    }


def _write_media(folder, paths, make, rng, share_missing, description, progress):
    """Writes the files, all but the missing ones and some of them corrupt, and returns the table's column."""
    (folder / paths[0]).parent.mkdir()
    order = rng.permutation(len(paths))
    missing = order[: round(share_missing * len(paths))]
    corrupt = list(order[len(missing) : len(missing) + CORRUPT])
    # Half of the missing have an empty cell, the others a path to a file that is not there.
    blank = set(missing[: len(missing) // 2])
    spared = set(missing)
    for place, path in enumerate(paths):
        if place not in spared:
            content = make(place)
            if place in corrupt:
                # Cut off inside the header or the picture, no such format at all, and empty.
                cut = content[: 20 if path.endswith(".wav") else len(content) * 2 // 5]
                content = (cut, rng.bytes(2000), b"")[corrupt.index(place)]
            (folder / path).write_bytes(content)
        if progress:
            progress(description, place + 1, len(paths))
    return ["" if place in blank else path for place, path in enumerate(paths)]


def _write_table(path, columns):
    pd.DataFrame(columns).to_csv(path, index=False, lineterminator="\n")

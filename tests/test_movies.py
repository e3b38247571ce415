"""The MovieLens examples: tables, configuration and validation agree."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from mmrec_tf.config_file import load_config
from mmrec_tf.data.splits import split_interactions
from mmrec_tf.data.validation import load_data

REPOSITORY = Path(__file__).resolve().parents[1]


def test_prepared_movies_validate_and_split(shared_data, tmp_path):
    command = [
        sys.executable, REPOSITORY / "examples" / "movies" / "prepare.py",
        "--movielens", shared_data / "movielens-small",
        "--posters", shared_data / "movielens-posters-internal-only",
        "--out", tmp_path,
    ]  # fmt: skip
    subprocess.run([str(part) for part in command], check=True, capture_output=True)
    config = load_config(tmp_path / "config.yaml")
    data, report = load_data(config)
    # From the data set's own README: 100836 ratings, 610 users, 9742 movies.
    assert (len(data.interactions), len(data.users), len(data.items)) == (100836, 610, 9742)
    # items_text.csv gives 6,345 movies a plot; the title is there for all of them.
    assert report.of_kind("empty_text") == []
    assert data.items["poster"].notna().sum() == len(
        list((shared_data / "movielens-posters-internal-only").glob("*.jpg"))
    )
    ratings = pd.read_csv(shared_data / "movielens-small" / "ratings.csv")
    split = split_interactions(data, config.split)
    # Every user has at least 20 ratings, so each gives one to test and one to validation.
    assert (len(split.test), len(split.validation)) == (610, 610)
    last = ratings.groupby("userId")["timestamp"].max()
    found = split.test.set_index("userId")["timestamp"].astype(int)
    assert (found.loc[last.index.astype(str)].to_numpy() == last.to_numpy()).all()


def test_get_movielens_refuses_another_archive(tmp_path):
    (tmp_path / "wrong.zip").write_bytes(b"not the archive")
    command = [sys.executable, REPOSITORY / "tools" / "get_movielens.py", "--zip", "wrong.zip", "--out", "out"]
    finished = subprocess.run([str(part) for part in command], cwd=tmp_path, capture_output=True, text=True)
    assert finished.returncode == 2
    assert "SHA-256" in finished.stderr and not (tmp_path / "out").exists()


RATINGS_100K = ["196\t2\t3\t881250949", "196\t1\t5\t881250950", "22\t2\t1\t878887116"]
PEOPLE_100K = ["22|25|M|writer|40206", "196|49|F|lawyer|55105"]
FLAGS = {"unknown": 0, "Action": 1, "Drama": 2}
MOVIES_100K = [
    "1|Caf\xe9 au lait (1993)|01-Jan-1993||http://page|0|1|1",
    "2|unknown||||1|0|0",
]


def test_prepared_100k_validates(tmp_path):
    raw, out = written_100k(tmp_path / "raw", RATINGS_100K, PEOPLE_100K, MOVIES_100K), tmp_path / "out"
    finished = prepare_100k(raw, out)
    assert finished.returncode == 0, finished.stderr
    movies = pd.read_csv(out / "items.csv", dtype=str, keep_default_na=False)
    assert movies.to_numpy().tolist() == [["1", "Caf\xe9 au lait", "Action|Drama", "1993"], ["2", "unknown", "", ""]]
    data, _ = load_data(load_config(out / "config.yaml"))
    assert data.users.set_index("user_id").loc["22", ["gender", "occupation"]].tolist() == ["M", "writer"]
    assert len(data.interactions) == 3


def test_thinned_100k_keeps_a_few_ratings_of_everybody(tmp_path):
    random = np.random.default_rng(1)
    pairs = [(user, item) for user in range(1, 201) for item in range(1, 81)]
    ratings = [f"{user}\t{item}\t{random.integers(1, 6)}\t{881250949 + item}" for user, item in pairs]
    people = [f"{user}|25|M|writer|40206" for user in range(1, 201)]
    movies = [f"{item}|Film|01-Jan-1993||http://page|0|1|1" for item in range(1, 81)]
    raw, out = written_100k(tmp_path / "raw", ratings, people, movies), tmp_path / "out"
    assert prepare_100k(raw, out, "--thin", "12").returncode == 0
    found = pd.read_csv(out / "interactions.csv")
    counts = found["user_id"].value_counts()
    # The mean of 200 draws with a standard deviation of some 8.5.
    assert len(counts) == 200 and counts.min() >= 4 and counts.mean() == pytest.approx(12, abs=2.0)
    assert not found.duplicated(["user_id", "movie_id"]).any()
    given = {tuple(map(int, line.split("\t")[:3])) for line in ratings}
    assert set(found[["user_id", "movie_id", "rating"]].itertuples(index=False, name=None)) <= given
    # Items were rated by rising number; now the number says nothing of the time.
    assert abs(found["movie_id"].corr(found["timestamp"])) < 0.1
    refused = prepare_100k(raw, out, "--thin", "4")
    assert refused.returncode == 2 and "--thin must be above 4, got 4." in refused.stderr


def test_prepare_100k_says_where_to_get_what_is_not_there(tmp_path):
    finished = prepare_100k(tmp_path, tmp_path / "out")
    assert finished.returncode == 2
    assert "get_movielens.py --dataset 100k" in finished.stderr and "Traceback" not in finished.stderr


def written_100k(folder, ratings, people, movies):
    """The folder, with MovieLens-100K's files in it."""
    folder.mkdir()
    genres = [f"{name}|{place}" for name, place in FLAGS.items()]
    for name, lines in {"u.data": ratings, "u.user": people, "u.item": movies, "u.genre": genres}.items():
        # GroupLens wrote these files in Latin-1.
        (folder / name).write_text("\n".join(lines) + "\n", encoding="latin-1")
    return folder


def prepare_100k(movielens, out, *options):
    script = REPOSITORY / "examples" / "movielens_100k" / "prepare.py"
    command = [sys.executable, str(script), "--movielens", str(movielens), "--out", str(out), *options]
    return subprocess.run(command, capture_output=True, text=True)

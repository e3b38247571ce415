"""The movies example on the real data: tables, configuration and validation agree."""

import subprocess
import sys
from pathlib import Path

import pandas as pd

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

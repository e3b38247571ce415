"""The checks of moments and of media columns: what lies in the future, what is silent, and what is broken."""

import time

import numpy as np
import pandas as pd
import pytest

from mmrec_tf.data.validation import validate_frames
from mmrec_tf.errors import DataError
from mmrec_tf.schema import Schema
from tests.media_files import grey, tone, video


@pytest.fixture
def tables(tmp_path):
    frames = [grey(number) for number in range(5)]
    video(tmp_path / "both.mp4", frames, waveform=tone(1.0, 16000))
    video(tmp_path / "silent.mp4", frames)
    items = pd.DataFrame({"item_id": [1, 2, 3, 4], "clip": ["both.mp4", "silent.mp4", None, "both.mp4"]})
    interactions = pd.DataFrame({"user_id": [1, 2], "item_id": [1, 2]})
    schema = Schema(
        user={"user_id": "id"},
        item={"item_id": "id", "clip": "video", "soundtrack": {"kind": "audio", "columns": ["clip"]}},
    )
    return schema, interactions, items


def test_a_silent_clip_is_noted_and_its_pictures_are_kept(tables, tmp_path):
    schema, interactions, items = tables
    data, report = validate_frames(schema, interactions, items, media_folder=tmp_path, strict=True)
    assert report.ok
    pictures, sounds = report.of_kind("no_media")
    assert (pictures.count, sounds.count) == (1, 2)
    assert sounds.value == f"{tmp_path / 'silent.mp4'}: no sound in it"
    assert "no soundtrack" in sounds.remedy
    assert [clip is not None for clip in data.items["clip"]] == [True, True, False, True]
    assert [clip is not None for clip in data.items["soundtrack"]] == [True, False, False, True]


def test_a_broken_clip_is_reported_for_pictures_and_sound(tables, tmp_path):
    schema, interactions, items = tables
    (tmp_path / "both.mp4").write_text("not a film")
    data, report = validate_frames(schema, interactions, items, media_folder=tmp_path)
    broken = report.of_kind("undecodable_media")
    assert [problem.count for problem in broken] == [2, 2]
    assert all(problem.value.startswith(str(tmp_path / "both.mp4")) for problem in broken)
    assert [clip is not None for clip in data.items["clip"]] == [False, True, False, False]
    with pytest.raises(DataError, match="undecodable_media"):
        validate_frames(schema, interactions, items, media_folder=tmp_path, strict=True)


NOW = 1_700_000_000.0
"""2023-11-14 22:13:20 UTC."""


def _timed(*moments, **options):
    schema = Schema(user={"user_id": "id"}, item={"item_id": "id"}, context={"time": "timestamp"})
    interactions = pd.DataFrame({"user_id": 1, "item_id": 1, "time": np.array(moments)})
    return validate_frames(schema, interactions, pd.DataFrame({"item_id": [1]}), **options)


def test_moments_in_the_future_go_where_most_lie_before(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: NOW)
    # A day more than now is allowed; of all seven, the median is the fourth and lies before now.
    kept = [NOW - 100, NOW - 50, NOW - 25, NOW - 10, NOW + 86_400]
    data, report = _timed(*kept, NOW + 86_401, NOW + 1e9)
    assert data.interactions["time"].tolist() == kept
    (problem,) = report.problems
    assert (problem.kind, problem.count, problem.row, problem.action) == ("bad_timestamp", 2, 5, "dropped")
    assert "2023-11-15 22:13" in problem.remedy and "lies in the future" in problem.remedy
    with pytest.raises(DataError, match="in the future"):
        _timed(*kept, NOW + 1e9, policies={"bad_timestamp": "stop"})


def test_a_year_of_another_decade_is_told_from_a_cell_that_is_no_moment(monkeypatch):
    monkeypatch.setattr(time, "time", lambda: NOW)
    data, report = _timed("2023-01-01", "2023-01-02", "2034-01-01", "9999-12-31")
    # 2023-01-01 is day 19358 = 53 * 365 + 13.
    assert data.interactions["time"].tolist() == [19358 * 86400.0, 19359 * 86400.0]
    no_moment, future = report.of_kind("bad_timestamp")
    assert (no_moment.count, no_moment.value) == (1, "'9999-12-31'")
    assert (future.count, future.value) == (1, "'2034-01-01'")


@pytest.mark.parametrize("moments", [(1.0, 2.0, 3.0), (NOW - 1, NOW + 1e6, NOW + 2e6)], ids=["relative", "made up"])
def test_moments_that_count_from_elsewhere_stay(monkeypatch, moments):
    monkeypatch.setattr(time, "time", lambda: NOW)
    data, report = _timed(*moments)
    assert report.ok
    assert data.interactions["time"].tolist() == list(moments)

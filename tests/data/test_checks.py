"""The checks of media columns: a silent clip is noted where sound is asked for, a broken one is reported."""

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

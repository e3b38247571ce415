"""`mmrec embed` on a folder of every format, hostile files among them: a right report, and the run goes on."""

import json
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import yaml
from PIL import Image

from tests.media_files import grey, sound, tone, video

pytestmark = pytest.mark.slow


def photos(folder):
    """Every image format, then hostile files."""
    import pillow_heif

    pixels = np.random.default_rng(0).integers(0, 255, (48, 64, 3), np.uint8)
    image = Image.fromarray(pixels)
    for name in ("a.jpg", "a.png", "a.gif", "a.webp", "a.bmp", "a.tif"):
        image.save(folder / name)
    pillow_heif.from_pillow(image).save(folder / "a.heic")
    image.convert("CMYK").save(folder / "cmyk.jpg")
    image.convert("L").save(folder / "grey.png")
    image.convert("RGBA").save(folder / "alpha.png")
    Image.fromarray(pixels[..., 0].astype(np.uint16) * 257).save(folder / "deep.png")
    (folder / "a.png").rename(folder / "png_inside.jpg")
    good = ["a.jpg", "a.gif", "a.webp", "a.bmp", "a.tif", "a.heic", "cmyk.jpg", "grey.png", "alpha.png", "deep.png"]
    good.append("png_inside.jpg")
    Image.new("1", (20_000, 20_000)).save(folder / "huge.png")
    (folder / "cut.jpg").write_bytes((folder / "a.jpg").read_bytes()[:300])
    (folder / "empty.jpg").write_bytes(b"")
    (folder / "text.jpg").write_text("no picture")
    return good, ["huge.png", "cut.jpg", "empty.jpg", "text.jpg"]


def clips(folder):
    wave = tone(1.0, 22050)
    for name, container, subtype in (
        ("a.wav", "WAV", "PCM_16"), ("a.flac", "FLAC", "PCM_16"), ("a.ogg", "OGG", "VORBIS"),
        ("a.mp3", "MP3", "MPEG_LAYER_III"), ("a.aiff", "AIFF", "PCM_16"),
    ):  # fmt: skip
        (folder / name).write_bytes(sound(wave, 22050, container, subtype))
    (folder / "a.opus").write_bytes(sound(tone(1.0, 48000), 48000, "OGG", "OPUS"))
    (folder / "hour.wav").write_bytes(sound(np.tile(tone(1.0, 8000), 3600), 8000, "WAV", "PCM_U8"))
    (folder / "cut.mp3").write_bytes((folder / "a.mp3").read_bytes()[:40])
    (folder / "empty.wav").write_bytes(b"")
    (folder / "text.ogg").write_text("no sound")
    good = ["a.wav", "a.flac", "a.ogg", "a.mp3", "a.aiff", "a.opus", "hour.wav"]
    return good, ["cut.mp3", "empty.wav", "text.ogg"]


def videos(folder):
    frames = [grey(number) for number in range(20)]
    video(folder / "a.mp4", frames, waveform=tone(2.0, 16000))
    video(folder / "a.webm", frames, codec="libvpx")
    video(folder / "a.mkv", frames)
    video(folder / "a.gif", frames, codec="gif")
    (folder / "cut.mp4").write_bytes((folder / "a.mp4").read_bytes()[:200])
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "text.webm").write_text("no film")
    return ["a.mp4", "a.webm", "a.mkv", "a.gif"], ["cut.mp4", "empty.mp4", "text.webm"]


def test_every_format_and_hostile_files(tmp_path):
    columns, expected = {}, {}
    for column, make in (("photo", photos), ("clip", clips), ("film", videos)):
        folder = tmp_path / column
        folder.mkdir()
        good, hostile = make(folder)
        columns[column] = [f"{column}/{name}" for name in good + hostile] + [f"{column}/gone", ""]
        expected[column] = (len(good), len(hostile))
    rows = max(map(len, columns.values()))
    table = {column: paths + [""] * (rows - len(paths)) for column, paths in columns.items()}
    pd.DataFrame({"item": range(rows), **table}).to_csv(tmp_path / "items.csv", index=False)
    pd.DataFrame({"user": [1, 2], "item": [0, 1], "time": [1, 2]}).to_csv(tmp_path / "x.csv", index=False)
    config = {
        "data": {"interactions": "x.csv", "items": "items.csv"},
        "schema": {
            "user": {"user": "id"},
            "item": {
                "item": "id",
                "photo": "image",
                "clip": "audio",
                "film": "video",
                "soundtrack": {"kind": "audio", "columns": ["film"]},
            },
            "context": {"time": "timestamp"},
        },
    }
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    command = [
        sys.executable,
        "-c",
        "from mmrec_tf.cli import main; main()",
        "embed",
        tmp_path / "config.yaml",
        "--json",
    ]
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    features = json.loads(done.stdout)["features"]
    for column, (good, hostile) in expected.items():
        found = features[column]
        assert found["computed"] + found["reused"] == good, (column, found)
        assert found["problems"]["undecodable_media"] == hostile and found["problems"]["missing_media"] == 1
        assert found["undecodable"] == 0
    # Of the four films one has sound; that the others have none is no fault of theirs.
    assert features["soundtrack"]["computed"] == 1

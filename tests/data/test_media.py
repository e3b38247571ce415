import io
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from mmrec_tf.data.media import MAX_PIXELS, check_media, decoding_fault, parse_media


def _photo(format="JPEG", size=(64, 48)) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, format)
    return buffer.getvalue()


def _clip(format="WAV", samples=1600) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.sin(np.arange(samples) / 10.0), 16000, format=format)
    return buffer.getvalue()


def test_cells_become_absolute_paths_bytes_or_none(tmp_path):
    cells = ["a/b.jpg", str(tmp_path / "c.jpg"), "", None, np.nan, b"xy", bytearray(b"z"), Path("d.jpg")]
    cells += [{"bytes": b"q", "path": "p.jpg"}, {"bytes": None, "path": "p.jpg"}]
    sources = parse_media(pd.Series(cells, dtype=object), tmp_path)
    here = tmp_path.absolute()
    assert sources.tolist() == [
        here / "a/b.jpg", here / "c.jpg", None, None, None, b"xy", b"z", here / "d.jpg", b"q", here / "p.jpg",
    ]  # fmt: skip


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "BMP", "WEBP", "TIFF"])
def test_whole_images_are_fine_and_halves_are_not(format):
    photo = _photo(format)
    assert decoding_fault(photo, "image") is None
    assert decoding_fault(photo[: len(photo) // 2], "image") is not None


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG"])
def test_audio_is_fine_and_noise_is_not(format):
    clip = _clip(format)
    assert decoding_fault(clip, "audio") is None
    assert decoding_fault(b"\x00" * 200, "audio") is not None
    assert decoding_fault(clip[:20], "audio") is not None


def test_audio_without_samples_is_no_audio():
    assert decoding_fault(_clip(samples=0), "audio") == "no samples"


def test_image_with_too_many_pixels_is_refused_unread():
    buffer = io.BytesIO()
    Image.new("1", (9000, 8000)).save(buffer, "PNG")
    assert 9000 * 8000 > MAX_PIXELS
    assert "more than the limit" in decoding_fault(buffer.getvalue(), "image")


def test_an_image_is_no_audio_and_the_reverse():
    assert decoding_fault(_photo(), "audio") is not None
    assert decoding_fault(_clip(), "image") is not None


def test_every_distinct_file_is_opened_once_and_every_row_reported(tmp_path):
    (tmp_path / "good.jpg").write_bytes(_photo())
    (tmp_path / "bad.jpg").write_bytes(b"not a photo")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    names = ["good.jpg", "bad.jpg", "absent.jpg", None, "bad.jpg", "empty.jpg", "folder.jpg", "x" * 5000]
    calls = []
    missing, broken = check_media(
        parse_media(pd.Series(names, dtype=object), tmp_path), "image", lambda done, total: calls.append((done, total))
    )
    assert list(missing) == [2, 6, 7]
    assert list(broken) == [1, 4, 5]
    assert "empty file" in broken[5]
    assert "is a folder" in missing[6]
    # Six distinct sources: bad.jpg is named twice, one cell is empty.
    assert calls == [(number, 6) for number in range(1, 7)]


def test_bytes_are_checked_like_files():
    sources = np.array([_photo(), b"", b"nonsense", None], dtype=object)
    missing, broken = check_media(sources, "image")
    assert missing == {}
    assert list(broken) == [1, 2]


def test_video_must_be_there_and_not_empty(tmp_path):
    (tmp_path / "a.mp4").write_bytes(b"anything")
    (tmp_path / "b.mp4").write_bytes(b"")
    sources = parse_media(pd.Series(["a.mp4", "b.mp4", "c.mp4"]), tmp_path)
    missing, broken = check_media(sources, "video")
    assert (list(missing), list(broken)) == ([2], [1])


def test_real_files_decode(shared_data):
    for folder, kind in (("movielens-posters-internal-only", "image"), ("sounds-esc10-ccby", "audio")):
        files = sorted(path for path in (shared_data / folder).rglob("*") if path.suffix in (".jpg", ".ogg"))[:20]
        assert len(files) == 20
        assert check_media(np.array(files, dtype=object), kind) == ({}, {})

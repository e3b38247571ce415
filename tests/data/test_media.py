import errno
import io
import os
import zlib
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import soundfile
from PIL import Image

from mmrec_tf.data import media
from mmrec_tf.data.audio_files import MAX_RATE
from mmrec_tf.data.image_files import MAX_PIXELS, open_image
from mmrec_tf.data.media import EXTENSIONS, check_media, media_fault, parse_media
from tests.media_files import grey, tone, video
from tests.open_files import open_files_limited


def _photo(format="JPEG", size=(64, 48)) -> bytes:
    noise = np.random.default_rng(0).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    buffer = io.BytesIO()
    Image.fromarray(noise).save(buffer, format)
    return buffer.getvalue()


def _clip(format="WAV", samples=1600) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, np.sin(np.arange(samples) / 10.0), 16000, format=format)
    return buffer.getvalue()


def fault_of(source, kind):
    fault = media_fault(source, kind)
    return None if fault is None else fault[1]


def test_cells_become_absolute_paths_bytes_or_none(tmp_path):
    cells = ["a/b.jpg", str(tmp_path / "c.jpg"), "", None, np.nan, b"xy", bytearray(b"z"), Path("d.jpg")]
    cells += [{"bytes": b"q", "path": "p.jpg"}, {"bytes": None, "path": "p.jpg"}]
    sources = parse_media(pd.Series(cells, dtype=object), tmp_path)
    here = tmp_path.absolute()
    assert sources.tolist() == [
        here / "a/b.jpg", here / "c.jpg", None, None, None, b"xy", b"z", here / "d.jpg", b"q", here / "p.jpg",
    ]  # fmt: skip


def _broken(source: bytes, reason: str) -> tuple[str, str]:
    """The fault of bytes that are called by their number, as they have no name."""
    return "broken", f"{len(source):,} bytes: {reason}"


@pytest.mark.parametrize(
    ("format", "decoder_says"),
    [
        *((format, "OSError: image file is truncated") for format in ("JPEG", "PNG", "GIF", "BMP", "TIFF")),
        ("WEBP", "OSError: could not create decoder object"),
    ],
)
def test_whole_images_are_fine_and_halves_are_not(format, decoder_says):
    photo = _photo(format)
    assert media_fault(photo, "image") is None
    half = photo[: len(photo) // 2]
    state, reason = media_fault(half, "image")
    # Some decoders add how many bytes they were left with.
    assert (state, reason.split(" (")[0]) == _broken(half, decoder_says)


@pytest.mark.parametrize("format", ["WAV", "FLAC", "OGG"])
def test_audio_is_fine_and_noise_is_not(format):
    clip, noise = _clip(format), b"\x00" * 200
    assert media_fault(clip, "audio") is None
    assert media_fault(noise, "audio") == _broken(noise, "LibsndfileError: Error opening: Format not recognised")
    state, reason = media_fault(clip[:20], "audio")
    assert state == "broken" and reason.startswith("20 bytes: LibsndfileError: Error opening: ")


def test_audio_without_samples_is_no_audio():
    # A WAV header is 44 bytes.
    assert media_fault(_clip(samples=0), "audio") == ("broken", "44 bytes: no samples")


def test_image_with_too_many_pixels_is_refused_unread():
    buffer = io.BytesIO()
    Image.new("1", (9000, 8000)).save(buffer, "PNG")
    assert 9000 * 8000 > MAX_PIXELS
    assert "more than the limit" in fault_of(buffer.getvalue(), "image")


def test_an_image_is_no_audio_and_the_reverse():
    photo, clip = _photo(), _clip()
    assert media_fault(photo, "audio") == _broken(photo, "LibsndfileError: Error opening: Format not recognised")
    assert media_fault(clip, "image") == _broken(clip, "UnidentifiedImageError: cannot identify image file")


def test_every_distinct_file_is_opened_once_and_every_row_reported(tmp_path):
    (tmp_path / "good.jpg").write_bytes(_photo())
    (tmp_path / "bad.jpg").write_bytes(b"not a photo")
    (tmp_path / "empty.jpg").write_bytes(b"")
    (tmp_path / "folder.jpg").mkdir()
    names = ["good.jpg", "bad.jpg", "absent.jpg", None, "bad.jpg", "empty.jpg", "folder.jpg", "x" * 5000]
    calls = []
    found = check_media(
        parse_media(pd.Series(names, dtype=object), tmp_path), "image", lambda done, total: calls.append((done, total))
    )
    assert list(found.missing) == [2, 6, 7]
    assert list(found.broken) == [1, 4, 5]
    assert "empty file" in found.broken[5]
    assert "is a folder" in found.missing[6]
    # Six distinct sources: bad.jpg is named twice, one cell is empty.
    assert calls == [(number, 6) for number in range(1, 7)]


def test_bytes_are_checked_like_files():
    sources = np.array([_photo(), b"", b"nonsense", None], dtype=object)
    found = check_media(sources, "image")
    assert found.missing == {}
    assert list(found.broken) == [1, 2]


@pytest.fixture(scope="module")
def clips(tmp_path_factory):
    """Videos with and without sound, and a sound without pictures."""
    folder = tmp_path_factory.mktemp("clips")
    frames = [grey(number) for number in range(10)]
    video(folder / "both.mp4", frames, waveform=tone(1.0, 16000))
    video(folder / "silent.mp4", frames)
    video(folder / "sound.m4a", waveform=tone(1.0, 16000))
    (folder / "cut.mp4").write_bytes((folder / "both.mp4").read_bytes()[:2000])
    (folder / "text.mp4").write_text("a film about a dog\n" * 40)
    (folder / "list.mp4").write_text(f"ffconcat version 1.0\nfile {folder / 'both.mp4'}\n")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / "folder.mp4").mkdir()
    return folder


@pytest.mark.parametrize(
    ("name", "state", "reason"),
    [
        ("both.mp4", None, None),
        ("silent.mp4", None, None),
        ("sound.m4a", "broken", "no pictures in it"),
        ("cut.mp4", "broken", "Error"),
        ("text.mp4", "broken", "Error"),
        ("list.mp4", "broken", "Error"),
        ("empty.mp4", "broken", "empty file"),
        ("folder.mp4", "missing", "is a folder"),
        ("none.mp4", "missing", "is not there"),
    ],
)
def test_videos(clips, name, state, reason):
    fault = media_fault(clips / name, "video")
    if state is None:
        assert fault is None
    else:
        assert fault[0] == state
        assert fault[1].startswith(str(clips / name)) and reason in fault[1]


def test_files_that_cannot_be_read_are_not_broken(clips, tmp_path):
    (tmp_path / "photo.jpg").write_bytes(_photo())
    (tmp_path / "clip.wav").write_bytes(_clip())
    for path, kind in (
        (tmp_path / "photo.jpg", "image"),
        (tmp_path / "clip.wav", "audio"),
        (clips / "sound.m4a", "audio"),
        (clips / "both.mp4", "video"),
    ):
        assert media_fault(path, kind) is None
        with open_files_limited(0):
            fault = media_fault(path, kind)
        assert fault == ("unreadable", f"{path} cannot be read ({os.strerror(errno.EMFILE)})")
        assert media_fault(path, kind) is None


def test_a_file_that_is_back_at_once_is_judged_by_its_content(tmp_path, monkeypatch):
    (tmp_path / "photo.jpg").write_bytes(_photo())
    asked = []

    def fails_once(source, side):
        asked.append(source)
        if len(asked) == 1:
            raise OSError(errno.ESTALE, os.strerror(errno.ESTALE))
        return open_image(source, side)

    monkeypatch.setattr(media, "open_image", fails_once)
    assert media_fault(tmp_path / "photo.jpg", "image") is None
    assert len(asked) == 2


def test_a_folder_that_may_not_be_entered_does_not_make_its_files_missing(tmp_path, monkeypatch):
    path = tmp_path / "photo.jpg"

    def refuse(path):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    with monkeypatch.context() as patch:
        patch.setattr(media.os, "stat", refuse)
        fault = media_fault(path, "image")
    assert fault == ("unreadable", f"{path} cannot be read ({os.strerror(errno.EACCES)})")


def test_a_silent_video_has_no_sound_and_no_fault(clips):
    names = ["both.mp4", "silent.mp4", "sound.m4a", "cut.mp4", "silent.mp4"]
    found = check_media(np.array([clips / name for name in names], dtype=object), "audio")
    assert found.absent == {row: f"{clips / 'silent.mp4'}: no sound in it" for row in (1, 4)}
    assert found.missing == {} and list(found.broken) == [3]
    assert media_fault((clips / "silent.mp4").read_bytes(), "audio")[0] == "absent"


def test_reasons_name_no_objects_in_memory(clips):
    for kind in ("image", "audio", "video"):
        state, reason = media_fault(b"nothing that can be decoded" * 20, kind)
        assert state == "broken" and "0x" not in reason and "none" not in reason.lower() and len(reason) > 30


def test_absurd_audio_is_refused_with_its_reason():
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros(100), MAX_RATE + 1, format="WAV")
    assert f"{MAX_RATE + 1:,} Hz" in fault_of(buffer.getvalue(), "audio")
    buffer = io.BytesIO()
    soundfile.write(buffer, np.full(100, np.nan), 8000, format="WAV", subtype="FLOAT")
    assert "not finite" in fault_of(buffer.getvalue(), "audio")
    buffer = io.BytesIO()
    soundfile.write(buffer, np.zeros((10, 65)), 8000, format="WAV")
    assert "65 channels" in fault_of(buffer.getvalue(), "audio")


def test_a_decompression_bomb_is_refused_unread():
    # 20,000 x 20,000 pixels; only the header is true, so that reading on would be an error of another kind.
    small = io.BytesIO()
    Image.new("1", (8, 8)).save(small, "PNG")
    data = bytearray(small.getvalue())
    data[16:24] = (20000).to_bytes(4, "big") * 2
    data[29:33] = zlib.crc32(data[12:29]).to_bytes(4, "big")
    assert "more pixels than the limit of 64,000,000" in fault_of(bytes(data), "image")


def test_videos_with_too_large_pictures_are_refused(clips, monkeypatch):
    monkeypatch.setattr(media, "MAX_FRAME_PIXELS", 3071)
    # 64 x 48 pixels are 3,072.
    assert "64 x 48 pixels, more than the limit of 3,071" in fault_of(clips / "both.mp4", "video")


def test_extensions_are_of_one_kind_each():
    every = [extension for extensions in EXTENSIONS.values() for extension in extensions]
    assert len(every) == len(set(every)) and all(extension.startswith(".") for extension in every)


def test_real_files_decode(shared_data):
    for folder, kind, count in (
        ("movielens-posters-internal-only", "image", 20),
        ("photos-cc0", "image", 20),
        ("sounds-esc10-ccby", "audio", 20),
        ("emotify-odd/audio", "audio", 20),
        ("video/asl", "video", 5),
    ):
        suffixes = {"image": (".jpg",), "audio": (".ogg",), "video": (".mkv",)}[kind]
        files = sorted(path for path in (shared_data / folder).rglob("*") if path.suffix in suffixes)[:count]
        found = check_media(np.array(files, dtype=object), kind)
        assert len(files) == count
        assert (found.missing, found.broken, found.absent) == ({}, {}, {})

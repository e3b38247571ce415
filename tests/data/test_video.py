"""Video decoding: containers, which frames are chosen, aspect and rotation, hostile files, bounds."""

import av
import numpy as np
import pytest

from mmrec_tf.data import video as video_module
from mmrec_tf.data.video import decode_video
from tests.media_files import grey, number_of, tone, video

CONTAINERS = [
    ("a.mp4", "mpeg4"),
    ("a.mp4", "libx264"),
    ("a.mov", "libx264"),
    ("a.mkv", "libx264"),
    ("a.avi", "mpeg4"),
    ("a.webm", "libvpx-vp9"),
]


def numbers(frames):
    return [number_of(frame) for frame in frames]


@pytest.mark.parametrize(("name", "codec"), CONTAINERS)
def test_uniform_takes_the_middle_of_equal_parts(name, codec, tmp_path):
    path = video(tmp_path / name, [grey(number) for number in range(48)], codec=codec)
    frames = decode_video(path, frames=4, size=16)
    assert frames.shape == (4, 16, 16, 3) and frames.dtype == np.uint8
    # 48 frames in 4 parts of 12; the middle of a part, frame 6, is shown from there on.
    assert numbers(frames) == [6, 18, 30, 42]
    renamed = path.rename(tmp_path / "misnamed.jpg")
    np.testing.assert_array_equal(decode_video(renamed, 4, 16), frames)
    np.testing.assert_array_equal(decode_video(renamed.read_bytes(), 4, 16), frames)


def test_a_gif_and_a_single_picture(tmp_path):
    # rgb8 has 8 levels of red and green and 4 of blue, so that three greys at most are told apart.
    levels = [np.full((32, 32, 3), level, np.uint8) for level in (0, 0, 255, 255)]
    path = video(tmp_path / "a.gif", levels, codec="gif")
    found = [frame.mean() for frame in decode_video(path, 2, 16)]
    np.testing.assert_allclose(found, [0, 255], atol=4)
    single = video(tmp_path / "b.gif", levels[:1], codec="gif")
    assert decode_video(single, 8, 16).shape == (1, 16, 16, 3)


@pytest.mark.parametrize("count", [1, 3, 7])
def test_a_shorter_video_gives_all_its_frames_once(count, tmp_path):
    path = video(tmp_path / "a.mkv", [grey(number) for number in range(count)])
    assert numbers(decode_video(path, 8, 16)) == list(range(count))


def test_key_frames_only(tmp_path, monkeypatch):
    path = video(tmp_path / "a.mp4", [grey(number) for number in range(40)], codec="libx264", key_every=8)
    assert numbers(decode_video(path, 16, 16, "keyframes")) == [0, 8, 16, 24, 32]
    # Evenly over five: the first, the third and the last.
    assert numbers(decode_video(path, 3, 16, "keyframes")) == [0, 16, 32]
    single = video(tmp_path / "b.mp4", [grey(number) for number in range(40)], codec="libx264", key_every=100)
    assert numbers(decode_video(single, 4, 16, "keyframes")) == numbers(decode_video(single, 4, 16)) == [5, 15, 25, 35]


def colours(*lengths):
    """Scenes of plain, different colours."""
    shades = [(200, 30, 30), (30, 200, 30), (30, 30, 200), (220, 220, 40)]
    return [np.full((48, 64, 3), shade, np.uint8) for shade, length in zip(shades, lengths) for _ in range(length)]


def shade_of(frame):
    mean = frame.reshape(-1, 3).mean(axis=0)
    return "blue" if mean[2] > 120 else "yellow" if mean.min() < 90 and mean[:2].min() > 120 else (
        "red" if mean[0] > 120 else "green"
    )  # fmt: skip


def test_scenes_give_one_frame_each_of_the_longest(tmp_path):
    path = video(tmp_path / "a.mp4", colours(10, 20, 4, 16))
    assert [shade_of(frame) for frame in decode_video(path, 4, 16, "scenes")] == ["red", "green", "blue", "yellow"]
    assert [shade_of(frame) for frame in decode_video(path, 3, 16, "scenes")] == ["red", "green", "yellow"]
    assert [shade_of(frame) for frame in decode_video(path, 1, 16, "scenes")] == ["green"]
    # Two frames more than scenes: the longest, green, gets the fifth, then yellow (16 against 20 / 2) the sixth.
    shades = [shade_of(frame) for frame in decode_video(path, 6, 16, "scenes")]
    assert shades == ["red", "green", "green", "blue", "yellow", "yellow"]


def test_one_scene_is_seen_from_beginning_to_end(tmp_path):
    path = video(tmp_path / "a.mp4", [grey(number) for number in range(48)])
    assert numbers(decode_video(path, 4, 16, "scenes")) == [6, 18, 30, 42]


def test_shots_are_cut_where_the_network_says(tmp_path):
    seen = []

    def scores(thumbnails):
        seen.append(thumbnails)
        out = np.zeros(len(thumbnails))
        # Shots of frames 0 to 9, 10 to 39 and 40 to 47.
        out[[9, 39]] = 0.9
        return out

    path = video(tmp_path / "a.mp4", [grey(number) for number in range(48)])
    assert numbers(decode_video(path, 2, 16, "shots", scores)) == [5, 25]
    assert seen[0].shape == (48, 27, 48, 3) and seen[0].dtype == np.uint8
    # Scaled at low precision, a thumbnail may be a level off; each frame is 4 levels above the one before.
    np.testing.assert_allclose(seen[0].mean(axis=(1, 2, 3)), 16 + 4 * np.arange(48), atol=2.5)
    with pytest.raises(ValueError, match="shot_scores"):
        decode_video(path, 2, 16, "shots")
    with pytest.raises(ValueError, match="uniform, keyframes"):
        decode_video(path, 2, 16, "random")


def test_aspect_is_kept_and_the_middle_taken(tmp_path):
    wide = np.zeros((48, 144, 3), np.uint8)
    wide[:, 48:96] = 255
    (frame,) = decode_video(video(tmp_path / "a.mp4", [wide] * 2), 1, 48)
    # Only the middle third is left; compression blurs its edges a little.
    assert frame[:, 4:-4].min() > 235


def test_pixels_that_are_not_square(tmp_path):
    narrow = np.zeros((48, 72, 3), np.uint8)
    narrow[:, 24:48] = 255
    # Pixels twice as wide as high: 72 x 48 is shown as 144 x 48, of which the middle third is left.
    (frame,) = decode_video(video(tmp_path / "a.mp4", [narrow] * 2, aspect=2), 1, 48)
    assert frame[:, 5:-5].min() > 235
    # Square pixels: 12 of the middle 48 stay dark on either side.
    (frame,) = decode_video(video(tmp_path / "b.mp4", [narrow] * 2), 1, 48)
    assert frame[:, :9].max() < 20 and frame[:, 15:-15].min() > 235


def test_the_file_s_rotation_is_applied(tmp_path):
    left_bright = np.zeros((64, 64, 3), np.uint8)
    left_bright[:, :32] = 255
    data = video(tmp_path / "a.mp4", [left_bright] * 3).read_bytes()
    # The picture track's matrix, fixed point: a quarter turn clockwise, as phones write for upright recordings.
    one, minus = (1 << 16).to_bytes(4, "big"), (-(1 << 16) & 0xFFFFFFFF).to_bytes(4, "big")
    zero, last = bytes(4), (1 << 30).to_bytes(4, "big")
    upright = one + zero * 3 + one + zero * 3 + last
    track = data.index(b"tkhd")
    turned = zero + one + zero + minus + zero * 4 + last
    turned = data[:track] + data[track:].replace(upright, turned, 1)
    (frame,) = decode_video(turned, 1, 32)
    # Turned clockwise, the left side is on top.
    assert frame[:14].mean() > 240 and frame[18:].mean() < 15


def test_hostile_files_are_none(tmp_path):
    good = video(tmp_path / "a.mp4", [grey(number) for number in range(20)], waveform=tone(2.0, 16000))
    data = good.read_bytes()
    (tmp_path / "text.mp4").write_text("just words, many of them\n" * 50)
    (tmp_path / "list.mp4").write_text(f"ffconcat version 1.0\nfile {good}\n")
    (tmp_path / "playlist.mp4").write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:9\n#EXTINF:9,\n{good}\n#EXT-X-ENDLIST\n")
    sound_only = video(tmp_path / "s.mp4", waveform=tone(1.0, 16000))
    sources = [b"", b"\x00" * 500, data[:200], sound_only, tmp_path, tmp_path / "none.mp4"]
    for source in [*sources, *(tmp_path / name for name in ("text.mp4", "list.mp4", "playlist.mp4"))]:
        for sampling in ("uniform", "keyframes", "scenes"):
            assert decode_video(source, 2, 16, sampling) is None


def test_a_truncated_video_gives_what_is_there(tmp_path):
    data = video(tmp_path / "a.mkv", [grey(number) for number in range(48)], key_every=4).read_bytes()
    for sampling in ("uniform", "keyframes", "scenes"):
        frames = decode_video(data[: len(data) * 2 // 3], 4, 16, sampling)
        found = numbers(frames)
        assert found == sorted(set(found)) and max(found) < 40


def test_damaged_bytes_end_in_frames_or_none(tmp_path):
    data = video(tmp_path / "a.mp4", [grey(number) for number in range(30)], codec="libx264").read_bytes()
    random = np.random.default_rng(0)
    for sampling in ("uniform", "keyframes", "scenes") * 4:
        damaged = bytearray(data)
        for place in random.integers(0, len(data), 20):
            damaged[place] = random.integers(256)
        frames = decode_video(bytes(damaged), 4, 16, sampling)
        assert frames is None or (1 <= len(frames) <= 4 and frames.shape[1:] == (16, 16, 3))


def test_pictures_that_are_too_large_are_refused(tmp_path, monkeypatch):
    path = video(tmp_path / "a.mp4", [grey(number) for number in range(3)])
    from mmrec_tf.data import containers

    # 48 x 64 = 3,072 pixels; FFmpeg counts a padded frame, up to 128 more on each side.
    monkeypatch.setattr(containers, "MAX_FRAME_PIXELS", 3000)
    assert decode_video(path, 2, 16) is None


def test_a_long_video_costs_a_bounded_number_of_frames(tmp_path, monkeypatch):
    path = video(tmp_path / "a.mkv", [grey(number % 56) for number in range(600)], key_every=10)
    decoded = []
    original = video_module.decoded_frames

    def counted(container, stream):
        for frame in original(container, stream):
            decoded.append(frame.pts)
            yield frame

    monkeypatch.setattr(video_module, "decoded_frames", counted)
    monkeypatch.setattr(video_module, "_SEEK_GAP", 20)
    frames = decode_video(path, 5, 16)
    # Parts of 120 frames; their middles are frames 60, 180, 300, 420 and 540.
    assert numbers(frames) == [number % 56 for number in (60, 180, 300, 420, 540)]
    # At most a group of key frames and the frame behind, for each.
    assert len(decoded) <= 5 * 12
    monkeypatch.setattr(video_module, "MAX_DECODED_FRAMES", 70)
    decoded.clear()
    # Scenes of a long video are sought among its 60 key frames.
    frames = decode_video(path, 2, 16, "scenes")
    assert len(frames) == 2 and len(decoded) <= 70 + 70


def test_real_videos(shared_data):
    for name, sampling in (("people-detection.gif", "uniform"), ("asl/yes.mkv", "scenes")):
        frames = decode_video(shared_data / "video" / name, 8, 32, sampling)
        assert frames.shape == (8, 32, 32, 3) and frames.std() > 20
    # The same film in two codecs: frames of one moment look alike.
    first, second = (decode_video(shared_data / "video" / name, 4, 32) for name in ("flower.mp4", "flower.webm"))
    assert np.abs(first.astype(int) - second.astype(int)).mean() < 8


def test_uniform_agrees_with_decoding_everything(shared_data):
    path = shared_data / "video" / "friday.mp4"
    with av.open(str(path)) as container:
        times = [frame.time for frame in container.decode(video=0)]
    frames = decode_video(path, 6, 64)
    with av.open(str(path)) as container:
        everything = [video_module.square(frame, 64) for frame in container.decode(video=0)]
    duration = times[-1] + times[1] - times[0]
    for part, frame in enumerate(frames):
        shown = max(i for i, time in enumerate(times) if time <= (part + 0.5) / 6 * duration + 1e-4)
        np.testing.assert_array_equal(frame, everything[shown])


def test_a_title_that_is_not_utf_8_is_no_fault(tmp_path):
    path = video(tmp_path / "video.avi", [grey(number) for number in range(3)], title="AAAA")
    content = path.read_bytes()
    assert content.count(b"AAAA") == 1
    frames = decode_video(path, 2, 16)
    # A greeting in GBK.
    path.write_bytes(content.replace(b"AAAA", b"\xc4\xe3\xba\xc3"))
    for source in (path, path.read_bytes()):
        np.testing.assert_array_equal(decode_video(source, 2, 16), frames)

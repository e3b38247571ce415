"""Large and long files within a bound of memory, measured in a process of their own."""

import struct
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.media_files import grey, video

_LIMIT_MB = 150

_MEASURE = """
import sys
from pathlib import Path

import av, numpy, PIL.Image, scipy.signal, soundfile
from mmrec_tf.data import audio, images, media, video

def peak():
    return next(int(line.split()[1]) for line in open("/proc/self/status") if line.startswith("VmHWM")) / 1024

folder, before = Path(sys.argv[1]), peak()
"""


def measured(folder: Path, code: str) -> tuple[float, str]:
    """How many MB a process grew by running the code, and what it printed."""
    script = f'{_MEASURE}\n{code}\nprint(f"{{peak() - before:.1f}}")'
    process = subprocess.run(
        [sys.executable, "-c", script, str(folder)], capture_output=True, text=True, cwd=Path(__file__).parents[2]
    )
    assert process.returncode == 0, process.stderr
    *printed, grown = process.stdout.splitlines()
    return float(grown), "\n".join(printed)


@pytest.fixture(autouse=True)
def _needs_proc():
    if not Path("/proc/self/status").is_file():
        pytest.skip("memory is read from /proc, which this system does not have")


def test_an_hour_of_audio(tmp_path):
    # 16 bit, stereo, 44.1 kHz: 635 MB, of which the file system stores the header alone.
    size = 3600 * 44100 * 4
    header = b"RIFF" + struct.pack("<I", 36 + size) + b"WAVEfmt "
    header += struct.pack("<IHHIIHH", 16, 1, 2, 44100, 44100 * 4, 4, 16) + b"data" + struct.pack("<I", size)
    with open(tmp_path / "hour.wav", "wb") as file:
        file.write(header)
        file.truncate(len(header) + size)
    code = """
path = folder / "hour.wav"
print(media.media_fault(path, "audio"))
print(audio.decode_audio(path, 16000, 10.0, windows=6, loudness=-23.0, trim_silence=True).shape)
"""
    grown, printed = measured(tmp_path, code)
    # An hour of silence is no fault; six windows of 160,000 samples.
    assert printed == "None\n(960000,)"
    assert grown < _LIMIT_MB


@pytest.mark.slow
def test_huge_images(tmp_path):
    Image.new("1", (20000, 20000)).save(tmp_path / "bomb.png")
    Image.new("RGB", (20000, 3000), (200, 10, 10)).save(tmp_path / "wide.jpg")
    Image.fromarray(np.zeros((5000, 5000), np.uint16)).save(tmp_path / "deep.png")
    code = """
for name in ("bomb.png", "wide.jpg", "deep.png"):
    fault, pixels = media.media_fault(folder / name, "image"), images.decode_image(folder / name, 224)
    print(name, fault and fault[0], pixels if pixels is None else pixels.shape)
"""
    grown, printed = measured(tmp_path, code)
    assert printed == "bomb.png broken None\nwide.jpg None (224, 224, 3)\ndeep.png None (224, 224, 3)"
    # 5,000 x 5,000 deep pixels are 50 MB, 100 MB as floating point numbers if taken all at once.
    assert grown < _LIMIT_MB


@pytest.mark.slow
def test_a_long_video(tmp_path):
    # Ten minutes; whole, its frames would take 4,800 x 320 x 240 x 3 bytes: 1.1 GB.
    frames = [grey(number // 300, 240, 320) for number in range(4800)]
    video(tmp_path / "long.mp4", frames, rate=8, key_every=50)
    code = """
for sampling in ("uniform", "keyframes", "scenes"):
    print(video.decode_video(folder / "long.mp4", 8, 224, sampling).shape)
"""
    grown, printed = measured(tmp_path, code)
    assert printed == "\n".join(["(8, 224, 224, 3)"] * 3)
    assert grown < _LIMIT_MB

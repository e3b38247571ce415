"""Environments of the peers, one for each family of libraries whose pins exclude the others'."""

import hashlib
import subprocess
import sys
from pathlib import Path


def environment(folder: Path, family: str, pins: Path, python: str = sys.executable) -> Path:
    """The interpreter of a family's environment, made and filled when it is not there or its pins have changed.

    What cannot be installed is left out and written into `<family>-install.log`: a peer without its library says so in
    the table. pip takes its indexes from its own configuration; on Linux its default PyTorch brings CUDA along, and
    PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS can name a place with the smaller CPU build.

    Args:
        folder: where the environments are.
        family: str. Its name.
        pins: folder of `requirements-<family>.txt`.
        python: the interpreter to make it with.
    """
    pins /= f"requirements-{family}.txt"
    place = folder.absolute() / f"{family}-env"
    stamp, interpreter = place / "pins.sha256", place / "bin" / "python"
    digest = hashlib.sha256(pins.read_bytes()).hexdigest()
    if stamp.is_file() and stamp.read_text() == digest:
        return interpreter
    folder.mkdir(parents=True, exist_ok=True)
    print(f"installing {pins.name} into {place}", flush=True)
    with open(folder / f"{family}-install.log", "w", encoding="utf-8") as log:
        _run([python, "-m", "venv", "--clear", place], log)
        install = [interpreter, "-m", "pip", "install", "--disable-pip-version-check"]
        if _run([*install, "-r", pins], log):
            lines = [line for line in pins.read_text().splitlines() if line and not line.startswith("#")]
            for line in lines:
                if _run([*install, "-c", pins, line], log):
                    print(f"could not install {line}; see {log.name}", flush=True)
    if interpreter.is_file():
        stamp.write_text(digest)
    return interpreter


def _run(command, log):
    return subprocess.run([str(part) for part in command], stdout=log, stderr=subprocess.STDOUT).returncode

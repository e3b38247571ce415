"""Environments of the peers, one for each family of libraries whose pins exclude the others'."""

import hashlib
import subprocess
import sys
from pathlib import Path


def environment(folder: Path, family: str, pins: Path, python: str = sys.executable) -> Path:
    """The interpreter of a family's environment, made and filled when it is not there or its pins have changed.

    What cannot be installed is left out, written into `<family>-install.log`, and tried again by the next call: a peer
    without its library says so in the table. pip takes its indexes from its own configuration; on Linux its default
    PyTorch brings CUDA along, and PIP_EXTRA_INDEX_URL or PIP_FIND_LINKS can name a place with the smaller CPU build.

    Args:
        folder: where the environments are.
        family: str. Its name.
        pins: folder of `requirements-<family>.txt`.
        python: the interpreter to make it with.

    Raises:
        OSError: when there is no such interpreter, or it makes no environment.
    """
    pins /= f"requirements-{family}.txt"
    place = folder.absolute() / f"{family}-env"
    stamp, interpreter = place / "pins.sha256", place / "bin" / "python"
    digest = hashlib.sha256(pins.read_bytes()).hexdigest()
    # The digest, then what could not be installed, line by line.
    known, *unfinished = (stamp.read_text() if stamp.is_file() else "").split("\n")
    is_made = known == digest
    if is_made and not unfinished:
        return interpreter
    folder.mkdir(parents=True, exist_ok=True)
    install = [interpreter, "-m", "pip", "install", "--disable-pip-version-check"]
    print(f"installing {', '.join(unfinished) if is_made else pins.name} into {place}", flush=True)
    with open(folder / f"{family}-install.log", "a" if is_made else "w", encoding="utf-8") as log:
        if not is_made:
            _run([python, "-m", "venv", "--clear", place], log)
            if not interpreter.is_file():
                raise OSError(f"{python} -m venv {place} has made no environment; see {log.name}")
            unfinished = []
            if _run([*install, "-r", pins], log):
                unfinished = [line for line in pins.read_text().splitlines() if line and not line.startswith("#")]
        failed = [line for line in unfinished if _run([*install, "-c", pins, line], log)]
        for line in failed:
            print(f"could not install {line}; see {log.name}", flush=True)
    stamp.write_text("\n".join([digest, *failed]))
    return interpreter


def _run(command, log):
    return subprocess.run([str(part) for part in command], stdout=log, stderr=subprocess.STDOUT).returncode

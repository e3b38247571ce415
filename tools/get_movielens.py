"""Downloads MovieLens latest-small (1 MB) or MovieLens-100K (5 MB) and checks it.

    python tools/get_movielens.py --out data/movielens-small
    python tools/get_movielens.py --dataset 100k --out data/movielens-100k

The data sets are GroupLens': research use, no redistribution for profit, no commercial use without permission; see the
README inside. Cite Harper and Konstan, The MovieLens Datasets: History and Context (2015).
"""

import argparse
import hashlib
import io
import sys
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

FOLDER = "https://files.grouplens.org/datasets/movielens"
# name: (archive, SHA-256)
DATASETS = {
    "latest-small": ("ml-latest-small.zip", "696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436"),
    "100k": ("ml-100k.zip", "50d2a982c66986937beb9ffb3aa76efe955bf3d5c6b761f4e3a7cd717c6a3229"),
}


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--dataset", choices=sorted(DATASETS), default="latest-small")
    parser.add_argument("--out", type=Path, help="folder for the files (default: data/movielens-small or -100k)")
    parser.add_argument("--zip", type=Path, help="an archive that is already here, instead of the download")
    arguments = parser.parse_args()
    archive_name, expected = DATASETS[arguments.dataset]
    url = f"{FOLDER}/{archive_name}"
    out = arguments.out or Path("data") / f"movielens-{arguments.dataset.removeprefix('latest-')}"
    try:
        archive = arguments.zip.read_bytes() if arguments.zip else urllib.request.urlopen(url, timeout=60).read()
    except (urllib.error.URLError, OSError) as error:
        print(
            f"error: {arguments.zip or url} cannot be read ({error}). "
            "Download it in a browser and pass it with --zip FILE.",
            file=sys.stderr,
        )
        return 2
    found = hashlib.sha256(archive).hexdigest()
    if found != expected:
        print(f"error: the archive's SHA-256 is {found}, expected {expected}. Download it again.", file=sys.stderr)
        return 2
    out.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        for name in files.namelist():
            if not name.endswith("/"):
                (out / Path(name).name).write_bytes(files.read(name))
    print(f"wrote {', '.join(sorted(path.name for path in out.iterdir()))} to {out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

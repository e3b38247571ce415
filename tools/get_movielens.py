"""Downloads MovieLens latest-small (1 MB) and checks it.

    python tools/get_movielens.py --out data/movielens-small

The data set is GroupLens': research use, no redistribution for profit, no commercial use without permission; see the
README.txt inside. Cite Harper and Konstan, The MovieLens Datasets: History and Context (2015).
"""

import argparse
import hashlib
import io
import sys
import urllib.error
import urllib.request
import zipfile
from pathlib import Path

URL = "https://files.grouplens.org/datasets/movielens/ml-latest-small.zip"
SHA256 = "696d65a3dfceac7c45750ad32df2c259311949efec81f0f144fdfb91ebc9e436"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--out", type=Path, default=Path("data/movielens-small"), help="folder for the CSV files")
    parser.add_argument("--zip", type=Path, help="an archive that is already here, instead of the download")
    arguments = parser.parse_args()
    try:
        archive = arguments.zip.read_bytes() if arguments.zip else urllib.request.urlopen(URL, timeout=60).read()
    except (urllib.error.URLError, OSError) as error:
        print(
            f"error: {arguments.zip or URL} cannot be read ({error}). "
            "Download it in a browser and pass it with --zip FILE.",
            file=sys.stderr,
        )
        return 2
    found = hashlib.sha256(archive).hexdigest()
    if found != SHA256:
        print(f"error: the archive's SHA-256 is {found}, expected {SHA256}. Download it again.", file=sys.stderr)
        return 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    with zipfile.ZipFile(io.BytesIO(archive)) as files:
        for name in files.namelist():
            if not name.endswith("/"):
                (arguments.out / Path(name).name).write_bytes(files.read(name))
    print(f"wrote {', '.join(sorted(path.name for path in arguments.out.iterdir()))} to {arguments.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main())

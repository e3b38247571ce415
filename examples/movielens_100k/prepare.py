"""Turns MovieLens-100K into the tables of this example.

python examples/movielens_100k/prepare.py --movielens data/movielens-100k --out data/ml100k
python examples/movielens_100k/prepare.py --movielens data/movielens-100k --out data/ml100k-thin --thin 15
"""

import argparse
import shutil
import sys
from pathlib import Path

import numpy as np
import pandas as pd

HERE = Path(__file__).resolve().parent
FILES = ("u.data", "u.user", "u.item", "u.genre")
FEWEST = 4
"""Ratings that `--thin` leaves of a person: what is held out and something to learn from."""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--movielens", type=Path, required=True, help=f"folder with {', '.join(FILES)}")
    parser.add_argument("--out", type=Path, required=True, help="folder for the tables and the configuration")
    parser.add_argument("--thin", type=int, metavar="N", help="keep some N ratings a person, in an order of chance")
    arguments = parser.parse_args()
    if arguments.thin is not None and arguments.thin <= FEWEST:
        parser.error(f"--thin must be above {FEWEST}, got {arguments.thin}.")
    for name in FILES:
        if not (arguments.movielens / name).is_file():
            print(
                f"error: {arguments.movielens / name} is not there. Run: "
                f"python tools/get_movielens.py --dataset 100k --out {arguments.movielens}",
                file=sys.stderr,
            )
            return 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    ratings = rating_table(arguments.movielens)
    tables = {
        "interactions": ratings if arguments.thin is None else thinned(ratings, arguments.thin),
        "users": user_table(arguments.movielens),
        "items": movie_table(arguments.movielens),
    }
    for name, table in tables.items():
        table.to_csv(arguments.out / f"{name}.csv", index=False)
    shutil.copyfile(HERE / "config.yaml", arguments.out / "config.yaml")
    print(", ".join(f"{len(table)} {name}" for name, table in tables.items()))
    return 0


def rating_table(movielens: Path) -> pd.DataFrame:
    """One row per rating: user_id, movie_id, rating, timestamp."""
    names = ["user_id", "movie_id", "rating", "timestamp"]
    return pd.read_csv(movielens / "u.data", sep="\t", names=names)


def thinned(ratings: pd.DataFrame, mean: int) -> pd.DataFrame:
    """Few ratings whose order tells nothing, as in a shop where people buy now and then.

    How many a person keeps, four at the least, is drawn from a geometric distribution of this mean; which, and their
    times within one year, are drawn evenly.
    """
    random = np.random.default_rng(0)
    people = ratings["user_id"].unique()
    kept = dict(zip(people, FEWEST - 1 + random.geometric(1 / (mean - FEWEST + 1), len(people))))
    mixed = ratings.iloc[random.permutation(len(ratings))]
    found = mixed[mixed.groupby("user_id").cumcount() < mixed["user_id"].map(kept)]
    start = pd.Timestamp("2020-01-01").timestamp()
    times = random.integers(start, start + 365 * 86_400, len(found))
    return found.assign(timestamp=times).sort_values("timestamp", kind="stable")


def user_table(movielens: Path) -> pd.DataFrame:
    """One row per person: user_id, age, gender, occupation."""
    names = ["user_id", "age", "gender", "occupation", "zip_code"]
    return pd.read_csv(movielens / "u.user", sep="|", names=names).drop(columns="zip_code")


def movie_table(movielens: Path) -> pd.DataFrame:
    """One row per movie: movie_id, title, genres, year. Genres stand as flags in u.item, in the order of u.genre."""
    genres = pd.read_csv(movielens / "u.genre", sep="|", names=["genre", "number"]).sort_values("number")["genre"]
    names = ["movie_id", "title", "released", "released_on_video", "page", *genres]
    movies = pd.read_csv(movielens / "u.item", sep="|", names=names, encoding="latin-1", dtype={"movie_id": str})
    has = movies[list(genres)].astype(bool)
    movies["genres"] = ["|".join(name for name in genres[row] if name != "unknown") for row in has.to_numpy()]
    movies["year"] = movies["title"].str.extract(r"\((\d{4})\)\s*$")[0]
    movies["title"] = movies["title"].str.replace(r"\s*\(\d{4}\)\s*$", "", regex=True)
    return movies[["movie_id", "title", "genres", "year"]]


if __name__ == "__main__":
    sys.exit(main())

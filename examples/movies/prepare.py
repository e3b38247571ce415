"""Turns MovieLens latest-small into the tables of this example, with plots and posters where there are any.

    python examples/movies/prepare.py --movielens data/movielens-small --out data/movies

Only `ratings.csv` and `movies.csv` are needed. With `items_text.csv` (columns `movieId`, `wiki_extract`) in the same
folder the plots come in, and with `--posters DIR` the posters, named `<movieId>.jpg`.
"""

import argparse
import shutil
import sys
from pathlib import Path

import pandas as pd

HERE = Path(__file__).resolve().parent


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--movielens", type=Path, required=True, help="folder with ratings.csv and movies.csv")
    parser.add_argument("--posters", type=Path, help="folder with <movieId>.jpg")
    parser.add_argument("--out", type=Path, required=True, help="folder for the tables and the configuration")
    arguments = parser.parse_args()
    for name in ("ratings.csv", "movies.csv"):
        if not (arguments.movielens / name).is_file():
            print(
                f"error: {arguments.movielens / name} is not there. Run: python tools/get_movielens.py", file=sys.stderr
            )
            return 2
    arguments.out.mkdir(parents=True, exist_ok=True)
    movies = movie_table(arguments.movielens, arguments.posters)
    movies.to_csv(arguments.out / "items.csv", index=False)
    shutil.copyfile(arguments.movielens / "ratings.csv", arguments.out / "interactions.csv")
    shutil.copyfile(HERE / "config.yaml", arguments.out / "config.yaml")
    plots, posters = (movies["plot"] != "").sum(), (movies["poster"] != "").sum()
    print(f"{len(movies)} movies, {plots} with a plot, {posters} with a poster")
    return 0


def movie_table(movielens: Path, posters: Path | None) -> pd.DataFrame:
    """One row per movie: movieId, title, plot, genres, year, poster."""
    movies = pd.read_csv(movielens / "movies.csv", dtype={"movieId": str})
    movies["year"] = movies["title"].str.extract(r"\((\d{4})\)\s*$")[0]
    movies["title"] = movies["title"].str.replace(r"\s*\(\d{4}\)\s*$", "", regex=True)
    movies["genres"] = movies["genres"].replace("(no genres listed)", "")
    movies["plot"] = ""
    if (movielens / "items_text.csv").is_file():
        plots = pd.read_csv(movielens / "items_text.csv", dtype=str)
        movies["plot"] = movies["movieId"].map(dict(zip(plots["movieId"], plots["wiki_extract"]))).fillna("")
    movies["poster"] = ""
    if posters is not None:
        paths = {path.stem: str(path.resolve()) for path in posters.glob("*.jpg")}
        movies["poster"] = movies["movieId"].map(paths).fillna("")
    return movies[["movieId", "title", "plot", "genres", "year", "poster"]]


if __name__ == "__main__":
    sys.exit(main())

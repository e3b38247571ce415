"""`mmrec recommend`: lists for one user, or for all into a file."""

import json
from pathlib import Path

from mmrec_tf.cli_explain import parse_modality_weights
from mmrec_tf.cli_output import console, errors, progress_bars, show_rows
from mmrec_tf.errors import MmrecError


def run_recommend(
    run: Path,
    user: str | None,
    all_users: bool,
    k: int,
    out: Path | None,
    weight: list[str] | None,
    as_json: bool,
) -> None:
    """Does what the options of `mmrec recommend` say.

    Raises:
        MmrecError: for options that do not go together, a wrong weight, or a run without an export.
    """
    if (user is None) == (not all_users):
        raise MmrecError("name one user with --user, or ask for --all-users; not both.")
    if user is not None and out is not None:
        raise MmrecError(
            f"--out goes with --all-users, got {out} beside --user. For one user take --json, which prints."
        )
    if all_users and as_json:
        raise MmrecError("--json prints one user's list and goes with --user. --all-users writes to --out alone.")
    if k < 1:
        raise MmrecError(f"--k is the number of items to recommend and must be at least 1, got {k}.")
    if all_users and (out is None or out.suffix not in (".parquet", ".csv")):
        raise MmrecError(f"--all-users needs --out FILE.parquet or FILE.csv, got {out}.")
    from mmrec_tf.run import Run

    weights = parse_modality_weights(weight)
    opened = Run.open(run)
    from mmrec_tf.recommend.recommender import Recommender

    recommender = Recommender.load(run)
    if all_users:
        _recommend_to_all(opened, recommender, k, out, weights)
        return
    found = recommender.recommend(user, k, modality_weights=weights)
    catalogue = opened.load_catalogue().set_index("item_id")
    if as_json:
        rows = [{"item_id": place.item_id, "rank": i + 1, "score": place.score} for i, place in enumerate(found)]
        print(json.dumps({"user_id": user, "recommendations": rows}, indent=2, ensure_ascii=False))
        return
    if not recommender.is_known(user):
        errors.print(f"user {user} is not known: these are what an average user gets", highlight=False, markup=False)
    rows = [
        (i + 1, place.item_id, *catalogue.loc[place.item_id, ["title", "category"]], place.score)
        for i, place in enumerate(found)
    ]
    show_rows(f"recommendations for {user}", ("rank", "item_id", "title", "category", "score"), rows)


def _recommend_to_all(run, recommender, k: int, out: Path, weights: dict[str, float] | None) -> None:
    import pandas as pd

    from mmrec_tf.run import replacing

    users = pd.read_parquet(run.folder / "users.parquet").iloc[:, 0].tolist()
    with progress_bars() as progress:
        table = recommender.recommend_all(users, k, progress=progress, modality_weights=weights)
    out.parent.mkdir(parents=True, exist_ok=True)
    with replacing(out) as path:
        if out.suffix == ".csv":
            table.to_csv(path, index=False)
        else:
            table.to_parquet(path, index=False)
    console.print(f"wrote {len(table)} recommendations for {len(users)} users to {out}", highlight=False)

"""NDCG@10 and Recall@20 of every list by ranx, user by user, to hold against our own evaluator.

python tools/peers/ranx_check.py --split OUT/split.npz --out OUT/lists
"""

import argparse
from pathlib import Path

import numpy as np
from peer_split import SplitArrays
from ranx import Qrels, Run, evaluate

METRICS = ("ndcg@10", "recall@20")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--split", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    relevant = SplitArrays.load(arguments.split).parts["test"].relevant
    rows = range(relevant.shape[0])
    wanted = Qrels({f"u{row:09d}": {str(item): 1 for item in relevant[row].indices} for row in rows})
    found = {}
    for path in sorted(arguments.out.glob("*.npy")):
        lists = np.load(path, allow_pickle=False)
        # An empty list is no list for ranx; an item that nobody wants stands for it.
        places = {
            f"u{row:09d}": {str(item): float(len(items) - place) for place, item in enumerate(items) if item >= 0}
            or {"none": 1.0}
            for row, items in enumerate(lists)
        }
        values = evaluate(wanted, Run(places), list(METRICS), return_mean=False)
        for metric in METRICS:
            found[f"{path.stem}/{metric}"] = np.asarray(values[metric])
    np.savez(arguments.out / "ranx.npz", **found)


if __name__ == "__main__":
    main()

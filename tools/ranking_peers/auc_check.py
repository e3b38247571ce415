"""AUC and log loss of every row by scikit-learn, to hold against our own evaluator.

python tools/ranking_peers/auc_check.py --pairs OUT/pairs.npz --out OUT/scores
"""

import argparse
from pathlib import Path

import numpy as np
from pair_arrays import PairArrays
from sklearn.metrics import log_loss, roc_auc_score


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--pairs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    arguments = parser.parse_args()
    labels = PairArrays.load(arguments.pairs).parts["test"].label
    found = {}
    for path in sorted(arguments.out.glob("*.npy")):
        chances = np.load(path, allow_pickle=False)
        found[f"{path.stem}/auc"] = roc_auc_score(labels, chances)
        found[f"{path.stem}/log_loss"] = log_loss(labels, np.clip(chances, 1e-7, 1.0 - 1e-7), labels=[0, 1])
    np.savez(arguments.out / "sklearn.npz", **found)


if __name__ == "__main__":
    main()

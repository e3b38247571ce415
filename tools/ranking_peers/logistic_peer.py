"""Logistic regression of scikit-learn on one column for each id and category, lists shared out, and the numbers."""

import numpy as np
from pair_arrays import PARTS
from ranker_run import RankingPeer, Setting, main
from scipy.sparse import csr_matrix, hstack
from sklearn.linear_model import LogisticRegression


def train(arrays, settings, seed):
    inputs = {part: design(arrays, part, settings["with_clock"]) for part in PARTS}
    model = LogisticRegression(C=settings["c"], max_iter=1000, random_state=seed)
    model.fit(inputs["train"], arrays.parts["train"].label)
    yield int(model.n_iter_[0]), lambda part: model.predict_proba(inputs[part])[:, 1]


def design(arrays, part, with_clock):
    """CSR `[n, columns]` float64."""
    blocks = [
        _ones(values[:, None], arrays.size(name, with_clock))
        for name, values in arrays.categories(part, with_clock).items()
    ]
    blocks += [_ones(values, arrays.size(name)) for name, values in arrays.lists(part).items()]
    blocks += [csr_matrix(values[:, None].astype(float)) for values in arrays.numbers(part).values()]
    return hstack(blocks, format="csr")


def _ones(values, size):
    """Each row's values as columns that add up to one; none for value 0."""
    rows, places = np.nonzero(values)
    count = np.maximum((values > 0).sum(axis=1), 1)
    return csr_matrix((1.0 / count[rows], (rows, values[rows, places])), shape=(len(values), size))


PEERS = {
    "logistic": RankingPeer(
        train,
        {"c": Setting(0.3, [0.03, 0.1, 0.3, 1.0, 3.0]), "with_clock": Setting(False, [False, True])},
    )
}

if __name__ == "__main__":
    main(PEERS)

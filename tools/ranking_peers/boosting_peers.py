"""LightGBM and CatBoost on target-encoded features."""

import numpy as np
from pair_arrays import PARTS
from ranker_run import RankingPeer, Setting, main, threads
from target_encoding import encoded

MOST_TREES = 2000
MOST_DEPTH = 16
"""What CatBoost takes."""

TREES = 20
"""Trees between two looks at the validation AUC."""


def train_lightgbm(arrays, settings, seed):
    import lightgbm

    features, names = encoded(arrays, settings["smoothing"], seed)
    data = lightgbm.Dataset(features["train"], arrays.parts["train"].label, feature_name=_plain(names))
    booster = lightgbm.Booster(
        {
            "objective": "binary",
            "learning_rate": settings["learning_rate"],
            "num_leaves": 2 ** settings["depth"],
            "min_data_in_leaf": settings["least"],
            "feature_fraction": settings["columns"],
            "bagging_fraction": 0.8,
            "bagging_freq": 1,
            "lambda_l2": 1.0,
            "num_threads": max(1, threads()),
            "seed": seed,
            "verbose": -1,
        },
        data,
    )
    for trees in range(TREES, MOST_TREES + 1, TREES):
        for _ in range(TREES):
            booster.update()
        yield trees, lambda part: booster.predict(features[part])


def train_catboost(arrays, settings, seed):
    """One fit, which looks at the validation AUC itself; the minutes are looked at when it has ended."""
    import catboost

    features, _ = encoded(arrays, settings["smoothing"], seed)
    pools = {part: catboost.Pool(features[part], arrays.parts[part].label) for part in PARTS if len(features[part])}
    model = catboost.CatBoostClassifier(
        iterations=MOST_TREES,
        learning_rate=settings["learning_rate"],
        depth=settings["depth"],
        l2_leaf_reg=settings["l2"],
        random_seed=seed,
        thread_count=max(1, threads()),
        eval_metric="AUC",
        early_stopping_rounds=5 * TREES,
        allow_writing_files=False,
        verbose=False,
    )
    is_judged = "validation" in pools and np.ptp(arrays.parts["validation"].label) > 0
    model.fit(pools["train"], eval_set=pools["validation"] if is_judged else None)
    yield model.tree_count_, lambda part: model.predict_proba(pools[part])[:, 1]


def _plain(names):
    """LightGBM takes no names with characters of JSON."""
    return ["".join(letter if letter.isalnum() else "_" for letter in name) for name in names]


PEERS = {
    "lightgbm": RankingPeer(
        train_lightgbm,
        {
            "learning_rate": Setting(0.05, [0.02, 0.05, 0.1]),
            "depth": Setting(5, [3, 4, 5, 6]),
            "smoothing": Setting(10.0, [2.0, 5.0, 10.0, 20.0, 50.0]),
            "least": Setting(20, [20, 50, 100, 200]),
            "columns": Setting(0.8, [0.4, 0.6, 0.8, 1.0], high=1.0),
        },
    ),
    "catboost": RankingPeer(
        train_catboost,
        {
            "learning_rate": Setting(0.05, [0.03, 0.05, 0.1]),
            "depth": Setting(6, [3, 4, 6, 8], high=MOST_DEPTH),
            "smoothing": Setting(10.0, [2.0, 5.0, 10.0, 20.0, 50.0]),
            "l2": Setting(3.0, [1.0, 3.0, 10.0, 30.0]),
        },
    ),
}

if __name__ == "__main__":
    main(PEERS)

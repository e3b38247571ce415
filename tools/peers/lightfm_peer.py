"""LightFM with the WARP loss and the items' categories (Kula, Metadata embeddings for cold-start, 2015)."""

import numpy as np
import scipy.sparse as sp
from lightfm import LightFM
from peer_run import Peer, dot_scorer, main
from peer_search import Setting
from peer_task import threads

_CHUNK = 3


def warp(split, settings, seed):
    # Each item has a vector of its own beside those of its categories, as the library's documentation advises.
    features = sp.hstack([sp.identity(split.n_items, format="csr"), split.item_features]).tocsr().astype(np.float32)
    features = sp.diags(1.0 / np.asarray(features.sum(axis=1)).ravel()) @ features
    features = features.tocsr().astype(np.float32)
    model = LightFM(
        no_components=settings["no_components"],
        loss="warp",
        learning_schedule="adagrad",
        learning_rate=settings["learning_rate"],
        item_alpha=settings["item_alpha"],
        user_alpha=settings["user_alpha"],
        random_state=seed,
    )
    positives = split.matrix.tocoo()
    for passes in range(_CHUNK, 301, _CHUNK):
        model.fit_partial(positives, item_features=features, epochs=_CHUNK, num_threads=max(1, threads()))
        bias, items = model.get_item_representations(features)
        _, users = model.get_user_representations()
        yield passes, dot_scorer(users, items, bias)


PEERS = {
    "lightfm_warp": Peer(
        warp,
        {
            "no_components": Setting(32, [16, 32, 64, 128]),
            "learning_rate": Setting(0.05, [0.01, 0.02, 0.05, 0.1]),
            "item_alpha": Setting(0.0, [0.0, 1e-6, 1e-5, 1e-4]),
            "user_alpha": Setting(0.0, [0.0, 1e-6, 1e-5, 1e-4]),
        },
        ranks_new_items=True,
    )
}

if __name__ == "__main__":
    main(PEERS)

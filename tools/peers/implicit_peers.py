"""ALS and BPR of implicit (Hu, Koren and Volinsky 2008; Rendle et al. 2009)."""

import numpy as np
from implicit.cpu.als import AlternatingLeastSquares
from implicit.cpu.bpr import BayesianPersonalizedRanking
from peer_run import Peer, dot_scorer, main
from peer_search import Setting
from peer_task import threads


def als(split, settings, seed):
    model = AlternatingLeastSquares(
        factors=settings["factors"],
        regularization=settings["regularization"],
        alpha=settings["alpha"],
        iterations=1,
        random_state=seed,
        num_threads=threads(),
    )

    def score(part, positions):
        users = model.recalculate_user(part.users[positions], part.liked[positions])
        return users @ model.item_factors.T

    for iteration in range(1, 61):
        model.fit(split.matrix, show_progress=False)
        yield iteration, score


def bpr(split, settings, seed):
    model = BayesianPersonalizedRanking(
        factors=settings["factors"],
        learning_rate=settings["learning_rate"],
        regularization=settings["regularization"],
        iterations=10,
        random_state=np.random.default_rng(seed),
        num_threads=threads(),
    )
    for passes in range(10, 1001, 10):
        model.fit(split.matrix, show_progress=False)
        yield passes, dot_scorer(model.user_factors, model.item_factors)


PEERS = {
    "implicit_als": Peer(
        als,
        {
            "factors": Setting(64, [16, 32, 64, 128]),
            "regularization": Setting(0.01, [0.01, 0.1, 1.0, 10.0]),
            "alpha": Setting(1.0, [1.0, 3.0, 10.0, 30.0]),
        },
        takes_profiles=True,
    ),
    "implicit_bpr": Peer(
        bpr,
        {
            "learning_rate": Setting(0.01, [0.003, 0.01, 0.03, 0.1]),
            "regularization": Setting(0.01, [0.001, 0.003, 0.01, 0.03, 0.1]),
            "factors": Setting(64, [16, 32, 64, 128]),
        },
    ),
}

if __name__ == "__main__":
    main(PEERS)

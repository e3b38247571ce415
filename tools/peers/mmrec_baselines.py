"""The classical recommenders of this package, tuned and judged like any other peer."""

import numpy as np
from peer_run import Peer, main
from peer_search import Setting
from peer_split import ndcg

from mmrec_tf.models.recommender_model import Asked, HeldOut, TrainingData
from mmrec_tf.models.recommenders import build_recommender, recommender_class

NAMES = ("popularity", "recent_popularity", "item_knn", "user_knn", "ease", "matrix_factorization")


def recommender(name):
    """A peer's generator for a recommender of the package, which is fitted in one call."""

    def train(split, settings, seed):
        has_times = bool(np.isfinite(split.train_time).all())
        validation = split.parts["validation"]
        held_out = HeldOut(_asked(validation, has_times), lambda lists: float(ndcg(lists, validation.relevant).mean()))
        training = TrainingData(
            positives=split.matrix,
            user_rows=split.train_user,
            item_rows=split.train_item,
            is_positive=split.train_positive,
            times=split.train_time if has_times else None,
            held_out=held_out if len(validation) else None,
        )
        model = build_recommender(name, seed, **settings).fit(training)
        yield 1, lambda part, positions: model.score(_asked(part, has_times)[positions])

    return train


def _asked(part, has_times):
    return Asked(part.seen, part.users, part.times if has_times else None)


def _settings(name):
    built = build_recommender(name)
    return {key: Setting(getattr(built, key), list(values)) for key, values in recommender_class(name).SEARCH.items()}


PEERS = {
    name: Peer(recommender(name), _settings(name), takes_profiles=True, ranks_new_items=True, falls_back=False)
    for name in NAMES
}

if __name__ == "__main__":
    main(PEERS)

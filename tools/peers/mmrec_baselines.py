"""The classical recommenders of this package, tuned and judged like any other peer."""

import copy
from dataclasses import replace

import numpy as np
from peer_run import Peer, main
from peer_search import Setting
from peer_split import ndcg
from scipy.sparse import csr_matrix

from mmrec_tf.models.recommender_model import Asked, HeldOut, TrainingData
from mmrec_tf.models.recommenders import build_recommender, recommender_class

NAMES = ("popularity", "recent_popularity", "item_knn", "user_knn", "ease", "matrix_factorization")


def recommender(name):
    """A peer's generator for a recommender of the package, which is fitted in one call."""

    def train(split, settings, seed):
        has_times = bool(np.isfinite(split.train_time).all())
        validation = split.parts["validation"]
        held_out = HeldOut(_asked(validation, has_times), lambda lists: float(ndcg(lists, validation.relevant).mean()))
        training = replace(_interactions(split, has_times), held_out=held_out if len(validation) else None)
        model = build_recommender(name, seed, **settings).fit(training)
        # Whoever asks in the test knows what was popular until then, of all models that count it.
        by_then = copy.copy(model)
        by_then.bring_up_to_date(_interactions(split, has_times, with_later=True))

        def score(part, positions):
            return (by_then if part is split.parts["test"] else model).score(_asked(part, has_times)[positions])

        yield 1, score

    return train


def _interactions(split, has_times, with_later=False):
    names = ("user", "item", "positive", "time")
    users, items, is_positive, times = (
        np.concatenate([getattr(split, f"train_{name}"), *([getattr(split, f"later_{name}")] if with_later else [])])
        for name in names
    )
    shape = (split.n_users, split.n_items)
    liked = csr_matrix((np.ones(is_positive.sum(), np.float32), (users[is_positive], items[is_positive])), shape=shape)
    liked.sum_duplicates()
    return TrainingData(liked, users, items, is_positive, times if has_times else None)


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

"""Catalogues to search: item embeddings and queries, from the easiest to the hardest for an approximate index.

Each function returns `[items + 1, dim + 2]` candidates, row 0 for no item, and `[n, dim + 2]` queries, as `TwoTower`
makes them: places of unit length, and behind them the popularity and the trend, which meet a 1 and the user's gain.
"""

from pathlib import Path

import numpy as np
import scipy.sparse as sp

DIM = 64
_USERS_AT_ONCE = 5_000


def random(items: int, queries: int) -> tuple[np.ndarray, np.ndarray]:
    """Gaussian directions: no item is near another, and there is nothing that an index could use."""
    draw = np.random.default_rng(0)
    return _bare(draw.normal(size=[items, DIM])), _asked(draw.normal(size=[queries, DIM]), draw)


def clustered(items: int, queries: int) -> tuple[np.ndarray, np.ndarray]:
    """Around as many centres as the root of the items, with noise of 0.8 of their length; queries of the same kind."""
    draw = np.random.default_rng(0)
    centres = _unit(draw.normal(size=[int(items**0.5), DIM]))

    def around(count):
        noise = 0.8 * draw.normal(size=[count, DIM]) / DIM**0.5
        return centres[draw.integers(len(centres), size=count)] + noise

    return _bare(around(items)), _asked(around(queries), draw)


def factors(items: int, queries: int) -> tuple[np.ndarray, np.ndarray]:
    """Factors of PureSVD (Cremonesi et al., 2010) of interactions that are made up: a quarter of the users by items.

    Each user takes sixty items from four of 400 genres, by the items' popularity (Zipf, exponent 0.8) and by a taste
    within the genre; one in twenty is any item at all. Columns are divided by the root of their count, and popularity
    is the temperature 0.07 times the logarithm of the count, as an untrained `TwoTower` has it.
    """
    draw = np.random.default_rng(0)
    matrix, counts = _interactions(items, max(items // 4, 1_000), draw)
    scale = sp.diags((1.0 / np.sqrt(np.maximum(counts, 1))).astype(np.float32))
    matrix = (matrix @ scale).tocsr()
    transposed = matrix.T.tocsr()
    basis = matrix @ draw.normal(size=[items, DIM + 16]).astype(np.float32)
    for _ in range(4):
        basis = matrix @ (transposed @ np.linalg.qr(basis)[0])
    basis = np.linalg.qr(basis)[0]
    small = transposed @ basis
    rotation = np.linalg.eigh(small.T @ small)[1][:, ::-1][:, :DIM]
    places = small @ rotation
    # An item that nobody took has no place of its own.
    places[counts == 0] = draw.normal(size=[(counts == 0).sum(), DIM])
    popularity = 0.07 * np.log(np.maximum(counts, 1) / counts.mean())
    users = draw.choice(matrix.shape[0], queries, replace=False)
    return _bare(places, popularity), _asked((basis @ rotation)[users], draw)


def grown(items: int, queries: int, run: Path) -> tuple[np.ndarray, np.ndarray]:
    """A trained run's own candidates and its users' queries, the candidates grown to so many.

    An item that is added lies at a random place between one of the run's and one of that one's ten nearest, moved by
    noise half as long as the two are apart; popularity and trend lie between the two's likewise.
    """
    from mmrec_tf.workflow import OpenRun

    opened = OpenRun(run)
    from mmrec_tf.run_export import grown_engine

    engine = grown_engine(opened.run, opened.prepared, opened.retrieval, None)
    trained = engine.item_embeddings.numpy()[1:]
    draw = np.random.default_rng(0)
    users = draw.choice(len(opened.prepared.users.ids), queries, replace=len(opened.prepared.users.ids) < queries)
    asked = np.concatenate(
        [engine.sought_for(engine.asked(np.int32(users[s : s + 256] + 1)))[0] for s in range(0, queries, 256)]
    )
    nearest = np.argsort(-(trained[:, :-2] @ trained[:, :-2].T), axis=1)[:, 1:11]
    one = draw.integers(len(trained), size=items - len(trained))
    other = nearest[one, draw.integers(10, size=len(one))]
    share = draw.random([len(one), 1]).astype(np.float32)
    added = trained[one] + share * (trained[other] - trained[one])
    apart = np.linalg.norm(trained[other, :-2] - trained[one, :-2], axis=1, keepdims=True)
    width = trained.shape[1] - 2
    places = _unit(added[:, :-2] + 0.5 * apart * draw.normal(size=[len(one), width]) / width**0.5)
    added = np.concatenate([places, added[:, -2:]], axis=1)
    none = np.zeros([1, trained.shape[1]])
    return np.concatenate([none, trained, added]).astype(np.float32), asked.astype(np.float32)


def _interactions(items, users, draw):
    genres, latent, each = 400, 24, 60
    share = 1.0 / np.arange(1, genres + 1) ** 0.7
    share /= share.sum()
    genre = draw.choice(genres, items, p=share)
    position = draw.normal(size=[items, latent])
    popularity = (1.0 / np.arange(1, items + 1) ** 0.8)[draw.permutation(items)]
    order = np.argsort(genre, kind="stable")
    bounds = np.searchsorted(genre[order], np.arange(genres + 1))
    reached = np.concatenate([[0.0], np.cumsum(popularity[order])])
    rows, columns = [], []
    for start in range(0, users, _USERS_AT_ONCE):
        count = min(_USERS_AT_ONCE, users - start)
        own = draw.choice(genres, [count, 4], p=share)
        chosen = np.take_along_axis(own, draw.integers(4, size=[count, 3 * each]), axis=1)
        low, high = reached[bounds[chosen]], reached[bounds[chosen + 1]]
        place = np.searchsorted(reached, low + draw.random(chosen.shape) * (high - low), side="right") - 1
        offered = order[np.minimum(place, items - 1)]
        liking = np.einsum("udl,ul->ud", position[offered], draw.normal(size=[count, latent]))
        liking = 2.0 * liking / latent**0.5 + draw.gumbel(size=chosen.shape)
        taken = np.take_along_axis(offered, np.argpartition(-liking, each, axis=1)[:, :each], axis=1)
        anything = draw.random(taken.shape) < 0.05
        taken[anything] = draw.integers(items, size=anything.sum())
        columns.append(taken.ravel())
        rows.append(np.repeat(np.arange(start, start + count), each))
    rows, columns = np.concatenate(rows), np.concatenate(columns)
    matrix = sp.csr_matrix((np.ones(len(rows), np.float32), (rows, columns)), shape=(users, items))
    matrix.data[:] = 1.0
    return matrix, np.bincount(matrix.indices, minlength=items)


def _bare(places, popularity=0.0):
    embeddings = np.zeros([len(places) + 1, DIM + 2], np.float32)
    embeddings[1:, :DIM] = _unit(places)
    embeddings[1:, DIM] = popularity
    return embeddings


def _asked(places, draw):
    gain = 1.0 + 0.2 * draw.normal(size=[len(places), 1])
    return np.concatenate([_unit(places), np.ones([len(places), 1]), gain], axis=1).astype(np.float32)


def _unit(vectors):
    return vectors / np.maximum(np.linalg.norm(vectors, axis=1, keepdims=True), 1e-9)

"""VAECF and VBPR of cornac (Liang et al., Variational autoencoders for collaborative filtering, 2018; He and McAuley,
VBPR, 2016).

Both start their optimiser anew after each chunk of epochs, as cornac's `fit` gives no way to go on with it.
"""

import contextlib
import io

import numpy as np
import torch
from cornac.data import Dataset, ImageModality
from cornac.models import VAECF, VBPR
from peer_run import Peer, main
from peer_search import Setting
from peer_task import threads

_CHUNK = 10


def vaecf(split, settings, seed):
    torch.set_num_threads(max(1, threads()))
    data = _dataset(split, seed)
    model = VAECF(
        k=settings["k"],
        autoencoder_structure=[settings["hidden"]],
        act_fn="tanh",
        likelihood="mult",
        n_epochs=_CHUNK,
        batch_size=100,
        learning_rate=settings["learning_rate"],
        beta=settings["beta"],
        seed=seed,
    )
    places = _places(data.iid_map, split.n_items)

    @torch.no_grad()
    def score(part, positions):
        own = _profiles(part, positions, places, len(data.iid_map))
        latent, _ = model.vae.encode(torch.as_tensor(own))
        return _to_catalogue(model.vae.decode(latent).numpy(), places)

    for passes in range(_CHUNK, 501, _CHUNK):
        _quietly(model.fit, data)
        yield passes, score


def vbpr(split, settings, seed):
    torch.set_num_threads(max(1, threads()))
    data = _dataset(split, seed)
    if not split.item_vectors.shape[1]:
        raise SystemExit("the catalogue has no modality, and VBPR learns from the items' vectors.")
    # Items without training come behind those that cornac knows, with nothing but their content.
    known = _places(data.iid_map, split.n_items)
    vectors = np.zeros((len(data.iid_map), split.item_vectors.shape[1]), np.float32)
    vectors[known[known >= 0]] = split.item_vectors[known >= 0]
    data.add_modalities(item_image=ImageModality(features=vectors, ids=list(data.iid_map)))
    data.item_image.features = vectors
    users = _places(data.uid_map, split.n_users)
    model = VBPR(
        k=settings["k"],
        k2=settings["k2"],
        n_epochs=_CHUNK // 2,
        batch_size=settings["batch_size"],
        learning_rate=settings["learning_rate"],
        lambda_w=settings["lambda_w"],
        verbose=False,
        seed=seed,
    )

    def score(part, positions):
        places = np.maximum(users[part.users[positions]], 0)
        content = model.theta_user[places] @ (split.item_vectors @ model.emb_matrix).T
        scores = content + (split.item_vectors @ model.beta_prime).ravel()
        scores[:, known >= 0] += (model.gamma_user[places] @ model.gamma_item.T + model.beta_item)[:, known[known >= 0]]
        return scores

    for passes in range(_CHUNK // 2, 201, _CHUNK // 2):
        _quietly(model.fit, data)
        yield passes, score


def _dataset(split, seed):
    matrix = split.matrix.tocoo()
    return Dataset.build(zip(matrix.row.tolist(), matrix.col.tolist(), np.ones(matrix.nnz)), seed=seed)


def _places(id_map, size):
    places = np.full(size, -1, int)
    places[np.fromiter(id_map.keys(), int)] = np.fromiter(id_map.values(), int)
    return places


def _profiles(part, positions, places, width):
    liked = part.liked[positions].tocoo()
    own = np.zeros((len(positions), width), np.float32)
    is_known = places[liked.col] >= 0
    own[liked.row[is_known], places[liked.col[is_known]]] = 1.0
    return own


def _to_catalogue(scores, places):
    return np.where(places >= 0, scores[:, np.maximum(places, 0)], -np.inf)


def _quietly(call, *arguments):
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        call(*arguments)


PEERS = {
    "cornac_vaecf": Peer(
        vaecf,
        {
            "beta": Setting(1.0, [0.1, 0.3, 1.0]),
            "learning_rate": Setting(0.001, [0.0003, 0.001, 0.003]),
            "k": Setting(50, [20, 50, 100, 200]),
            "hidden": Setting(100, [50, 100, 200, 400]),
        },
        takes_profiles=True,
    ),
    "cornac_vbpr": Peer(
        vbpr,
        {
            "learning_rate": Setting(0.005, [0.001, 0.005, 0.01]),
            "lambda_w": Setting(0.01, [0.001, 0.01, 0.1]),
            "k": Setting(20, [10, 20, 50]),
            "k2": Setting(20, [10, 20, 50]),
            "batch_size": Setting(512, [100, 512, 2048]),
        },
        ranks_new_items=True,
    ),
}

if __name__ == "__main__":
    main(PEERS)

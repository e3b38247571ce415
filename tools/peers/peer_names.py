"""The rows of the table: which script makes them, in which environment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class PeerName:
    """A row that is a peer.

    Args:
        title: what the table calls it.
        script: file of this folder; it knows the peer by the key of `PEERS`.
        environment: `torch` or `tensorflow`, for `requirements-<environment>.txt`; None for the package's own.
        is_seeded: bool. Begins with random numbers, so that it is repeated with every seed.
    """

    title: str
    script: str
    environment: str | None = None
    is_seeded: bool = True


PEERS = {
    "popularity": PeerName("popularity (mmrec_tf)", "mmrec_baselines.py", is_seeded=False),
    "recent_popularity": PeerName("recent popularity (mmrec_tf)", "mmrec_baselines.py", is_seeded=False),
    "item_knn": PeerName("item kNN (mmrec_tf)", "mmrec_baselines.py", is_seeded=False),
    "user_knn": PeerName("user kNN (mmrec_tf)", "mmrec_baselines.py", is_seeded=False),
    "ease": PeerName("EASE (mmrec_tf)", "mmrec_baselines.py", is_seeded=False),
    "matrix_factorization": PeerName("matrix factorization (mmrec_tf)", "mmrec_baselines.py"),
    "implicit_als": PeerName("implicit ALS", "implicit_peers.py", "torch"),
    "implicit_bpr": PeerName("implicit BPR", "implicit_peers.py", "torch"),
    "lightfm_warp": PeerName("LightFM WARP, categories", "lightfm_peer.py", "torch"),
    "recbole_bpr": PeerName("RecBole BPR", "recbole_peers.py", "torch"),
    "recbole_lightgcn": PeerName("RecBole LightGCN", "recbole_peers.py", "torch"),
    "recbole_sasrec": PeerName("RecBole SASRec", "recbole_peers.py", "torch"),
    "recbole_ease": PeerName("RecBole EASE", "recbole_peers.py", "torch", is_seeded=False),
    "cornac_vaecf": PeerName("cornac VAECF", "cornac_peers.py", "torch"),
    "cornac_vbpr": PeerName("cornac VBPR, content", "cornac_peers.py", "torch"),
    "keras_rs": PeerName("KerasRS in-batch retrieval", "keras_rs_peer.py", "tensorflow"),
    "tfrs_tutorial": PeerName("TFRS tutorial model", "tfrs_peers.py", "tensorflow"),
    "tfrs_logq": PeerName("TFRS logQ, tuned", "tfrs_peers.py", "tensorflow"),
}

OURS = {"two_tower": "mmrec_tf two-tower", "two_tower_deepfm": "mmrec_tf two-tower + {ranker}"}
"""The rows of the models that the package trains, by the name of their lists; the configuration chooses the ranker."""

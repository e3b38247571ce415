"""The rows of the table: which script makes them. All peers live in one environment, `requirements-ranking.txt`."""

from __future__ import annotations

from dataclasses import dataclass

FAMILY = "ranking"
"""The environment of the peers."""


@dataclass(frozen=True)
class RankingPeerName:
    """A row that is a peer.

    Args:
        title: what the table calls it.
        script: file of this folder; it knows the peer by the key of `PEERS`.
        is_seeded: bool. Begins with random numbers, so that it is repeated with every seed.
        is_deepfm: bool. One that our rankers are compared with apart from the others.
    """

    title: str
    script: str
    is_seeded: bool = True
    is_deepfm: bool = False


PEERS = {
    "deepctr": RankingPeerName("DeepCTR DeepFM", "deepctr_peer.py", is_deepfm=True),
    "deepctr_torch": RankingPeerName("DeepCTR-Torch DeepFM", "deepctr_torch_peer.py", is_deepfm=True),
    "recbole_deepfm": RankingPeerName("RecBole DeepFM", "recbole_deepfm_peer.py", is_deepfm=True),
    "lightgbm": RankingPeerName("LightGBM, target-encoded", "boosting_peers.py"),
    "catboost": RankingPeerName("CatBoost, target-encoded", "boosting_peers.py"),
    "logistic": RankingPeerName("logistic regression, one-hot (scikit-learn)", "logistic_peer.py", is_seeded=False),
}

OURS = "mmrec_"
"""What the names of our rows begin with; the rest is `models.ranking.model`."""

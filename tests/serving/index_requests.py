"""What exports with an index are asked, of the tiny world."""

import numpy as np

USERS = np.array(["u3", "u7", "nobody"])
K = np.array([4, 3, 2], np.int32)
ASKED = {
    ("recommend", "recommend"): {
        "user_id": USERS,
        "k": K,
        "exclude_ids": np.array([["i9", ""], ["i2", "nothing"], ["i29", "i28"]]),
        "history_item_ids": np.array([["", ""], ["i4", "i8"], ["i4", ""]]),
    },
    ("recommend", "recommend_weighted"): {
        "user_id": USERS,
        "k": K,
        "modality": np.array([["text"], ["image"], [""]]),
        "weight": np.array([[2.0], [0.5], [1.0]], np.float32),
    },
    ("retrieval", "retrieve"): {"user_id": USERS, "k": K},
    ("retrieval", "similar_items"): {"item_id": np.array(["i4", "i28", "nothing"]), "k": K},
    ("retrieval", "embed_item"): {"item_id": np.array(["i4", "i20", "nothing"])},
}
# Beyond what the blocks hold, so that the exact branch is taken.
ALL = {("retrieval", "retrieve"): {"user_id": USERS, "k": np.array([30, 1, 1], np.int32)}}

import numpy as np
import pandas as pd
import pytest

from mmrec_tf.data.rec_data import RecData
from mmrec_tf.schema import Schema


def _data(labels=None, positive_from=None) -> RecData:
    interactions = pd.DataFrame({"user": ["u", "v", "u"], "item": ["a", "b", "b"]})
    if labels is not None:
        interactions["label"] = np.array(labels, dtype=np.float32)
    return RecData(
        Schema(user={"user": "id"}, item={"item": "id"}),
        interactions,
        pd.DataFrame({"item": ["a", "b", "c"]}),
        pd.DataFrame({"user": ["v", "u"]}),
        None if labels is None else "label",
        positive_from,
    )


def test_rows_of_known_and_unknown_ids():
    data = _data()
    assert data.item_rows(["c", "a", "nobody", "c"]).tolist() == [2, 0, -1, 2]
    assert data.user_rows(data.interactions["user"]).tolist() == [1, 0, 1]
    assert data.user_rows([]).tolist() == []
    assert data.item_rows(["a"]).dtype == np.int64


@pytest.mark.parametrize(
    ("labels", "positive_from", "expected"),
    [
        (None, None, [0, 1, 2]),
        ([0, 1, 1], None, [1, 2]),
        ([3.5, 4.0, 5.0], 4.0, [1, 2]),
        ([-1, 0, 2], -1, [0, 1, 2]),
        # 0.7 as float32 is smaller than 0.7 as float64; both must count as equal.
        ([0.7, 0.6, 0.8], 0.7, [0, 2]),
    ],
)
def test_positives(labels, positive_from, expected):
    data = _data(labels, positive_from)
    assert data.positives().index.tolist() == expected
    assert data.positives(data.interactions.iloc[1:]).index.tolist() == [row for row in expected if row >= 1]

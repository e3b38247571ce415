"""An explanation as rows."""

from mmrec_tf.recommend.explanation import Explanation


def test_rows_begin_with_what_counts_most():
    explanation = Explanation("u", "i", 0.5, {"image": 0.1, "text": -0.4, "id": 0.0})
    assert explanation.HEADER == ("part", "contribution")
    assert explanation.to_rows() == [("text", -0.4), ("image", 0.1), ("id", 0.0)]

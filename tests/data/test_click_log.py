"""Places as buckets, and the rows that a ranker is trained on."""

import numpy as np
import pytest

from mmrec_tf.data.click_log import POSITION_BUCKETS, PositionBuckets, trained_rows
from mmrec_tf.errors import DataError


def test_each_position_has_its_bucket():
    buckets = PositionBuckets.fit(np.array([3.0, 1.0, np.nan, 1.0, 7.0]))
    # Between two positions the lower one's; below all the first.
    asked = np.array([1.0, 3.0, 7.0, 5.0, 0.0, 99.0, np.nan, np.inf])
    assert buckets.apply(asked).tolist() == [1, 2, 3, 2, 1, 3, 0, 0]
    assert buckets.apply(asked).dtype == np.int32


def test_of_many_positions_neighbours_share_a_bucket():
    positions = np.repeat(np.arange(1000.0), 2)
    found = PositionBuckets.fit(positions).apply(positions)
    sizes = np.bincount(found)
    assert sizes[0] == 0 and len(sizes) - 1 == POSITION_BUCKETS
    assert (np.diff(found) >= 0).all()
    # 2,000 rows in 32 buckets are 62.5 each; positions, of two rows, stay whole.
    assert sizes[1:].min() >= 60 and sizes[1:].max() <= 66


def test_a_place_that_most_rows_share_leaves_fewer_buckets():
    positions = np.concatenate([np.zeros(5000), np.arange(100.0)])
    found = PositionBuckets.fit(positions).apply(positions)
    assert found.min() == 1 and found.max() <= POSITION_BUCKETS
    assert len(set(found[:5000])) == 1


def test_a_column_without_positions_is_refused():
    with pytest.raises(DataError, match="no training interaction has a place"):
        PositionBuckets.fit(np.array([np.nan]), "place")


def test_rows_of_training():
    labels = np.repeat([1.0, 0.0], [1000, 10000])
    assert trained_rows(labels, 1.0, None, 0).all()
    kept = trained_rows(labels, 0.2, None, 5)
    assert kept[:1000].all()
    # Four standard deviations of a binomial with n = 10,000 and p = 0.2 are 160.
    assert abs(int(kept[1000:].sum()) - 2000) < 160
    np.testing.assert_array_equal(kept, trained_rows(labels, 0.2, None, 5))
    assert (kept != trained_rows(labels, 0.2, None, 6)).any()


@pytest.mark.parametrize(("kept", "position", "setting"), [(0.5, None, "negatives_kept"), (1.0, "place", "position")])
def test_positives_alone_tell_nothing_of_what_was_not_taken(kept, position, setting):
    with pytest.raises(DataError, match=f"models.ranking.{setting} needs training interactions that are no positives"):
        trained_rows(np.ones(3), kept, position, 0)

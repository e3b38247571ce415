import pytest

from mmrec_tf.models.rows_at_once import rows_at_once


@pytest.mark.parametrize(
    ("most", "width", "tables", "expected"),
    [
        # 256 rows of 262,144 scores are 2^26; of a million items there is room for 67, and in six tables for 11.
        (256, 2**18, 1, 256),
        (256, 1_000_000, 1, 67),
        (256, 1_000_000, 6, 11),
        (256, 30, 6, 256),
        (256, 2**27, 1, 1),
        (256, 0, 1, 256),
    ],
)
def test_rows_by_arithmetic(most, width, tables, expected):
    assert rows_at_once(most, width, tables) == expected

"""Blocks of items that lie near each other."""

import numpy as np
import pytest

from mmrec_tf.recommend import item_cells
from mmrec_tf.recommend.item_cells import group_means, near_blocks


def in_groups(groups, size, seed=0):
    """`groups` far apart, `size` items in each, mixed up; and the group of each item."""
    random = np.random.default_rng(seed)
    group = random.permutation(np.repeat(np.arange(groups), size))
    centres = 10.0 * np.eye(groups)
    return (centres[group] + 0.1 * random.normal(size=[len(group), groups])).astype(np.float32), group


@pytest.mark.parametrize(("items", "width"), [(0, 4), (1, 4), (4, 4), (5, 4), (57, 4), (57, 1), (700, 64)])
def test_every_row_is_in_one_block_and_no_block_is_too_wide(items, width):
    vectors = np.random.default_rng(1).normal(size=[items, 3]).astype(np.float32)
    blocks = near_blocks(vectors, width)
    assert sorted(row for block in blocks for row in block) == list(range(items))
    assert all(0 < len(block) <= width and (np.diff(block) > 0).all() for block in blocks)


def test_blocks_are_filled():
    # A cell of 57 needs 15 blocks of 4, and halving makes no more of it.
    vectors = np.random.default_rng(1).normal(size=[57, 3]).astype(np.float32)
    assert len(near_blocks(vectors, 4)) == 15


def test_blocks_hold_items_of_one_group(monkeypatch):
    monkeypatch.setattr(item_cells, "ITEMS_IN_CELL", 8)
    vectors, group = in_groups(groups=6, size=16)
    blocks = near_blocks(vectors, 4)
    # Six groups of 16 are 24 full blocks; where k-means parts a group, some are not full.
    assert 24 <= len(blocks) <= 36
    assert all(len(set(group[block])) == 1 for block in blocks)


def test_a_cell_is_halved_across_its_longest_direction():
    # On a line of eight, the first four stand apart from the last four.
    vectors = np.stack([np.arange(8.0), 0.1 * np.array([1, -1] * 4)], axis=1).astype(np.float32)[
        [3, 0, 7, 5, 1, 6, 2, 4]
    ]
    blocks = near_blocks(vectors, 4)
    assert sorted(sorted(vectors[block, 0].tolist()) for block in blocks) == [[0, 1, 2, 3], [4, 5, 6, 7]]


def test_equal_items_are_parted_all_the_same(monkeypatch):
    monkeypatch.setattr(item_cells, "ITEMS_IN_CELL", 4)
    blocks = near_blocks(np.ones([20, 3], np.float32), 3)
    assert sorted(row for block in blocks for row in block) == list(range(20))


def test_the_same_seed_gives_the_same_blocks(monkeypatch):
    monkeypatch.setattr(item_cells, "ITEMS_IN_CELL", 8)
    vectors = np.random.default_rng(2).normal(size=[100, 4]).astype(np.float32)
    first, second = near_blocks(vectors, 4, seed=3), near_blocks(vectors, 4, seed=3)
    assert [block.tolist() for block in first] == [block.tolist() for block in second]


def test_means_of_groups():
    means = group_means(np.array([[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]], np.float32), np.array([2, 0, 2]), 3)
    assert means.tolist() == [[3.0, 4.0], [0.0, 0.0], [3.0, 4.0]] and means.dtype == np.float32

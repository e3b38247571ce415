"""The batches of a stage: the same for the same seed, in whatever epoch one begins."""

import numpy as np
import tensorflow as tf

from mmrec_tf.pretraining.batches import Batches


def rows(batches, first, last):
    return [batch["row"].numpy().tolist() for batch in batches.epochs(first, last)]


def make(count=10, size=4, **options):
    return Batches({"row": np.arange(count, dtype=np.int32)}, size, **{"seed": 5, **options})


def test_every_epoch_is_a_shuffle_without_its_incomplete_batch():
    batches = make()
    found = rows(batches, 0, 3)
    # Ten rows in batches of four: two an epoch, and two rows left out.
    assert batches.steps == 2 and [len(batch) for batch in found] == [4] * 6
    epochs = [found[start] + found[start + 1] for start in (0, 2, 4)]
    assert all(len(set(epoch)) == 8 for epoch in epochs)
    assert epochs[0] != epochs[1] != epochs[2]


def test_an_epoch_does_not_depend_on_those_before_it():
    seeds = [[batch["seed"].numpy().tolist() for batch in make().epochs(*part)] for part in ((0, 4), (2, 4))]
    assert rows(make(), 2, 4) == rows(make(), 0, 4)[4:]
    assert seeds[1] == seeds[0][4:]


def test_the_seed_decides_and_nothing_else():
    tf.random.set_seed(1)
    first = rows(make(), 0, 2)
    tf.random.set_seed(2)
    assert rows(make(), 0, 2) == first
    assert rows(make(seed=6), 0, 2) != first


def test_draws_differ_from_step_to_step():
    seeds = [tuple(batch["seed"].numpy()) for batch in make().epochs(0, 5)]
    assert len(set(seeds)) == 10


def test_fewer_rows_than_a_batch_make_one_of_all_of_them():
    assert [sorted(batch) for batch in rows(make(count=3, size=256), 0, 2)] == [[0, 1, 2]] * 2
    assert rows(make(count=1, size=256), 0, 1) == [[0]]


def test_most_limits_the_batches_of_an_epoch():
    assert make(most=1).steps == 1
    assert rows(make(most=1), 0, 2) == [rows(make(), 0, 2)[0], rows(make(), 0, 2)[2]]


def test_shapes_are_static_as_a_compiled_step_needs():
    spec = make().epochs(0, 1).element_spec
    assert spec["row"].shape == [4] and spec["seed"].shape == [2]


def test_change_sees_the_gathered_rows_and_the_seed():
    doubled = make(change=lambda batch: {"row": 2 * batch["row"] + 0 * batch["seed"][0]})
    assert rows(doubled, 0, 1) == [[2 * row for row in batch] for batch in rows(make(), 0, 1)]

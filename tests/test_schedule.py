"""The learning rate from step to step, worked out by hand."""

import math

import pytest

from mmrec_tf.schedule import warm_up_cosine


def rates(*arguments, **options):
    schedule = warm_up_cosine(*arguments, **options)
    return [float(schedule(step)) for step in range(arguments[0] + 1)]


def test_it_rises_in_a_line_and_falls_as_a_cosine():
    found = rates(20, 0.4, share=0.2)
    # Four of 20 steps rise; the 16 others fall by half a cosine, to half the peak in their middle and to 0 at the end.
    assert found[:5] == pytest.approx([0.0, 0.1, 0.2, 0.3, 0.4])
    assert found[12] == pytest.approx(0.2) and found[20] == pytest.approx(0.0, abs=1e-7)
    assert found[8] == pytest.approx(0.4 * (1 + math.cos(math.pi / 4)) / 2)


def test_a_twentieth_rises_by_default_rounded_up():
    found = rates(41, 1.0)
    assert found[:4] == pytest.approx([0.0, 1 / 3, 2 / 3, 1.0])


def test_without_a_rise_it_starts_at_its_peak():
    assert rates(10, 0.3, share=0.0)[0] == pytest.approx(0.3)


def test_a_single_step_learns():
    assert rates(1, 0.3)[0] == pytest.approx(0.3)

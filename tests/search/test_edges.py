"""Best values at the end of what was tried."""

import pytest

from mmrec_tf.search.edges import settings_at_edge
from mmrec_tf.search.space import Choices, Span
from tests import tiny_world

DIM, RATE, DROPOUT = "models.retrieval.dim", "train.learning_rate", "models.retrieval.dropout"
WIDTHS, RATES, SHARES = Choices((16, 32, 64)), Span(0.001, 0.1, is_log=True), Span(0.0, 0.8)


def edges(name, domain, value):
    found = settings_at_edge(tiny_world.config(), {name: domain}, {name: value})
    return [(edge.direction, edge.end) for edge in found]


@pytest.mark.parametrize(
    ("name", "domain", "value", "expected"),
    [
        (DIM, WIDTHS, 64, [("beyond", 64)]),
        (DIM, WIDTHS, 32, []),
        (DIM, WIDTHS, 16, [("below", 16)]),
        # Where the search began may lie outside of what it tried.
        (DIM, WIDTHS, 128, [("beyond", 64)]),
        # A twentieth of two decades is a factor of 1.26.
        (RATE, RATES, 0.0012, [("below", 0.001)]),
        (RATE, RATES, 0.0013, []),
        (RATE, RATES, 0.078, []),
        (RATE, RATES, 0.08, [("beyond", 0.1)]),
        # The configuration has no dropout below 0, and 0.8 + 0.2 is 1, which it refuses.
        (DROPOUT, SHARES, 0.0, []),
        (DROPOUT, SHARES, 0.8, []),
        (DROPOUT, Span(0.1, 0.5), 0.11, [("below", 0.1)]),
        (DROPOUT, Span(0.1, 0.5), 0.49, [("beyond", 0.5)]),
        # No layers of propagation are the fewest; of widths, 2.
        ("models.retrieval.graph.light_gcn", Choices((0, 1, 2)), 0, []),
        ("models.retrieval.graph.light_gcn", Choices((0, 1, 2)), 2, [("beyond", 2)]),
        (DIM, Choices((2, 4)), 2, []),
        ("fusion.method", Choices(("concat", "gated")), "gated", []),
        ("train.half_life", Choices((None, 30.0)), 30.0, []),
        ("train.xla", Choices((False, True)), True, []),
    ],
)
def test_ends(name, domain, value, expected):
    assert edges(name, domain, value) == expected


def test_the_warning_says_what_to_do():
    (edge,) = settings_at_edge(tiny_world.config(), {DIM: WIDTHS}, {DIM: 64})
    assert str(edge).endswith("widen models.retrieval.dim beyond 64")

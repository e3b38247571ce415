"""Labels of several targets: what cells say, what follows from other targets, and what teaches nothing."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest

from mmrec_tf.config_ranking import RankingConfig
from mmrec_tf.data.rec_data import RecData
from mmrec_tf.data.target_labels import (
    check_clicks_teach,
    check_targets_teach,
    main_labels,
    rows_of_target,
    target_labels,
    target_levels,
)
from mmrec_tf.errors import DataError
from mmrec_tf.schema import Schema

NONE = np.nan
CHAIN = {"cart": {"after": "click"}, "purchase": {"after": "cart"}, "stars": {"kind": "rating"}}


def data(clicked=(1, 1, 1, 0, 0, 1), **columns):
    rows = len(clicked)
    frame = pd.DataFrame(
        {
            "user_id": [f"u{row}" for row in range(rows)],
            "item_id": ["i"] * rows,
            "clicked": np.float32(clicked),
            **columns,
        }
    )
    schema = Schema(user={"user_id": "id"}, item={"item_id": "id"}, context={})
    return RecData(schema, frame, pd.DataFrame({"item_id": ["i"]}), frame[["user_id"]], "clicked", None)


def options(targets, model="mmoe", **settings):
    return RankingConfig(model=model, targets=targets, **settings)


def shown(labels):
    return {name: {key: values.tolist() for key, values in of.items()} for name, of in labels.items()}


def test_empty_cells_are_not_known_and_numbers_say_when_something_happened():
    found = data(bought=[1.0, 0.0, NONE, 0.0, 2.0, -1.0], stars=[5.0, NONE, 3.5, 4.0, 1.0, 0.0])
    asked = options({"bought": {}, "liked": {"column": "stars", "positive_from": 3.5}, "stars": {"kind": "rating"}})
    assert shown(target_labels(found, found.interactions, asked)) == {
        "bought": {"label": [1, 0, 0, 0, 1, 0], "weight": [1, 1, 0, 1, 1, 1]},
        "liked": {"label": [1, 0, 1, 1, 0, 0], "weight": [1, 0, 1, 1, 1, 1]},
        "stars": {"label": [5, 0, 3.5, 4, 1, 0], "weight": [1, 0, 1, 1, 1, 1]},
    }


def test_what_comes_after_something_did_not_happen_without_it():
    # Bought; in the cart; clicked, cart not known; not clicked, cells empty, or 0; in the cart, purchase not known.
    found = data(
        cart=[1, 1, NONE, NONE, 0, 1], purchase=[1, 0, NONE, NONE, 0, NONE], stars=[NONE, NONE, NONE, NONE, 1.0, 4.0]
    )
    asked = options(CHAIN)
    labels = target_labels(found, found.interactions, asked)
    assert shown(labels) == {
        "cart": {"label": [1, 1, 0, 0, 0, 1], "weight": [1, 1, 0, 1, 1, 1]},
        "purchase": {"label": [1, 0, 0, 0, 0, 0], "weight": [1, 1, 0, 1, 1, 0]},
        "stars": {"label": [0, 0, 0, 0, 1, 4], "weight": [0, 0, 0, 0, 1, 1]},
    }
    main = main_labels(found, found.interactions, asked)
    rows = {name: np.flatnonzero(rows_of_target(labels, main, name, asked)).tolist() for name in labels}
    assert rows == {"cart": [0, 1, 5], "purchase": [0, 1], "stars": [4, 5]}
    levels = target_levels(found, found.interactions, asked)
    assert levels == {"cart": (1.0, 0.0), "purchase": (0.5, 0.5), "stars": (2.5, 1.5)}


def test_a_purchase_without_the_click_is_a_contradiction():
    found = data(bought=[0.0, 1.0, 0.0, 0.0, 1.0, 1.0], clicked=(1, 1, 1, 1, 0, 0))
    with pytest.raises(
        DataError, match="2 interactions have a bought without the click.*row 4: user_id 'u4'.*bought 1"
    ):
        target_labels(found, found.interactions, options({"purchase": {"column": "bought"}}, model="esmm"))


@pytest.mark.parametrize(
    ("targets", "cells", "message"),
    [
        ({"bought": {}}, [NONE] * 6, "none of the training interactions has a bought. Fill the column"),
        (
            {"bought": {}},
            [NONE, 0, 0, 0, 0, 0],
            "from 5 training interactions: in none of them bought is above 0.*row 1",
        ),
        ({"bought": {}}, [1] * 6, "in all of them bought is above 0"),
        ({"bought": {"positive_from": 3}}, [1, 2, 1, 0, 0, 2], "in none of them bought is 3 or more .positive_from."),
        ({"bought": {"kind": "rating"}}, [NONE, 4, 4, NONE, 4, 4], "in all of them bought is 4. The first is row 1"),
        # Over all rows there are both; of what was clicked everything was bought.
        (
            {"bought": {"after": "click"}},
            [1, 1, 1, 0, 0, 1],
            "from 4 training interactions with a click: in all of them",
        ),
        (
            {"bought": {"after": "click"}},
            [NONE, NONE, NONE, 0, 0, NONE],
            "none of the training interactions with a click",
        ),
    ],
)
def test_refuses_what_teaches_nothing(targets, cells, message):
    found = data(bought=np.array(cells, float))
    with pytest.raises(DataError, match=message):
        check_targets_teach(found, found.interactions, options(targets))
    # Without a ranker nobody learns it.
    check_targets_teach(found, found.interactions, options(targets, enabled=False))


ALONE = {"negatives": 0, "hard_negatives": 0}


@pytest.mark.parametrize(
    ("label", "least", "message"),
    [
        (None, None, r"all 3 .*\(without data.label each one is\).* these above 0, or name a data.label"),
        ("clicked", None, "clicked is above 0 in all of them.*or raise data.positive_from, or set models.ranking.enab"),
        ("clicked", 2.0, "clicked is 2 or more, data.positive_from, in all of them"),
    ],
)
def test_refuses_clicks_without_anything_to_tell_them_from(label, least, message):
    found = replace(data(clicked=(2, 3, 2)), label=label, positive_from=least)

    def check(**settings):
        check_clicks_teach(found, found.interactions, options({}, **{**ALONE, **settings}))

    with pytest.raises(DataError, match=message):
        check()
    for settings in ({"negatives": 1}, {"hard_negatives": 1}, {"enabled": False}, {"target": "rating"}):
        check(**settings)


def test_clicks_that_all_happened_may_stand_beside_what_orders_the_lists():
    found = data(clicked=(1, 1, 1), bought=[0, 1, 0])
    targets = {"bought": {"after": "click"}}
    with pytest.raises(DataError, match="all 3 training interactions are positives"):
        check_clicks_teach(found, found.interactions, options(targets, order_by={"click": 1, "bought": 0}, **ALONE))
    check_clicks_teach(found, found.interactions, options(targets, order_by={"click": 1, "bought": 1}, **ALONE))


def test_one_negative_is_something_to_learn_from():
    found = data(clicked=(1, 0, 1))
    check_clicks_teach(found, found.interactions, options({}, **ALONE))


def test_a_rating_as_the_main_target():
    found = data(clicked=(1, 5, 3, 0, 2, 4), again=[0, 1, 0, 0, 1, 1.0])
    asked = options({"again": {}}, target="rating")
    assert main_labels(found, found.interactions, asked).tolist() == [1, 5, 3, 0, 2, 4]
    check_targets_teach(found, found.interactions, asked)

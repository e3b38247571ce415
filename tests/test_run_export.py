"""What is said of new items that have something wrong with them."""

from types import SimpleNamespace

import pandas as pd
import pytest

from mmrec_tf.config import Config
from mmrec_tf.run_export import _new_items


def test_problems_of_new_items_are_told_in_words(tmp_path):
    schema = {"user": {"user": "id"}, "item": {"item": "id", "title": "text", "price": "number"}}
    config = Config.model_validate(
        {"data": {"interactions": "x.csv", "items": "i.csv"}, "schema": schema, "split": {"method": "random"}}
    )
    table = tmp_path / "new.csv"
    pd.DataFrame({"item": ["a", "b"], "title": ["Ape", "Bee"], "price": ["2", "cheap"]}).to_csv(table, index=False)
    with pytest.warns(UserWarning, match=r"^items\.price: non_finite_number, 1 row, first in row 1: 'cheap'\. Give a"):
        data, shown = _new_items(None, SimpleNamespace(config=config), table, None)
    assert data.items["item"].tolist() == ["a", "b"] and shown["title"].tolist() == ["Ape", "Bee"]

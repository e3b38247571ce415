"""What is known of a request, as numbers."""

import numpy as np
import pandas as pd
import pytest

from mmrec_tf.features.context_features import CLOCK, ContextFeatures, clock_values
from mmrec_tf.schema import Schema

SCHEMA = Schema(
    user={"user": "id"},
    item={"item": "id"},
    context={"device": "categorical", "tags": "multi_categorical", "distance": "number", "time": "timestamp"},
)


def frame(devices, tags, distances, times=None):
    lists = pd.Series([list(values) for values in tags], dtype=object)
    times = np.zeros(len(devices)) if times is None else times
    return pd.DataFrame({"device": devices, "tags": lists, "distance": distances, "time": times})


TRAINED = frame(["phone", "phone", "tv", ""], ["a", "ab", "", "a"], [1.0, 3.0, np.nan, 5.0])


def test_vocabularies_and_scales_are_those_of_training():
    context = ContextFeatures.fit(TRAINED, SCHEMA, [])
    assert context.spec == {
        "categorical": {"device": 3},
        "multi_categorical": {"tags": 3},
        "numbers": ["distance"],
    }
    # phone is seen twice and is 1, tv 2; a is seen three times, b once; distances have mean 3 and variance 8 / 3.
    later = frame(["tv", "watch", "phone"], ["b", "ca", "abc"], [3.0, np.nan, 5.0])
    found = context.encode(later)
    assert found["categorical"]["device"].tolist() == [2, 0, 1]
    # Two values are the most that training had: of three the first two are kept.
    assert found["multi_categorical"]["tags"].tolist() == [[2, 0], [0, 1], [1, 2]]
    expected = [[0.0, 1.0], [0.0, 0.0], [2 / np.sqrt(8 / 3), 1.0]]
    np.testing.assert_allclose(found["numbers"]["distance"], expected, rtol=1e-6)


def test_the_clock_tells_hour_day_and_month():
    # 2024-02-29 was a Thursday: the fourth day. 1969-12-31 23:00 was a Wednesday.
    moments = np.array([pd.Timestamp("2024-02-29 13:45").timestamp(), -3600.0, np.nan])
    assert clock_values("hour_of_day", moments).tolist() == [14, 24, 0]
    assert clock_values("day_of_week", moments).tolist() == [4, 3, 0]
    assert clock_values("month", moments).tolist() == [2, 12, 0]
    with pytest.raises(ValueError, match="no 'season'. Allowed: hour_of_day"):
        clock_values("season", moments)


def test_the_clock_is_part_of_the_context_where_there_is_a_timestamp():
    schema = SCHEMA.model_copy(update={"context": [feature for feature in SCHEMA.context if feature.name == "time"]})
    context = ContextFeatures.fit(TRAINED, schema, ["hour_of_day"])
    assert context.spec == {"categorical": {"hour_of_day": 25}, "multi_categorical": {}, "numbers": []}
    assert context.encode(TRAINED)["categorical"]["hour_of_day"].tolist() == [1, 1, 1, 1]
    assert ContextFeatures.fit(TRAINED, schema, []) is None
    without = SCHEMA.model_copy(update={"context": []})
    assert ContextFeatures.fit(TRAINED, without, ["hour_of_day"]) is None


def test_saved_and_loaded_it_encodes_alike(tmp_path):
    context = ContextFeatures.fit(TRAINED, SCHEMA, list(CLOCK))
    context.save(tmp_path / "features" / "context.json")
    loaded = ContextFeatures.load(tmp_path / "features" / "context.json")
    assert loaded.spec == context.spec
    one, other = context.encode(TRAINED), loaded.encode(TRAINED)
    for group, arrays in one.items():
        for name, array in arrays.items():
            np.testing.assert_array_equal(array, other[group][name])

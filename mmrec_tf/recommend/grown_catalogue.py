"""Items that join a trained catalogue: their rows in the tables, and the models around them."""

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import pandas as pd
import tf_keras

from mmrec_tf.data.number_scale import NumberScale
from mmrec_tf.errors import DataError
from mmrec_tf.features.feature_table import FeatureTable
from mmrec_tf.schema import Feature


def with_new_items(
    table: FeatureTable,
    frame: pd.DataFrame,
    features: Sequence[Feature],
    modalities: Mapping[str, tuple[np.ndarray, np.ndarray]],
    numbers: Mapping[str, NumberScale],
) -> FeatureTable:
    """The items' table with more rows behind its own, encoded as those were: with the training's vocabularies and
    scales, and with ids that training has not seen.

    Of categories, as many are kept as the most that a trained item has.

    Args:
        table: the table that the models were built with.
        frame: one row per new item, as in `RecData`.
        features: the schema's item features.
        modalities: name -> (vectors `[rows, width]`, mask `[rows]`), by the encoders of the training.
        numbers: feature name -> `NumberScale` of the training.

    Raises:
        DataError: if an item is there already, or a vector has another width than those of the training.
    """
    ids = frame[next(feature.name for feature in features if feature.kind == "id")].tolist()
    there = sorted(set(ids) & set(table.ids))
    if there:
        raise DataError(
            f"{len(there)} of {len(ids)} items are in the catalogue already, removed ones included; the first: "
            f"{there[0]!r}. Leave them out, or train again to change them: mmrec train"
        )
    new = np.zeros(len(ids), np.int32)
    indices = {"id_index": _more(table.id_index, new), "met_index": _more(table.met_index, new)}
    grown = replace(table, ids=[*table.ids, *ids], **indices)
    kinds = {"categorical": {}, "multi_categorical": {}, "numbers": {}}
    for feature in features:
        name = feature.name
        if feature.kind == "categorical":
            kinds["categorical"][name] = table.vocabularies[name].lookup(frame[name])
        elif feature.kind == "multi_categorical":
            width = table.multi_categorical[name].shape[1]
            kinds["multi_categorical"][name] = table.vocabularies[name].lookup_lists(frame[name], width)
        elif feature.is_number:
            kinds["numbers"][name] = numbers[name].apply(frame[name].to_numpy(float))
    for kind, columns in kinds.items():
        setattr(grown, kind, {name: _more(getattr(table, kind)[name], rows) for name, rows in columns.items()})
    grown.vectors, grown.masks = {}, {}
    for name, width in table.widths.items():
        vectors, mask = modalities[name]
        if vectors.shape[1] != width:
            raise DataError(
                f"the new items' vectors in {name!r} have {vectors.shape[1]} numbers, those of the training {width}. "
                "Make them with the same encoder, or train again: mmrec train"
            )
        scaled = (vectors - table.centres[name]) / table.scales[name]
        grown.vectors[name] = _more(table.vectors[name], np.where(mask[:, None], scaled, 0.0).astype(np.float32))
        grown.masks[name] = _more(table.masks[name], mask)
    return grown


def take_weights(larger: tf_keras.Model, trained: tf_keras.Model) -> None:
    """Gives a model that was built with a grown catalogue what a trained one has learned.

    Where a weight has a row for each item, the new items keep theirs as they are: their features, and nothing learned.
    Of the trends, whose periods are fewer where a catalogue is larger (see `table_periods`), the first are taken; they
    are to be set anew.
    """
    for weight, learned in zip(larger.weights, trained.weights, strict=True):
        if weight.shape == learned.shape:
            weight.assign(learned)
        else:
            values = weight.numpy()
            both = tuple(slice(0, min(sizes)) for sizes in zip(weight.shape, learned.shape, strict=True))
            values[both] = learned.numpy()[both]
            weight.assign(values)


def _more(rows: np.ndarray, new: np.ndarray) -> np.ndarray:
    return np.concatenate([rows, new.astype(rows.dtype)])

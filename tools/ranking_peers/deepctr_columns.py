"""The pairs as DeepCTR and DeepCTR-Torch take them, whose feature columns have the same names."""

from __future__ import annotations

import numpy as np
from pair_arrays import PARTS, PairArrays


def columns_and_inputs(arrays: PairArrays, settings: dict, kinds) -> tuple[list, dict[str, dict[str, np.ndarray]]]:
    """Feature columns, and part -> column -> array.

    Args:
        arrays: the pairs.
        settings: `embedding_size` and `with_clock` are read.
        kinds: `SparseFeat`, `VarLenSparseFeat` and `DenseFeat` of the library.
    """
    sparse, listed, dense = kinds
    clock, width = settings["with_clock"], settings["embedding_size"]
    inputs = {part: {**arrays.categories(part, clock), **arrays.lists(part), **arrays.numbers(part)} for part in PARTS}
    columns = [
        sparse(name, arrays.size(name, clock), embedding_dim=width) for name in arrays.categories("train", clock)
    ]
    for name, values in arrays.lists("train").items():
        most = max(arrays.lists(part)[name].shape[1] for part in PARTS)
        column = sparse(name, arrays.size(name, clock), embedding_dim=width)
        columns.append(listed(column, maxlen=most, combiner="mean"))
        for part in PARTS:
            of = inputs[part][name]
            inputs[part][name] = np.pad(of, ((0, 0), (0, most - of.shape[1])))
    columns += [dense(name, 1) for name in arrays.numbers("train")]
    return columns, inputs

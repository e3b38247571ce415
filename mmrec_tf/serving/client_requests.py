"""What the exported models are asked, from what callers find natural to say."""

from collections.abc import Mapping, Sequence

import numpy as np

from mmrec_tf.serving.client_errors import InvalidArgument
from mmrec_tf.serving.client_metadata import SignatureInfo, TensorInfo
from mmrec_tf.serving.client_values import to_array


def ids(given: str | Sequence[str], name: str) -> list[str]:
    """A list of ids; one alone is a list of one.

    Raises:
        InvalidArgument: if there is none, or something else among them.
    """
    found = [given] if isinstance(given, str) else _plain_list(given, name)
    if not found:
        raise InvalidArgument(f"{name} is empty; give at least one id.")
    _check_strings(found, name)
    return found


def lists_of_ids(given: Sequence, count: int, name: str) -> list[list[str]]:
    """A list of ids for each user, from one for all of them or one for each.

    Args:
        given: ids, or a list of lists of ids.
        count: int. Users.
        name: str. For messages.

    Raises:
        InvalidArgument: if it is something else, or there are lists for another number of users.
    """
    if isinstance(given, str):
        raise InvalidArgument(f"{name} is the string {given!r:.60}; give a list of ids, or one for each user.")
    found = _plain_list(given, name)
    if all(isinstance(value, str) for value in found):
        return [found] * count
    if any(isinstance(value, str) for value in found):
        raise InvalidArgument(f"{name} has ids and lists side by side; give one list for all users, or one for each.")
    if len(found) != count:
        raise InvalidArgument(f"{name} has lists for {len(found)} users, but {count} are asked for.")
    lists = [[] if value is None else _plain_list(value, name) for value in found]
    for values in lists:
        _check_strings(values, name)
    return lists


def checked_k(k: int) -> int:
    """`k`, if it is one.

    Raises:
        InvalidArgument: if it is no whole number above 0.
    """
    if isinstance(k, bool) or not isinstance(k, int | np.integer) or k < 1:
        raise InvalidArgument(f"k is the number of items for each, a whole number from 1; got {k!r}.")
    return int(k)


def context_values(context: Mapping[str, object], signature: SignatureInfo, count: int) -> dict[str, np.ndarray]:
    """An array for each feature of the context that is given.

    Args:
        context: input name -> one value for all users, or a list with one for each; None is unknown. Where the model
            takes several categories for each user, a value is one of them or a list.
        signature: of `recommend`.
        count: int. Users.

    Raises:
        InvalidArgument: if the model takes no such feature, or a value does not fit it.
    """
    features = sorted(name for name in signature.inputs if name not in _OWN_INPUTS)
    arrays = {}
    for name, value in context.items():
        if name not in features:
            known = ", ".join(map(repr, features)) or "nothing"
            raise InvalidArgument(f"The model knows no context {name!r}; it was trained with {known}.")
        arrays[name] = _feature(value, signature.inputs[name], count, name)
    return arrays


def complete(given: dict[str, object], signature: SignatureInfo, count: int) -> dict[str, object]:
    """Fills in what says nothing for the inputs that may say nothing: empty lists, and `""` for one category."""
    filled = dict(given)
    for name, info in signature.inputs.items():
        if name in filled or name in signature.optional or info.kind is None or info.shape is None:
            continue
        if len(info.shape) == 2 and info.shape[1] is None:
            filled[name] = np.empty((count, 0), info.kind.dtype)
        elif len(info.shape) == 1 and info.kind.is_string:
            filled[name] = [""] * count
    return filled


_OWN_INPUTS = ("user_id", "k", "exclude_ids", "history_item_ids")
# What the models take for an unknown value, where users' lists differ in length.
_NOTHING = {"f": float("nan"), "i": 0, "u": 0}


def _feature(value: object, info: TensorInfo, count: int, name: str) -> np.ndarray:
    is_single = info.shape is not None and len(info.shape) == 1
    each = [value] * count if _is_value(value) else _plain_list(value, name)
    if len(each) != count:
        raise InvalidArgument(f"context {name!r} has values for {len(each)} users, but {count} are asked for.")
    if is_single:
        return to_array(["" if said is None and info.kind.is_string else said for said in each], info, name)
    lists = [[] if said is None else [said] if _is_value(said) else _plain_list(said, name) for said in each]
    # NumPy's numbers as Python's, so that an integer passes for a float and not for a string.
    lists = [[said.item() if isinstance(said, np.generic) else said for said in said_list] for said_list in lists]
    fill = "" if info.kind.is_string else _NOTHING.get(info.kind.dtype.kind, float("nan"))
    if not any(lists):
        return np.empty((count, 0), info.kind.dtype)
    return to_array(lists, info, name, fill)


def _is_value(value: object) -> bool:
    return value is None or isinstance(value, str | bytes | int | float | np.generic)


def _plain_list(given: object, name: str) -> list:
    try:
        return list(given.tolist() if hasattr(given, "tolist") else given)
    except TypeError as error:
        raise InvalidArgument(f"{name} must be a list, got {type(given).__name__}: {given!r:.60}") from error


def _check_strings(values: list, name: str) -> None:
    wrong = [value for value in values if not isinstance(value, str)]
    if wrong:
        raise InvalidArgument(
            f"{name} holds {type(wrong[0]).__name__} {wrong[0]!r:.60}; ids are strings, as in the tables: str(id)."
        )

"""Lists in the configuration whose entries are names, or mappings with their name under one key."""

from collections.abc import Mapping
from typing import Any

from pydantic import BaseModel

from mmrec_tf.errors import suggestion


def named_entries(entries: Any, key: str, noun: str, known: Mapping[str, type[BaseModel]]) -> Any:
    """The entries as mappings; what is no list of names and mappings is left to pydantic to refuse.

    Args:
        entries: as read: a list, or a single entry.
        key: str. Where a mapping has its name.
        noun: str. What an entry is, for messages.
        known: name -> the model of its settings.

    Raises:
        ValueError: for names and settings that are not known, with the nearest one and all that are.
    """
    if isinstance(entries, (str, dict)):
        entries = [entries]
    if not isinstance(entries, list):
        return entries
    named = [{key: entry} if isinstance(entry, str) else entry for entry in entries]
    for entry in named:
        if not isinstance(entry, dict):
            continue
        if key not in entry:
            raise ValueError(f"{entry} does not say which {noun} it is: add {key}: NAME. {_allowed(known)}")
        name = entry[key]
        if name not in list(known):
            raise ValueError(f"{name!r} is no {noun}.{suggestion(name, known)} {_allowed(known)}")
        fields = known[name].model_fields
        for setting in entry:
            if setting not in fields:
                raise ValueError(f"{name} has no setting {setting!r}.{suggestion(setting, fields)} {_allowed(fields)}")
    return named


def _allowed(names) -> str:
    return f"Allowed: {', '.join(sorted(names))}."

"""Errors that a user can act on.

Every mistake that a user can make ends in one of these. The command line prints the message alone and exits with
code 2; a Python caller gets an exception whose text says what was received, what is allowed and what to do next.
"""

import difflib
from collections.abc import Iterable


class MmrecError(Exception):
    """Base of every error that the user, not the library, can mend."""


class ConfigError(MmrecError):
    """The configuration or the schema is not valid."""


class DataError(MmrecError):
    """A table or a media file cannot be used as it is."""


class EncoderError(MmrecError):
    """An encoder cannot be built, loaded or called."""


class RunError(MmrecError):
    """A run directory lacks what a command needs, or belongs to another configuration."""


class ServingError(MmrecError):
    """A model cannot be exported, loaded or queried."""


def suggestion(word: str, allowed: Iterable) -> str:
    """A sentence that names the nearest allowed word, or nothing when none is near."""
    close = difflib.get_close_matches(str(word), [str(name) for name in allowed], n=1, cutoff=0.5)
    return f" Did you mean {close[0]!r}?" if close else ""

"""What the files beside the models say to the server: versions to serve, their labels, and the largest batch.

They are TensorFlow Serving's own, written by `server_files` and perhaps changed by hand, so both servers are set up in
one place.

Source: tensorflow_serving/config/model_server_config.proto and
tensorflow_serving/sources/storage_path/file_system_storage_path_source.{proto,cc}
"""

import logging
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from google.protobuf import text_format

from mmrec_tf.errors import ServingError
from mmrec_tf.serving.api_messages import messages

logger = logging.getLogger(__name__)

MODELS_FILE = "models.config"
DEFAULT_MAX_BATCH_SIZE = 64
DEFAULT_NUM_VERSIONS = 2
"""Versions of a model that `models.config` does not name, as of those that it is written for."""


@dataclass(frozen=True)
class VersionPolicy:
    """Which versions of a model are served.

    Args:
        latest: int. So many of the highest numbers; None, the default, for all.
        only: the numbers that may be served; None, the default, for any.
    """

    latest: int | None = None
    only: frozenset[int] | None = None

    def chosen(self, numbers: Sequence[int]) -> list[int]:
        """Those to serve of the numbers that are there, which come highest first."""
        return [number for number in numbers if self.only is None or number in self.only][: self.latest]


@dataclass(frozen=True)
class ModelsConfig:
    """What `models.config` says.

    Args:
        labels: model name -> label -> version.
        policies: model name -> which versions are served.
    """

    labels: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    policies: Mapping[str, VersionPolicy] = field(default_factory=dict)

    def policy_of(self, name: str) -> VersionPolicy:
        """The policy of a model; that of `DEFAULT_NUM_VERSIONS` where it is not named."""
        return self.policies.get(name, VersionPolicy(latest=DEFAULT_NUM_VERSIONS))


class ModelsConfigFile:
    """`models.config`, which is read again and again while a server runs.

    Args:
        export_dir: Path. The folder whose `models.config` is read.
        path: Path. Another file in its place, which has to be there; None, the default, for none.

    Attributes:
        said: `ModelsConfig`, when it was last read.

    Raises:
        ServingError: if `path` is not there, or cannot be read.
    """

    def __init__(self, export_dir: Path, path: Path | None = None):
        self._path = path or export_dir / MODELS_FILE
        if path is not None and not path.is_file():
            raise ServingError(f"{path} is no file. Name a ModelServerConfig in text form, such as {MODELS_FILE}.")
        self.said = ModelsConfig() if path is None else read_models_config(path)
        self.read()

    def read(self) -> ModelsConfig:
        """What it says now; where it cannot be read, what it said before holds on, as in TensorFlow Serving."""
        try:
            self.said = read_models_config(self._path)
        except ServingError as error:
            logger.warning("what it said before of versions and labels holds on: %s", error)
        return self.said


def read_models_config(path: Path) -> ModelsConfig:
    """What a `ModelServerConfig` in text form says; nothing where there is no such file.

    Raises:
        ServingError: if it cannot be read.
    """
    if not path.is_file():
        return ModelsConfig()
    try:
        # What else TensorFlow Serving is told there is passed over.
        config = text_format.Parse(
            path.read_text(encoding="utf-8"), messages().ModelServerConfig(), allow_unknown_field=True
        )
    except (text_format.ParseError, OSError, UnicodeDecodeError) as error:
        raise ServingError(f"{path} cannot be read: {error}. It is a ModelServerConfig in text form.") from error
    models = config.model_config_list.config
    return ModelsConfig(
        {model.name: dict(model.version_labels) for model in models},
        {model.name: _policy(model.model_version_policy) for model in models},
    )


def _policy(said) -> VersionPolicy:
    choice = said.WhichOneof("policy_choice")
    if choice == "all":
        return VersionPolicy()
    if choice == "specific":
        return VersionPolicy(only=frozenset(said.specific.versions))
    # One, where nothing is said.
    return VersionPolicy(latest=max(said.latest.num_versions, 1))


def read_max_batch_size(export_dir: Path) -> int:
    """The largest batch by `batching_parameters.txt`, or 64."""
    path = export_dir / "batching_parameters.txt"
    try:
        said = re.search(
            r"^\s*max_batch_size\s*:?\s*\{\s*value\s*:\s*([0-9]{1,9})\s*\}", path.read_text(), re.MULTILINE
        )
    except (OSError, UnicodeDecodeError):
        return DEFAULT_MAX_BATCH_SIZE
    return max(1, int(said[1])) if said else DEFAULT_MAX_BATCH_SIZE

"""What the files beside the models say to the server: labels of versions, and the largest batch.

They are TensorFlow Serving's own, written by `server_files` and perhaps changed by hand, so both servers are set up in
one place.
"""

import logging
import re
from pathlib import Path

from google.protobuf import text_format

from mmrec_tf.serving.api_messages import messages

logger = logging.getLogger(__name__)

LABELS_FILE = "models.config"
DEFAULT_MAX_BATCH_SIZE = 64


def read_labels(export_dir: Path) -> dict[str, dict[str, int]]:
    """Model name -> label -> version, by `models.config`; empty where there is none, or none that can be read."""
    path = export_dir / LABELS_FILE
    if not path.is_file():
        return {}
    try:
        # What else TensorFlow Serving is told there is passed over.
        config = text_format.Parse(
            path.read_text(encoding="utf-8"), messages().ModelServerConfig(), allow_unknown_field=True
        )
    except (text_format.ParseError, OSError, UnicodeDecodeError) as error:
        logger.warning("%s is left out, so that versions have no labels: %s", path, error)
        return {}
    return {model.name: dict(model.version_labels) for model in config.model_config_list.config}


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

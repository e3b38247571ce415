"""What the files beside the models say to the server: labels of versions, and the largest batch.

They are TensorFlow Serving's own, written by `server_files` and perhaps changed by hand, so both servers are set up in
one place.
"""

import logging
import re
from functools import cache
from pathlib import Path

from google.protobuf import text_format

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
        config = text_format.Parse(path.read_text(encoding="utf-8"), _model_server_config()(), allow_unknown_field=True)
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


@cache
def _model_server_config() -> type:
    """The fields of `tensorflow.serving.ModelServerConfig` that are read here, under their names."""
    from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

    kinds = descriptor_pb2.FieldDescriptorProto
    package = "mmrec_tf.serving"
    file = descriptor_pb2.FileDescriptorProto(name="mmrec_tf/model_server_config.proto", package=package)
    file.syntax = "proto3"
    model = file.message_type.add(name="ModelConfig")
    model.field.add(name="name", number=1, type=kinds.TYPE_STRING, label=1)
    labels = f".{package}.ModelConfig.VersionLabelsEntry"
    model.field.add(name="version_labels", number=8, type=kinds.TYPE_MESSAGE, label=3, type_name=labels)
    entry = model.nested_type.add(name="VersionLabelsEntry")
    entry.field.add(name="key", number=1, type=kinds.TYPE_STRING, label=1)
    entry.field.add(name="value", number=2, type=kinds.TYPE_INT64, label=1)
    entry.options.map_entry = True
    models = file.message_type.add(name="ModelConfigList")
    models.field.add(name="config", number=1, type=kinds.TYPE_MESSAGE, label=3, type_name=f".{package}.ModelConfig")
    config = file.message_type.add(name="ModelServerConfig")
    config.field.add(
        name="model_config_list", number=1, type=kinds.TYPE_MESSAGE, label=1, type_name=f".{package}.ModelConfigList"
    )
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(f"{package}.ModelServerConfig"))

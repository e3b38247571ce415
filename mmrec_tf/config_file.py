"""Reading and writing the configuration file.

Unknown keys are refused with the nearest valid name, `--set` overrides are applied before validation, and every
problem that is found is reported at once.
"""

from pathlib import Path
from typing import Any, get_args

import yaml
from pydantic import ValidationError

from mmrec_tf.config import Config, EncoderConfig
from mmrec_tf.config_pretraining import resolved_stages
from mmrec_tf.errors import ConfigError, suggestion
from mmrec_tf.schema import StrictModel


def load_config(path: str | Path, overrides: list[str] | None = None) -> Config:
    """Reads a configuration file.

    Relative paths in it are resolved against its own folder, so that a run does not depend on where it is started.

    Args:
        path: the YAML file.
        overrides: list of `section.key=value` strings, the values in YAML, as given to `--set`.

    Raises:
        ConfigError: naming the file, the key, what was received and the nearest valid name.
    """
    path = Path(path)
    if not path.is_file():
        raise ConfigError(f"{path} does not exist. Write one with: mmrec init {path.parent}")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    # A plain ValueError is a date that there is not.
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"{path} is not valid YAML: {error}") from error
    return parse_config(content, path.parent, overrides, source=str(path))


def parse_config(
    content: Any, folder: str | Path = ".", overrides: list[str] | None = None, source: str = "the configuration"
) -> Config:
    """Validates a configuration given as a mapping; `folder` is what its relative paths start from."""
    if not isinstance(content, dict):
        raise ConfigError(f"{source} must be a mapping of sections (data, schema, ...), got {type(content).__name__}.")
    for override in overrides or []:
        _apply(content, override)
    try:
        config = Config.model_validate(content)
    except ValidationError as error:
        raise ConfigError(_explain(error, source)) from error
    # A run keeps its configuration elsewhere, so the paths must not depend on where it is read.
    folder = Path(folder).absolute()
    resolved = {
        key: folder / getattr(config.data, key)
        for key in ("interactions", "items", "users")
        if getattr(config.data, key) is not None
    }
    encoders = {name: _resolved(encoder, folder) for name, encoder in config.encoders.items()}
    return config.model_copy(
        update={
            "data": config.data.model_copy(update=resolved),
            "encoders": encoders,
            "pretraining": resolved_stages(config.pretraining, folder),
            "store": folder / config.store,
        }
    )


def _resolved(encoder: EncoderConfig, folder: Path) -> EncoderConfig:
    update = {}
    if encoder.path:
        update["path"] = folder / encoder.path
    if encoder.preprocessor and "://" not in encoder.preprocessor:
        update["preprocessor"] = str(folder / encoder.preprocessor)
    return encoder.model_copy(update=update)


def dump_config(config: Config) -> str:
    """The configuration as YAML that `load_config` reads back to an equal object."""
    return yaml.safe_dump(config.model_dump(mode="json", by_alias=True), sort_keys=False, allow_unicode=True)


def _apply(content: dict, override: str) -> None:
    key, separator, text = override.partition("=")
    if not separator or not key.strip():
        raise ConfigError(f"--set takes section.key=value, got {override!r}. Example: --set train.epochs=3")
    try:
        value = yaml.safe_load(text)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"--set {override}: the value is not valid YAML ({error}).") from error
    *parents, leaf = key.strip().split(".")
    section = content
    for parent in parents:
        child = section.get(parent)
        if child is None:
            child = section[parent] = {}
        if not isinstance(child, dict):
            raise ConfigError(f"--set {override}: {parent} is not a section.")
        section = child
    section[leaf] = value


def _explain(error: ValidationError, source: str) -> str:
    lines = []
    for problem in error.errors():
        place = ".".join(str(part) for part in problem["loc"])
        if problem["type"] == "extra_forbidden":
            names = _fields_beside(problem["loc"])
            allowed = ", ".join(sorted(names))
            lines.append(f"{place}: unknown key.{suggestion(problem['loc'][-1], names)} Allowed here: {allowed}.")
        elif problem["type"] == "missing":
            lines.append(f"{place}: this key is required and is not there.")
        elif problem["type"] == "value_error":
            lines.append(f"{place + ': ' if place else ''}{problem['ctx']['error']}")
        else:
            lines.append(f"{place}: {problem['msg']}, got {problem['input']!r}.")
    return f"{source} is not valid:\n  " + "\n  ".join(lines)


def _fields_beside(location: tuple) -> list[str]:
    """The keys that are valid where an unknown one was found."""
    model = Config
    for part in location[:-1]:
        if isinstance(part, int):
            continue
        field = next(
            (field for name, field in model.model_fields.items() if part in (name, field.alias)),
            None,
        )
        model = _model_in(field.annotation) if field else model
    return [field.alias or name for name, field in model.model_fields.items()]


def _model_in(annotation) -> type[StrictModel]:
    if isinstance(annotation, type) and issubclass(annotation, StrictModel):
        return annotation
    return next((model for model in map(_model_in, get_args(annotation)) if model is not StrictModel), StrictModel)

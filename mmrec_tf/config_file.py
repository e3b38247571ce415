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
from mmrec_tf.schema import FeatureKind, StrictModel


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
    if path.is_dir():
        hint = (
            "Name the file in it"
            if (path / "config.yaml").is_file()
            else f"Write one with: mmrec init {path}, and name it"
        )
        raise ConfigError(f"{path} is a folder, not a configuration file. {hint}: {path / 'config.yaml'}")
    if not path.is_file():
        raise ConfigError(f"{path} does not exist. Write one with: mmrec init {path.parent}")
    try:
        content = yaml.load(path.read_text(encoding="utf-8"), _Loader)
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
        raise ConfigError(_explain(error, content, source)) from error
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
        value = yaml.load(text, _Loader)
    except (yaml.YAMLError, ValueError) as error:
        raise ConfigError(f"--set {override}: the value is not valid YAML ({error}).") from error
    *parents, leaf = key.strip().split(".")
    section = content
    for depth, parent in enumerate(parents, 1):
        child = section.get(parent)
        if child is None:
            child = section[parent] = {}
        if not isinstance(child, dict):
            place = ".".join(parents[:depth])
            raise ConfigError(
                f"--set {override}: {place} is {child!r} and no section. Give it whole, as in "
                f"--set '{place}={{{'.'.join([*parents[depth:], leaf])}: {text.strip()}}}'"
            )
        section = child
    section[leaf] = value


class _Loader(yaml.SafeLoader):
    """Of a key that stands twice, plain YAML would drop the first with all that is below it."""

    def compose_mapping_node(self, anchor):
        node = super().compose_mapping_node(anchor)
        lines = {}
        for key, _ in node.value:
            if isinstance(key, yaml.ScalarNode):
                line, first = key.start_mark.line + 1, lines.get((key.tag, key.value))
                if first is not None:
                    raise yaml.YAMLError(
                        f"{key.value} stands there twice, in lines {first} and {line}. Join the two into one."
                    )
                lines[key.tag, key.value] = line
        return node


def _explain(error: ValidationError, content: dict, source: str) -> str:
    lines = []
    for problem in error.errors():
        place = ".".join(_names(problem["loc"], content))
        if problem["type"] == "extra_forbidden":
            names = _fields_beside(problem["loc"])
            allowed = ", ".join(sorted(names))
            lines.append(f"{place}: unknown key.{suggestion(problem['loc'][-1], names)} Allowed here: {allowed}.")
        elif problem["type"] == "missing":
            lines.append(f"{place}: this key is required and is not there.")
        elif problem["type"] == "value_error":
            lines.append(f"{place + ': ' if place else ''}{problem['ctx']['error']}")
        elif problem["type"] in ("model_type", "list_type", "dict_type") and problem["input"] is None:
            lines.append(f"{place} is empty. Write settings below it, or leave the line out.")
        elif problem["type"] == "model_type":
            names = _fields_beside((*problem["loc"], ""))
            lines.append(
                f"{place} takes settings, as in {{{names[0]}: ...}}, got {problem['input']!r}. "
                f"Allowed there: {', '.join(sorted(names))}."
            )
        elif problem["type"] == "list_type":
            lines.append(f"{place} takes a list, as in [{problem['input']}], got {problem['input']!r}.")
        else:
            near = suggestion(problem["input"], get_args(FeatureKind)) if problem["loc"][-1] == "kind" else ""
            lines.append(f"{place}: {problem['msg']}, got {problem['input']!r}.{near}")
    return f"{source} is not valid:\n  " + "\n  ".join(lines)


def _names(location: tuple, content: dict) -> list[str]:
    """Where a problem is, as the file says it: features have names, and no numbers, in the short form."""
    names, there = [], content
    for part in location:
        if isinstance(part, int) and isinstance(there, dict):
            part = list(there)[part]
        names.append(str(part))
        there = there.get(part) if isinstance(there, dict) else None
    return names


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

"""What a search may try: settings by their names in the configuration, each with values or a range."""

import types
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Union, get_args, get_origin

from mmrec_tf.config import Config
from mmrec_tf.config_encoders import EncoderConfig
from mmrec_tf.config_file import parse_config
from mmrec_tf.config_tuning import RangeConfig
from mmrec_tf.errors import ConfigError, suggestion
from mmrec_tf.models.build import check_parts
from mmrec_tf.schema import StrictModel

_RETRIEVAL = ("encoders", "fusion", "alignment", "pretraining", "tasks", "models.clock", "models.retrieval")
_RANKING = ("models.ranking", "train.ranking", "export.candidates")
_PREPARED = ("models.ranking.position", "models.ranking.targets")
"""What decides which columns are loaded, and which of them the models are told: once, before the first trial."""


@dataclass(frozen=True)
class Choices:
    """One of several values, of any kind."""

    values: tuple

    @property
    def ends(self) -> tuple | None:
        """The least and the greatest; None where the values are no numbers, and so have no order."""
        numbers = [value for value in self.values if _is_number(value)]
        return (min(numbers), max(numbers)) if len(numbers) == len(self.values) else None

    def holds(self, value) -> bool:
        return value in self.values


@dataclass(frozen=True)
class Span:
    """A number between two ends, both included."""

    low: float
    high: float
    is_log: bool = False
    is_whole: bool = False

    @property
    def ends(self) -> tuple:
        return self.low, self.high

    def holds(self, value) -> bool:
        return _is_number(value) and self.low <= value <= self.high


Space = dict[str, Choices | Span]


def search_space(config: Config) -> Space:
    """The space that the configuration asks for, or one that suits its stage.

    Args:
        config: with the encoders resolved; every name and value is tried out on it.

    Raises:
        ConfigError: for settings that do not exist, that the score does not depend on or that would change what is
            measured, and for values that the configuration refuses.
    """
    asked = config.search.space
    if not asked:
        return _usual_space(config)
    problems, space = [], {}
    for name, entry in asked.items():
        try:
            _check_name(config, name, asked)
            space[name] = _tried_out(config, name, entry)
        except ConfigError as error:
            problems.append(f"search.space.{name}: {error}")
    if problems:
        raise ConfigError("the search cannot begin:\n  " + "\n  ".join(problems))
    return space


def merged(config: Config, settings: dict[str, Any]) -> Config:
    """The configuration with some settings, by their dotted names, as they are given.

    Raises:
        ConfigError: if it refuses them.
    """
    content = config.model_dump(mode="json", by_alias=True)
    for name, value in settings.items():
        *parents, leaf = name.split(".")
        section = content
        for parent in parents:
            if not isinstance(section.get(parent), dict):
                section[parent] = {}
            section = section[parent]
        section[leaf] = value
    told = ", ".join(f"{name}: {value}" for name, value in settings.items())
    return parse_config(content, source=f"the configuration with {told}" if settings else "the configuration")


def value_of(config: Config, name: str) -> Any:
    """A setting's value, by its dotted name; None where a section on the way to it is None."""
    value = config.model_dump(mode="json", by_alias=True)
    for part in name.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def setting_names(config: Config) -> list[str]:
    """The dotted names of all settings and sections."""
    names = list(_names_below(Config, ""))
    for feature in config.encoders:
        names += _names_below(EncoderConfig, f"encoders.{feature}.")
    return names


def _names_below(model: type[StrictModel], prefix: str) -> Iterator[str]:
    for name, field in model.model_fields.items():
        name = prefix + (field.alias or name)
        yield name
        inner = _section_in(field.annotation)
        if inner is not None:
            yield from _names_below(inner, f"{name}.")


def _section_in(annotation) -> type[StrictModel] | None:
    """The section that a field is, or may be; None for plain values, lists and mappings."""
    if isinstance(annotation, type) and issubclass(annotation, StrictModel):
        return annotation
    if get_origin(annotation) in (Union, types.UnionType):
        return next(filter(None, map(_section_in, get_args(annotation))), None)
    return None


def stage_of(name: str) -> str | None:
    """Whether a setting belongs to `retrieval` or to `ranking`; None for what has no part in training, or says what is
    measured, so that trials with it could not be compared."""
    if _is_below(name, _RANKING):
        return "ranking"
    return "retrieval" if _is_below(name, _RETRIEVAL) or name.startswith("train.") else None


def _check_name(config: Config, name: str, names) -> None:
    known, stage, wanted = setting_names(config), stage_of(name), config.search.stage
    if name not in known:
        near = suggestion(name, filter(stage_of, known)) or suggestion(name, known)
        raise ConfigError(f"there is no such setting.{near}")
    if stage is None:
        raise ConfigError(
            "it has no part in training, or would change what is measured. Allowed: settings below "
            f"{', '.join(sorted({*_RETRIEVAL, *_RANKING, 'train'} - {'train.ranking'}))}."
        )
    if _is_below(name, _PREPARED):
        raise ConfigError(f"{_WHY_PREPARED} Take it out, and search once for each of its values.")
    if wanted not in (stage, "both"):
        raise ConfigError(f"it belongs to {stage}, and search.stage is {wanted}. Set that to {stage} or both.")
    if config.search.method == "hyperband" and name in ("train.epochs", "train.ranking.epochs"):
        raise ConfigError("hyperband gives out the epochs itself, up to those of the configuration. Take it out.")
    for other in names:
        if other != name and _is_below(name, (other,)):
            raise ConfigError(f"it is a part of {other}, which the space names too. Keep one of the two.")


_WHY_PREPARED = (
    "it decides which columns of the interactions are loaded and what the models are told of a request, which is "
    "prepared once for all trials."
)


def _is_below(name: str, sections) -> bool:
    return any(name == section or name.startswith(f"{section}.") for section in sections)


def _tried_out(config: Config, name: str, entry: list | RangeConfig) -> Choices | Span:
    """The entry with its values as the configuration reads them: YAML's 5e-4 is a string, and 64.0 may be a width."""
    if isinstance(entry, list):
        accepted = [_accepting(config, name, value) for value in entry]
        # A section as a whole may hold them too.
        for part in _PREPARED if _is_below(_PREPARED[0], (name,)) else ():
            if any(value_of(one, part) != value_of(config, part) for one in accepted):
                raise ConfigError(
                    f"it would change {part}, and {_WHY_PREPARED} Leave that as configured, and search once for each "
                    "of its values."
                )
        return Choices(tuple(value_of(one, name) for one in accepted))
    low, high = (value_of(_accepting(config, name, end), name) for end in (entry.low, entry.high))
    if not (_is_number(low) and _is_number(high)):
        raise ConfigError(f"a range is for numbers, and this setting is {value_of(config, name)!r}. List its values.")
    is_whole = isinstance(low, int) and isinstance(high, int)
    return Span(low, high, entry.scale == "log", is_whole)


def _accepting(config: Config, name: str, value) -> Config:
    """The configuration with a value, and if need be with one value of another setting that makes it possible."""
    try:
        accepted = merged(config, {name: value})
        check_parts(accepted)
        return accepted
    except ConfigError as error:
        refusal = str(error).split("\n", 1)[-1].strip()
    for other, entry in config.search.space.items():
        for companion in entry if isinstance(entry, list) and other != name else ():
            try:
                return merged(config, {other: companion, name: value})
            except ConfigError:
                continue
    raise ConfigError(f"the configuration refuses {value!r}: {refusal}")


def _usual_space(config: Config) -> Space:
    """A few settings that matter on most data, with the configuration's own values among those that are tried."""
    retrieval = {
        "train.learning_rate": Span(0.0005, 0.01, is_log=True),
        "models.retrieval.dim": Choices((32, 64, 128)),
        "models.retrieval.temperature": Span(0.03, 0.2, is_log=True),
        "models.retrieval.id_dropout": Span(0.0, 0.6),
        "models.retrieval.dropout": Span(0.0, 0.4),
    }
    ranking = {
        "train.ranking.learning_rate": Span(0.0005, 0.02, is_log=True),
        "models.ranking.dim": Choices((16, 32, 64)),
        "models.ranking.dropout": Span(0.0, 0.5),
    }
    if config.models.ranking.target == "click":
        ranking["models.ranking.negatives"] = Choices((2, 4, 8))
    stage = config.search.stage
    space = {**(retrieval if stage != "ranking" else {}), **(ranking if stage != "retrieval" else {})}
    return {name: _with(domain, value_of(config, name)) for name, domain in space.items()}


def _with(domain: Choices | Span, value) -> Choices | Span:
    if isinstance(domain, Choices):
        return Choices(tuple(sorted({*domain.values, value})))
    # A logarithmic range cannot reach down to 0, where a setting may well begin.
    low = domain.low if domain.is_log and value <= 0 else min(domain.low, value)
    return Span(low, max(domain.high, value), domain.is_log, domain.is_whole)


def _is_number(value) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)

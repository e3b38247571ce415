"""Best values that lie at the end of what was tried, where the next better one may lie outside."""

from dataclasses import dataclass
from typing import Any

from mmrec_tf.config import Config
from mmrec_tf.errors import ConfigError
from mmrec_tf.search.space import Choices, Space, Span, merged

_MARGIN = 0.05
"""Share of a range, at either end, that counts as its end."""


@dataclass(frozen=True)
class AtEdge:
    """A setting whose best value is at the end of its range, or outside of it.

    Attributes:
        setting: str.
        value: the best value.
        end: the end that it lies at.
        direction: `beyond` the upper or `below` the lower end.
    """

    setting: str
    value: Any
    end: float
    direction: str

    def __str__(self) -> str:
        return (
            f"{self.setting} is best at {self.value}, the end of what was tried: "
            f"widen {self.setting} {self.direction} {self.end}"
        )


def settings_at_edge(config: Config, space: Space, settings: dict[str, Any]) -> list[AtEdge]:
    """The settings whose best value is at an end that the configuration lets be moved.

    Args:
        config: the configuration with the best settings.
        space: what was tried.
        settings: setting -> its best value.
    """
    found = []
    for name, domain in space.items():
        value = settings[name]
        # Of settings that are no numbers, or of which one of the values is none, there is no end.
        if domain.ends is None or isinstance(value, bool) or not isinstance(value, (int, float)):
            continue
        low, high = domain.ends
        at_low, at_high = _is_at_end(domain, value)
        if at_high and _goes_on(config, name, domain, high, up=True):
            found.append(AtEdge(name, value, high, "beyond"))
        elif at_low and _goes_on(config, name, domain, low, up=False):
            found.append(AtEdge(name, value, low, "below"))
    return found


def _is_at_end(domain: Choices | Span, value) -> tuple[bool, bool]:
    low, high = domain.ends
    if isinstance(domain, Choices):
        return value <= low, value >= high
    if domain.is_log:
        margin = (high / low) ** _MARGIN
        return value <= low * margin, value >= high / margin
    margin = _MARGIN * (high - low)
    return value <= low + margin, value >= high - margin


def _goes_on(config: Config, name: str, domain: Choices | Span, end, up: bool) -> bool:
    """Whether the configuration takes a value a little further out: a dropout of 0 or an average of 1 is the last."""
    low, high = domain.ends
    step = max((high - low) / 4, 1) if isinstance(end, int) else (high - low) / 4
    further = end + step if up else end - step
    if not up and low > 0 and further <= 0:
        further = end / 2
    try:
        merged(config, {name: round(further) if isinstance(end, int) else further})
    except ConfigError:
        return False
    return True

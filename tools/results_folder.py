"""A folder of results, which holds what belongs together in one table."""

from __future__ import annotations

import json
from pathlib import Path

import yaml


def made_rows(folder: Path) -> set[str]:
    """Names of the rows that an earlier call has left something of."""
    return {path.name.split(".")[0] for ending in ("seed*", "settings") for path in folder.glob(f"*.{ending}.json")}


def claim(out: Path, asked: dict, made: set[str], again: list[str]) -> str:
    """What keeps these results from standing beside those in the folder; empty where nothing does.

    Args:
        out: the folder.
        asked: what all rows of a table must have in common.
        made: rows that the folder has something of.
        again: rows that are made anew; when these are all, what was asked for before does not matter.
    """
    path = out / "benchmark.json"
    if path.is_file() and not made <= set(again):
        found = json.loads(path.read_text(encoding="utf-8"))
        differs = ["another split"] if found["split"] != asked["split"] else []
        if found["config"] != asked["config"]:
            differs.append(f"another configuration ({changed_settings(found['config'], asked['config'])})")
        if found["minutes"] != asked["minutes"]:
            differs.append(f"{found['minutes']:g} minutes")
        if differs:
            return (
                f"{out} holds results of {' and of '.join(differs)}. Give another --out, or make all of its rows anew: "
                f"--again {','.join(sorted(made))}"
            )
    path.write_text(json.dumps(asked, indent=2) + "\n", encoding="utf-8")
    return ""


def changed_settings(found: str, asked: str) -> str:
    """The first settings that are not the same in two configurations as YAML, as they were and as they are."""
    found, asked = (dict(_settings(yaml.safe_load(text))) for text in (found, asked))
    names = [name for name in {**found, **asked} if found.get(name) != asked.get(name)]
    said = [f"{name} {found.get(name)}, now {asked.get(name)}" for name in names[:3]]
    return "; ".join([*said, *([f"{len(names) - 3} more"] if len(names) > 3 else [])])


def _settings(section, prefix=""):
    for name, value in section.items():
        if isinstance(value, dict) and value:
            yield from _settings(value, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", value

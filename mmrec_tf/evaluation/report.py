"""One self-contained HTML page about a run: for people who decide whether to trust it.

Everything is in the file, pictures and plots as data URIs, so it can be mailed, archived, and opened without a network.
"""

from __future__ import annotations

import base64
import io
import zlib
from collections.abc import Mapping, Sequence
from pathlib import Path

from mmrec_tf.data.image_files import ImageTooLargeError, open_image
from mmrec_tf.data.whole_files import write_whole
from mmrec_tf.evaluation.comparison import Comparison, metric_title
from mmrec_tf.evaluation.plots import metric_bars, reliability_plot, training_curves
from mmrec_tf.evaluation.ranking_metrics import GROUPS, METRICS

_PICTURE_SIDE = 144
"""Pixels of a picture's longer side: 88 on the page, so that it stays sharp on a dense screen."""

_GROUP_NOTES = {
    "cold_items": "What counts as found is restricted to items that nobody touched in training; the whole catalogue "
    "competes with them. Coverage is the share of the new items that were shown. Chance is a list drawn at random from "
    "what the user has not seen.",
    "new_users": "These users are known by what they did after training ended, and by their profile.",
}


def write_report(
    path: Path,
    *,
    title: str,
    facts: Mapping[str, object],
    metrics: Mapping[str, object],
    validation: Mapping[str, object],
    history: Mapping[str, Mapping[str, Sequence[float]]],
    examples: Sequence[Mapping[str, object]],
) -> None:
    """Writes the page; an interrupted call leaves no half page.

    Args:
        path: where to.
        title: the run's name.
        facts: what the data and the run are: name -> number, text, or a dict of such.
        metrics: `comparison` (see `Comparison.to_dict`) and optionally `ranker`, a dict of the ranker's own metrics,
            `reliability`, its curves (see `reliability_plot`), and `targets`, the metrics of each further target.
        validation: what validation found and did, as `ValidationReport.to_dict` gives it.
        history: model -> metric -> one value an epoch.
        examples: one dict a user: `user`, and `history` and `recommendations`, lists of dicts with `item_id`, `title`,
            `category`, `picture` (path, bytes, or None or "" without one), and optionally `score` and `is_new`.
    """
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    comparison = metrics["comparison"]
    ranker = {name: value for name, value in metrics.get("ranker", {}).items() if value is not None}
    environment = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"shown": _shown, "titled": metric_title}
    pictures = _Pictures()
    page = environment.get_template("report.html.j2").render(
        title=title,
        headline=_headline(comparison),
        cards=_cards(comparison, ranker),
        facts={name: value for name, value in facts.items() if not isinstance(value, Mapping)},
        fact_groups={name: value for name, value in facts.items() if isinstance(value, Mapping) and value},
        validation=validation,
        groups=_groups(comparison),
        ranker=ranker,
        targets=metrics.get("targets", {}),
        reliability=_reliability(metrics.get("reliability")),
        curves=[(name, _data_uri(training_curves(lines))) for name, lines in history.items() if any(lines.values())],
        examples=[
            {
                "user": example["user"],
                "history": [pictures.tile(item) for item in example["history"]],
                "recommendations": [pictures.tile(item) for item in example["recommendations"]],
            }
            for example in examples
        ],
    )
    write_whole(Path(path), lambda file: file.write(page.encode()))


def _ours(comparison):
    """The last model that is no baseline: the whole chain, which is what users are shown."""
    return next((name for name in reversed(comparison["groups"]["all"]) if name not in comparison["baselines"]), None)


def _headline(comparison):
    """The result in one sentence, whether it flatters the model or not."""
    ours, metric = _ours(comparison), f"ndcg@{comparison['ks'][0]}"
    rows = comparison["groups"]["all"]
    if ours is None or not comparison["baselines"]:
        return f"{rows[next(iter(rows))]['users']:,} users, the whole catalogue ranked for each of them."
    best = max(comparison["baselines"], key=lambda name: rows[name][metric])
    ahead, behind = rows[ours][metric], rows[best][metric]
    if ahead == behind:
        how = "level with"
    elif behind <= 0:
        how = "ahead of"
    elif ahead > behind:
        how = f"{ahead / behind - 1:.1%} ahead of"
    else:
        how = f"{1 - ahead / behind:.1%} behind"
    users = rows[ours]["users"]
    name = _name(ours)
    return (
        f"{name[0].upper()}{name[1:]} is {how} {_name(best)}, the best baseline, in {metric_title(metric)} "
        f"over {users:,} test {'user' if users == 1 else 'users'}, the whole catalogue ranked for each."
    )


def _cards(comparison, ranker):
    """The figures at the top: value, what it is, what it compares with."""
    ours, k = _ours(comparison), comparison["ks"][0]
    if ours is None:
        return []
    rows, cold = comparison["groups"]["all"], comparison["groups"]["cold_items"][ours]
    cards = []
    for metric in (f"recall@{k}", f"ndcg@{k}"):
        known = {name: rows[name][metric] for name in comparison["baselines"]}
        notes = [f"{_name(name)} {value:.4f}" for name, value in known.items()]
        cards.append({"value": f"{rows[ours][metric]:.4f}", "label": metric_title(metric), "note": ", ".join(notes)})
    if cold["users"]:
        cards.append(
            {
                "value": f"{cold[f'recall_over_chance@{k}']:.1f}x",
                "label": "chance, for new items",
                "note": f"Recall@{k} {cold[f'recall@{k}']:.4f} for {cold['users']:,} users who wanted one",
            }
        )
    covered = rows[ours][f"coverage@{k}"]
    cards.append({"value": f"{covered:.1%}", "label": f"Coverage@{k}", "note": "of the catalogue shown to someone"})
    if "auc" in ranker:
        note = f"within one user {ranker['per_user_auc']:.4f}" if "per_user_auc" in ranker else "exact, ties count half"
        cards.append({"value": f"{ranker['auc']:.4f}", "label": "Ranker's AUC", "note": note})
    return cards


def _groups(comparison):
    """Tables and bars of every group that has users."""
    ks, baselines = comparison["ks"], comparison["baselines"]
    table = Comparison(ks, comparison["groups"])
    groups = []
    for group, rows in comparison["groups"].items():
        users = max(row["users"] for row in rows.values())
        if not users:
            continue
        plotted = [f"{name}@{ks[0]}" for name in ("recall", "ndcg", "coverage")]
        chance = None
        if group == "cold_items":
            plotted = plotted[:2]
            chance = {plotted[0]: next(iter(rows.values()))[f"chance_recall@{ks[0]}"]}
        groups.append(
            {
                "title": GROUPS.get(group, group),
                "note": _GROUP_NOTES.get(group, ""),
                "users": users,
                "bars": _data_uri(metric_bars(rows, plotted, baselines, chance)) if group in _PLOTTED else None,
                "tables": [(k, *_table(table, group, k, baselines)) for k in ks],
            }
        )
    return groups


_PLOTTED = ("all", "cold_items")


def _table(comparison, group, k, baselines):
    """Header, and rows of (model, is it ours, cells of (text, is it the column's best))."""
    keys = [f"{name}@{k}" for name in METRICS] + ([f"recall_over_chance@{k}"] if group == "cold_items" else [])
    header, rows = comparison.to_rows(group, keys)
    values = comparison.groups[group]
    best = {key: max((row[key] for row in values.values() if row[key] is not None), default=None) for key in keys}
    shown = []
    for name, *cells in rows:
        marks = [values[name][key] is not None and values[name][key] == best[key] > 0 for key in keys]
        shown.append((_name(name), name not in baselines, list(zip(cells, marks))))
    return header, shown


class _Pictures:
    """Items as the page shows them; a picture that several lists share is decoded once."""

    def __init__(self):
        self._uris: dict[object, str | None] = {}

    def tile(self, item):
        source = item.get("picture") or None
        if source not in self._uris:
            self._uris[source] = None if source is None else _thumbnail(source)
        name = str(item.get("title") or item["item_id"])
        return {
            "title": name,
            "category": item.get("category") or "",
            "score": item.get("score"),
            "is_new": bool(item.get("is_new")),
            "picture": self._uris[source],
            "letter": name[:1].upper(),
            # A colour for each category, the same on every page.
            "hue": zlib.crc32(str(item.get("category") or name).encode()) % 360,
        }


def _thumbnail(source: str | Path | bytes) -> str | None:
    """The picture as a small JPEG in a data URI, or None where it cannot be decoded (validation has said so)."""
    from PIL import Image, ImageOps

    try:
        with open_image(source if isinstance(source, bytes) else Path(source), 2 * _PICTURE_SIDE) as image:
            image = ImageOps.exif_transpose(image).convert("RGBA")
    except (OSError, ValueError, SyntaxError, ImageTooLargeError):
        return None
    image.thumbnail((_PICTURE_SIDE, _PICTURE_SIDE))
    flat = Image.new("RGB", image.size, "white")
    flat.paste(image, mask=image.getchannel("A"))
    written = io.BytesIO()
    flat.save(written, "JPEG", quality=82)
    return f"data:image/jpeg;base64,{base64.b64encode(written.getvalue()).decode()}"


def _reliability(curves):
    return _data_uri(reliability_plot(curves)) if curves and any(curves.values()) else None


def _data_uri(svg: str) -> str:
    return f"data:image/svg+xml;base64,{base64.b64encode(svg.encode()).decode()}"


def _name(model: str) -> str:
    return model.replace("_", " ")


def _shown(value) -> str:
    """A fact as text: thousands separated, floats short."""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}" if isinstance(value, float) else str(value)

"""Plots for the report, as SVG strings that follow the page into dark mode.

Colours are blue and grey, told apart by lightness as well, so that colour-blind readers and grey printers lose nothing.
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from mmrec_tf.evaluation.comparison import metric_title

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

_LIGHT = {"ink": "#1c2733", "quiet": "#5c6b7a", "grid": "#dde3ea", "ours": "#0067a5", "other": "#a3afbc"}
_DARK = {"ink": "#e8edf2", "quiet": "#9fb0c0", "grid": "#33414f", "ours": "#5cb3ec", "other": "#66788a"}
_STYLE = {
    "svg.fonttype": "none",
    "svg.hashsalt": "mmrec_tf",
    "font.family": "DejaVu Sans",
    "font.size": 11.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": _LIGHT["grid"],
    "axes.labelcolor": _LIGHT["quiet"],
    "axes.titlesize": 11.0,
    "axes.titleweight": "bold",
    "axes.titlelocation": "left",
    "axes.titlecolor": _LIGHT["ink"],
    "axes.titlepad": 9.0,
    "xtick.color": _LIGHT["quiet"],
    "ytick.color": _LIGHT["ink"],
    "text.color": _LIGHT["ink"],
}


def metric_bars(
    rows: Mapping[str, Mapping[str, float | None]],
    metrics: Sequence[str],
    baselines: Sequence[str],
    chance: Mapping[str, float | None] | None = None,
) -> str:
    """Models as horizontal bars, one panel a metric, each bar with its value.

    Args:
        rows: model -> metric -> value, one group of `Comparison.groups`; models are shown from the top.
        metrics: the metrics, by `name@k`.
        baselines: models drawn in grey; the others are blue.
        chance: metric -> what chance reaches, drawn as a dashed line. Defaults to None.

    Returns:
        SVG.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    names = list(rows)
    colours = [_LIGHT["other"] if name in baselines else _LIGHT["ours"] for name in names]
    with rc_context(_STYLE):
        figure = Figure(figsize=(9.0, 0.85 + 0.34 * len(names)), layout="constrained")
        panels = figure.subplots(1, len(metrics), sharey=True, squeeze=False)[0]
        for axes, metric in zip(panels, metrics):
            values = [rows[name].get(metric) or 0.0 for name in names]
            level = (chance or {}).get(metric)
            axes.barh(range(len(names)), values, color=colours, height=0.66)
            top = max([*values, level or 0.0, 1e-9])
            for place, value in enumerate(values):
                # A value that the line of chance would cross stands behind that line.
                end = level if level is not None and value <= level < value + 0.25 * top else value
                axes.text(end + 0.02 * top, place, f"{value:.3f}", va="center", fontsize=10)
            title = metric_title(metric)
            if level is not None:
                axes.axvline(level, color=_LIGHT["ink"], linestyle=(0, (4, 3)), linewidth=1.2)
                title += "   (dashed: chance)"
            axes.set_title(title)
            axes.set_xlim(0.0, 1.28 * top)
            axes.xaxis.set_visible(False)
            axes.spines["bottom"].set_visible(False)
            axes.set_yticks(range(len(names)), [name.replace("_", " ") for name in names])
            axes.tick_params(axis="y", length=0)
        # Shared by all panels, so turned once.
        panels[0].invert_yaxis()
        return _svg(figure)


def training_curves(history: Mapping[str, Sequence[float]]) -> str:
    """One model's history by epoch: losses in one panel, scores in the next.

    Args:
        history: name -> one value an epoch, as `fit` logs them. Names that hold `loss` are losses; of two lines in a
            panel the validation's (`val...`) is dashed.

    Returns:
        SVG.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    losses = {name: values for name, values in history.items() if "loss" in name and len(values)}
    scores = {name: values for name, values in history.items() if "loss" not in name and len(values)}
    with rc_context(_STYLE):
        figure = Figure(figsize=(9.0, 2.7), layout="constrained")
        panels = [(kind, lines) for kind, lines in (("Loss", losses), ("Score", scores)) if lines]
        for axes, (kind, lines) in zip(figure.subplots(1, max(len(panels), 1), squeeze=False)[0], panels):
            _curves(axes, kind, lines)
        return _svg(figure)


def reliability_plot(curves: Mapping[str, Sequence[Sequence[float]]]) -> str:
    """What happened against what was said would: on the dashed line chances come true, below it they promise too much.

    Args:
        curves: `calibrated` and optionally `uncalibrated`: rows of (mean chance, share of positives, pairs), as
            `reliability` makes them.

    Returns:
        SVG.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    styles = {
        "uncalibrated": {"color": _LIGHT["other"], "marker": "s", "label": "as trained"},
        "calibrated": {"color": _LIGHT["ours"], "marker": "o", "label": "as predicted"},
    }
    if "uncalibrated" in curves:
        styles["calibrated"]["label"] = "calibrated"
    with rc_context(_STYLE):
        figure = Figure(figsize=(9.0, 4.2), layout="constrained")
        axes = figure.subplots()
        points = [row[:2] for rows in curves.values() for row in rows]
        end = min(1.0, 1.06 * max((value for point in points for value in point), default=1.0) or 1.0)
        axes.plot([0.0, end], [0.0, end], color=_LIGHT["quiet"], linestyle=(0, (4, 3)), linewidth=1.2)
        for name, style in styles.items():
            if curves.get(name):
                said, happened, _ = zip(*curves[name])
                axes.plot(said, happened, markersize=5, linewidth=1.8, **style)
        axes.set_xlim(0.0, end)
        axes.set_ylim(0.0, end)
        axes.set_xlabel("predicted chance, mean of a bin")
        axes.set_ylabel("share that was taken")
        axes.set_title("What was said against what happened   (dashed: chances come true)")
        axes.legend(frameon=False, fontsize=10, loc="upper left")
        axes.grid(color=_LIGHT["grid"], linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(length=0, labelcolor=_LIGHT["quiet"])
        return _svg(figure)


def importance_bars(rows: Sequence[tuple[str, float, float]], title: str) -> str:
    """Features as horizontal bars, each with its standard deviation as a line.

    Args:
        rows: (name, value, standard deviation), shown from the top.
        title: str. What the values are.

    Returns:
        SVG.
    """
    from matplotlib import rc_context
    from matplotlib.figure import Figure

    names, values, deviations = zip(*rows)
    with rc_context(_STYLE):
        figure = Figure(figsize=(9.0, 0.85 + 0.34 * len(names)), layout="constrained")
        axes = figure.subplots()
        line = {"ecolor": _LIGHT["ink"], "elinewidth": 1.2}
        axes.barh(range(len(names)), values, xerr=deviations, color=_LIGHT["ours"], error_kw=line, height=0.66)
        axes.axvline(0.0, color=_LIGHT["quiet"], linewidth=1.0)
        axes.set_title(title)
        axes.set_yticks(range(len(names)), names)
        axes.invert_yaxis()
        axes.grid(axis="x", color=_LIGHT["grid"], linewidth=0.8)
        axes.set_axisbelow(True)
        axes.tick_params(length=0)
        axes.tick_params(axis="x", labelcolor=_LIGHT["quiet"])
        return _svg(figure)


def _curves(axes: Axes, kind: str, lines: Mapping[str, Sequence[float]]) -> None:
    from matplotlib.ticker import MaxNLocator

    shades = (_LIGHT["ours"], _LIGHT["quiet"], _LIGHT["other"], _LIGHT["ink"])
    for number, (name, values) in enumerate(lines.items()):
        axes.plot(
            range(1, len(values) + 1),
            values,
            color=shades[number % len(shades)],
            linestyle=(0, (4, 2)) if name.startswith("val_") else "-",
            marker="o" if len(values) < 40 else None,
            markersize=3.5,
            linewidth=1.8,
            label=metric_title(name),
        )
    only = next(iter(lines)) if len(lines) == 1 else None
    axes.set_title(metric_title(only) if only else kind)
    if only is None:
        axes.legend(frameon=False, fontsize=10)
    axes.set_xlabel("epoch")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, nbins=8))
    axes.grid(axis="y", color=_LIGHT["grid"], linewidth=0.8)
    axes.set_axisbelow(True)
    axes.tick_params(length=0)
    axes.tick_params(axis="y", labelcolor=_LIGHT["quiet"])


def _svg(figure: Figure) -> str:
    written = io.StringIO()
    # No date or version, so that the same figures give the same report.
    figure.savefig(written, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = written.getvalue()
    svg = svg[svg.index("<svg") :]
    # The page's own font, and colours that a style sheet inside the picture sets by the reader's light or dark mode.
    svg = svg.replace("'DejaVu Sans'", "system-ui, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif")
    for name, colour in _LIGHT.items():
        svg = svg.replace(colour, f"var(--{name})")
    light, dark = ("".join(f"--{name}:{colour};" for name, colour in theme.items()) for theme in (_LIGHT, _DARK))
    style = f"<style>svg{{{light}}}@media (prefers-color-scheme:dark){{svg{{{dark}}}}}</style>"
    return re.sub(r"(<svg[^>]*>)", lambda match: match.group(1) + style, svg, count=1)

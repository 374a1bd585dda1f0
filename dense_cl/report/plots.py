"""Figures from the numbers that runs leave behind, as PNG bytes."""

import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito's palette: told apart with any colour vision.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9")
_WIDTH, _HEIGHT, _DPI = 3.6, 2.5, 140


@dataclass(frozen=True)
class Panel:
    """One diagram of a figure.

    Attributes:
        title: above it.
        curves: name in the legend -> (x, y).
        levels: named horizontal lines, such as the value of chance.
        xlabel: of the horizontal axis, if not that of the whole figure.
        log: axes with a logarithmic scale, '', 'x', 'y' or 'xy'.
        marks: what is written at each point of the only curve, which then gets dots.
    """

    title: str
    curves: Mapping[str, tuple[Sequence[float], Sequence[float]]]
    levels: Mapping[str, float] = field(default_factory=dict)
    xlabel: str = ""
    log: str = ""
    marks: Sequence[str] = ()

    @classmethod
    def of(
        cls,
        title: str,
        records: Sequence[Mapping[str, Any]],
        names: Mapping[str, str],
        levels: Mapping[str, float] | None = None,
    ) -> "Panel":
        """Take curves from ``read_scalars``: ``names`` maps legend entries to scalar names.

        A name that was never logged is left out.
        """
        curves = {}
        for label, name in names.items():
            points = [(r["step"], r[name]) for r in records if name in r and "step" in r]
            if points:
                steps, values = zip(*points, strict=True)
                curves[label] = (steps, values)
        return cls(title, curves, levels or {})


def read_scalars(file: str | Path) -> list[dict[str, Any]]:
    """Return the records of a ``vis_data/scalars.json`` (one JSON object a line).

    A last line that a killed run left incomplete is dropped.
    """
    records = []
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        try:
            records.append(json.loads(line))
        except json.JSONDecodeError:
            continue
    return records


def curves(panels: Sequence[Panel], xlabel: str = "iteration") -> bytes:
    """Draw panels side by side, two to a row."""
    columns = min(2, len(panels))
    rows = -(-len(panels) // columns)
    figure = _new_figure(columns * _WIDTH, rows * _HEIGHT)
    for number, panel in enumerate(panels, start=1):
        axes = figure.add_subplot(rows, columns, number)
        for (label, (x, y)), colour in zip(panel.curves.items(), _cycle(panel), strict=True):
            axes.plot(
                x, y, "o-" if panel.marks else "-", color=colour, linewidth=1.6, label=label,
                markersize=4,
            )  # fmt: skip
            for mark, across, up in zip(panel.marks, x, y, strict=False):
                axes.annotate(
                    mark, (across, up), xytext=(4, 4), textcoords="offset points", fontsize=7
                )
        for label, level in panel.levels.items():
            axes.axhline(level, color="#888888", linewidth=1, linestyle="--", label=label)
        axes.set_title(panel.title, fontsize=9, loc="left")
        axes.set_xlabel(panel.xlabel or xlabel, fontsize=8)
        axes.set_xscale("log" if "x" in panel.log else "linear")
        axes.set_yscale("log" if "y" in panel.log else "linear")
        _finish(axes, legend=len(panel.curves) + len(panel.levels) > 1)
    return _png(figure)


def bars(
    groups: Sequence[str], series: Mapping[str, Sequence[float]], ylabel: str, form: str = "{:.1f}"
) -> bytes:
    """Draw grouped bars with their values on top.

    Args:
        groups: names along the horizontal axis.
        series: legend entry -> one value per group.
        ylabel: what is measured, with its unit.
        form: how values are written.
    """
    figure = _new_figure(max(_WIDTH, 0.9 * len(groups) * len(series)), _HEIGHT)
    axes = figure.add_subplot()
    width = 0.8 / len(series)
    for number, (label, values) in enumerate(series.items()):
        centres = np.arange(len(groups)) + (number - (len(series) - 1) / 2) * width
        drawn = axes.bar(centres, values, width * 0.92, color=COLOURS[number], label=label)
        axes.bar_label(drawn, [form.format(value) for value in values], fontsize=7, padding=1)
    axes.set_xticks(np.arange(len(groups)), groups)
    axes.set_ylabel(ylabel, fontsize=8)
    highest = max(value for values in series.values() for value in values)
    axes.set_ylim(0, 1.25 * highest or 1)
    _finish(axes, legend=len(series) > 1)
    return _png(figure)


@dataclass(frozen=True)
class Interval:
    """A value and where it may lie, for ``intervals``.

    Attributes:
        name: beside it.
        value: a large dot.
        limits: ends of the line; none is drawn if they are infinite.
        points: small dots, such as single runs.
    """

    name: str
    value: float
    limits: tuple[float, float]
    points: Sequence[float] = ()


def intervals(rows: Sequence[Interval], xlabel: str, zero: bool = False) -> bytes:
    """Draw values with their intervals below one another.

    Args:
        rows: from top to bottom.
        xlabel: what is measured, with its unit.
        zero: mark 0, for differences.
    """
    figure = _new_figure(1.6 * _WIDTH, 0.6 + 0.32 * len(rows))
    axes = figure.add_subplot()
    for place, row in enumerate(rows):
        colour = COLOURS[place % len(COLOURS)]
        if np.isfinite(row.limits).all():
            axes.plot(row.limits, (place, place), color=colour, linewidth=1.6)
        axes.plot(row.value, place, "o", color=colour, markersize=5.5)
        axes.plot(row.points, [place] * len(row.points), ".", color="#333333", markersize=3.5)
    if zero:
        axes.axvline(0, color="#888888", linewidth=1, linestyle="--")
    axes.set_yticks(range(len(rows)), [_literal(row.name) for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(_literal(xlabel), fontsize=8)
    _finish(axes, legend=False)
    return _png(figure)


def _literal(text: str) -> str:
    """Return text of a user's such that no part of it is taken for a formula."""
    return text.replace("$", r"\$")


def _cycle(panel: Panel) -> list[str]:
    return [COLOURS[number % len(COLOURS)] for number in range(len(panel.curves))]


def _new_figure(width: float, height: float) -> Figure:
    # Not pyplot: it would keep figures alive and pick a display.
    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _finish(axes: Any, legend: bool) -> None:
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(axis="y", color="#e6e6e6", linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=7.5)
    if legend:
        axes.legend(fontsize=7, frameon=False)


def _png(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png")
    return buffer.getvalue()

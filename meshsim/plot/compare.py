"""The picture of a comparison: what differs and how surely, who waits how long, goodput over time."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from meshsim.plot import forest, marks, style
from meshsim.scenario.model import Scenario
from meshsim.units import duration_text

Values = NDArray[np.float64]
Curve = tuple[Values, Values]
ROW = 0.23
"""Height of a row of the forest, inches."""


class Comparable(Protocol):
    """What a picture is made from; `meshsim.lab.compare.Comparison` is one."""

    @property
    def a(self) -> Scenario:
        """What A is."""

    @property
    def b(self) -> Scenario:
        """What B is."""

    @property
    def summary(self) -> dict[str, Any]:
        """The numbers."""

    def tails(self) -> list[Curve]:
        """Of A and of B: times, s, and the share of requests without success by then."""

    def goodput(self) -> list[Curve]:
        """Of A and of B: times, s, and successes per second."""


def compare_figure(comparison: Comparable) -> style.Picture:
    """A forest of differences with their intervals; below it the tails of both, and goodput over time.

    Args:
        comparison: a finished one.

    Returns:
        A figure that belongs to no window; notebooks show it, ``savefig`` writes it.
    """
    rows = forest.rows(comparison.summary)
    height = ROW * max(len(rows), 3)
    figure = style.Picture(figsize=(10.0, height + 5.0), dpi=style.DPI)
    inch = 1.0 / figure.get_figheight()
    _heading(figure, comparison)
    _caption(figure, comparison)
    left = 0.03 + style.LETTER * max((len(row.name) for row in rows), default=0)
    top = figure.add_axes((left, 4.0 * inch, 0.7 - left, height * inch))
    forest.draw(top, rows)
    tail = figure.add_axes((0.075, 1.0 * inch, 0.36, 2.3 * inch))
    _tails(tail, comparison)
    goodput = figure.add_axes((0.54, 1.0 * inch, 0.36, 2.3 * inch))
    _goodput(goodput, comparison)
    figure.alt = alt_text(comparison)
    return figure


def alt_text(comparison: Comparable) -> str:
    """The picture in one sentence, for those who can't see it."""
    summary = comparison.summary
    words = [
        f"{row.name} {row.change}" for row in forest.rows(summary) if row.found["told"] and row.of_client
    ]
    said = "; ".join(words) if words else "no difference in the client's numbers is significant"
    return (
        f"B, {summary['b']['label']}, against A, {summary['a']['label']}, over"
        f" {summary['replications']} pairs of runs, as shares of A: {said}."
    )


# ---- text around ------------------------------------------------------------------------------------


def _heading(figure: style.Picture, comparison: Comparable) -> None:
    inch, summary = 1.0 / figure.get_figheight(), comparison.summary
    lines = [f"A  {summary['a']['label']}", f"B  {summary['b']['label']}"]
    lines = [textwrap.shorten(line, 105, placeholder=" …") for line in lines]
    figure.text(
        0.02, 1.0 - 0.15 * inch, "\n".join(lines), fontsize=13, weight="bold", va="top", color=style.INK
    )


def _caption(figure: style.Picture, comparison: Comparable) -> None:
    inch, summary = 1.0 / figure.get_figheight(), comparison.summary
    seeds = summary["seeds"]
    source = (
        f"meshsim {summary['version']} · engine {summary['engine']} · {len(seeds)} pairs of runs,"
        f" seeds {seeds[0]} to {seeds[-1]}, common random numbers · 95 % t intervals"
    )
    lines = [source + (" · PARTIAL: interrupted" if summary["partial"] else "")]
    unstable = [name.upper() for name in ("a", "b") if summary[name]["unstable"]]
    if unstable:
        lines.append(f"{' and '.join(unstable)} unstable: averages depend on when the runs were stopped.")
    figure.text(
        0.02, 0.1 * inch, "\n".join(lines), fontsize=style.SIZE, va="bottom", color=style.INK, linespacing=1.3
    )


# ---- the curves -------------------------------------------------------------------------------------


def _tails(axes: Axes, comparison: Comparable) -> None:
    """The share of requests that have not succeeded, by time; failures wait for ever."""
    style.tidy(axes, "share of requests that have not succeeded after …")
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    curves = [_interesting(*curve) for curve in comparison.tails() if len(curve[0])]
    if len(curves) < 2:
        axes.text(0.5, 0.5, "no records are kept", ha="center", transform=axes.transAxes, color=style.INK)
        return
    left = min(float(times[0]) for times, _ in curves)
    right = 1.1 * max(float(times[-1]) for times, _ in curves)
    lowest = min(float(shares[-1]) for _, shares in curves)
    for look, (times, shares) in zip(style.LINES, curves, strict=False):
        axes.plot([*times, right], [*shares, shares[-1]], linewidth=1.5, **look)
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlim(left, right)
    axes.set_ylim(lowest / 1.5, 1.3)
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if lowest < 0.02 else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if right > 60 * left else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: duration_text(value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    ends = [(right, float(shares[-1])) for _, shares in curves]
    _name(axes, ends)


def _name(axes: Axes, ends: Sequence[tuple[float, float]]) -> None:
    """Writes A and B at the ends of their lines."""
    looks = zip("AB", style.LINES, ends, strict=False)
    style.name_lines(axes, [style.LineEnd(name, *end, look["color"]) for name, look, end in looks])


def _interesting(times: Values, shares: Values) -> Curve:
    """From where the first requests are answered to where the last one is that ever will be."""
    first = int(np.argmax(shares < 0.98)) if (shares < 0.98).any() else 0
    changes = np.flatnonzero(np.diff(shares) < 0.0)
    last = int(changes[-1]) + 2 if len(changes) else len(shares)
    if shares[last - 1] <= 0.0:  # nothing is left to draw on a logarithmic axis
        last = int(np.flatnonzero(shares > 0.0)[-1]) + 1
    shown = slice(min(first, last - 1), last)
    return times[shown], shares[shown]


def _goodput(axes: Axes, comparison: Comparable) -> None:
    style.tidy(axes, "goodput over time, requests/s, mean of the runs")
    end = max(comparison.a.duration, comparison.b.duration)
    ends, highest = [], 1e-9
    for look, (times, values) in zip(style.LINES, comparison.goodput(), strict=False):
        axes.plot(times, values, linewidth=1.5, **look)
        ends.append((float(times[-1]), float(values[-1])))
        highest = max(highest, float(values.max()))
    axes.set_xlim(0.0, end)
    axes.set_ylim(0.0, 1.1 * highest)
    axes.set_xlabel("time, s", fontsize=style.SIZE, color=style.INK)
    if comparison.a.events == comparison.b.events:
        marks.name_above(axes, marks.mark_events([axes], comparison.a.events, end))
    _name(axes, ends)

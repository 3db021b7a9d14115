"""The picture of a comparison: what differs and how surely, who waits how long, goodput over time."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence

import numpy as np
from matplotlib.axes import Axes

from meshsim.measure.comparison import ComparisonNumbers
from meshsim.measure.grid import Floats
from meshsim.plot import forest, marks, style
from meshsim.scenario.model import Scenario

Curve = tuple[Floats, Floats]
ROW = 0.23
"""Height of a row of the forest, inches."""
MARGIN = 0.02
"""Where text begins, as a share of the width."""


def compare_figure(
    numbers: ComparisonNumbers, a: Scenario, b: Scenario, waiting: Sequence[Curve], goodput: Sequence[Curve]
) -> style.Picture:
    """A forest of differences with their intervals; below it the tails of both, and goodput over time.

    `waiting` has, of A and of B, times, s, and the share of requests without success by then; `goodput` times
    and successes per second.
    """
    rows = forest.rows(numbers)
    height = ROW * max(len(rows), 3)
    figure = style.Picture(height + 5.0)
    inch = figure.inch
    names = [f"A  {numbers.a.label}", f"B  {numbers.b.label}"]
    title = "\n".join(textwrap.shorten(name, 105, placeholder=" …") for name in names)
    figure.text(MARGIN, 1.0 - 0.15 * inch, title, fontsize=13, weight="bold", va="top", color=style.INK)
    style.caption(figure, _source(numbers), MARGIN)
    left = 0.03 + style.LETTER * max((len(row.name) for row in rows), default=0)
    forest.draw(figure.add_axes((left, 4.0 * inch, 0.7 - left, height * inch)), rows)
    _tails(figure.add_axes((0.075, 1.0 * inch, 0.36, 2.3 * inch)), waiting)
    _goodput(figure.add_axes((0.54, 1.0 * inch, 0.36, 2.3 * inch)), a, b, goodput)
    figure.alt = alt_text(numbers, rows)
    return figure


def alt_text(numbers: ComparisonNumbers, rows: Sequence[forest.Row]) -> str:
    """The picture in one sentence."""
    words = [f"{row.name} {row.change}" for row in rows if row.found.told and row.of_client]
    said = "; ".join(words) if words else "no difference in the client's numbers is significant"
    return (
        f"B, {numbers.b.label}, against A, {numbers.a.label}, over {numbers.replications} pairs of runs, as"
        f" shares of A: {said}."
    )


def _source(numbers: ComparisonNumbers) -> list[str]:
    seeds = numbers.seeds
    runs = f"{len(seeds)} pairs of runs, seeds {seeds[0]} to {seeds[-1]}, common random numbers"
    said = (f"engine {numbers.engine}", runs, "95 % t intervals")
    lines = [style.source(numbers.version, *said, partial=numbers.partial)]
    unstable = [name for name, side in (("A", numbers.a), ("B", numbers.b)) if side.unstable]
    if unstable:
        lines.append(f"{' and '.join(unstable)} unstable: averages depend on when the runs were stopped.")
    return lines


def _tails(axes: Axes, waiting: Sequence[Curve]) -> None:
    """The share of requests that have not succeeded, by time; failures wait for ever."""
    style.tidy(axes, "share of requests not yet successful")
    curves = [_interesting(*curve) for curve in waiting if len(curve[0])]
    if len(curves) < 2:
        axes.set(xticks=[], yticks=[])
        style.say(axes, "needs keep: records")
        return
    left = min(float(times[0]) for times, _ in curves)
    right = 1.1 * max(float(times[-1]) for times, _ in curves)
    for look, (times, shares) in zip(style.LINES, curves, strict=False):
        axes.plot([*times, right], [*shares, shares[-1]], linewidth=1.5, **look)
    style.log_latency(axes, left, right)
    style.log_share(axes, min(float(shares[-1]) for _, shares in curves) / 1.5, 1.3)
    axes.set_xlabel("time since the request was sent", **style.TEXT)
    _name(axes, [(right, float(shares[-1])) for _, shares in curves])


def _name(axes: Axes, ends: Sequence[tuple[float, float]]) -> None:
    looks = zip("AB", style.LINES, ends, strict=False)
    style.name_lines(axes, [style.LineEnd(name, *end, look["color"]) for name, look, end in looks])


def _interesting(times: Floats, shares: Floats) -> Curve:
    """From where the first requests are answered to where the last one is that ever will be."""
    first = int(np.argmax(shares < 0.98)) if (shares < 0.98).any() else 0
    changes = np.flatnonzero(np.diff(shares) < 0.0)
    last = int(changes[-1]) + 2 if len(changes) else len(shares)
    if shares[last - 1] <= 0.0:  # nothing is left to draw on a logarithmic axis
        last = int(np.flatnonzero(shares > 0.0)[-1]) + 1
    shown = slice(min(first, last - 1), last)
    return times[shown], shares[shown]


def _goodput(axes: Axes, a: Scenario, b: Scenario, goodput: Sequence[Curve]) -> None:
    style.tidy(axes, "goodput over time, requests/s, mean of the runs")
    end = max(a.duration, b.duration)
    for look, (times, values) in zip(style.LINES, goodput, strict=False):
        axes.plot(times, values, linewidth=1.5, **look)
    axes.set_xlim(0.0, end)
    axes.set_ylim(0.0, 1.1 * max(1e-9, *(float(values.max()) for _, values in goodput)))
    axes.set_xlabel("time, s", **style.TEXT)
    if a.events == b.events:
        marks.name_above(axes, marks.mark_events([axes], a.events, end))
    _name(axes, [(float(times[-1]), float(values[-1])) for times, values in goodput])

"""A forest of differences: one row a metric, its difference as a share of A and its interval."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.axes import Axes

from meshsim.measure.comparison import ComparisonNumbers
from meshsim.measure.differences import Difference
from meshsim.plot import style
from meshsim.units import duration_text, ratio_text, show_rate

CLIENT = {
    "requests.goodput": "goodput",
    "requests.success_ratio": "success",
    "latency.mean": "latency, mean",
    "latency.p50": "latency, p50",
    "latency.p90": "latency, p90",
    "latency.p99": "latency, p99",
    "ok_latency.mean": "of successful requests, mean",
    "ok_latency.p99": "of successful requests, p99",
    "attempts.amplification": "amplification",
}
SERVICE = {"rate": "attempts", "utilisation": "utilisation", "latency.mean": "latency, mean"}
MOST_OF_SERVICES = 14
"""So many rows of services at most: those that change most."""
FAR = 3.0
"""From such a share of A on the axis is logarithmic outside ± 100 %."""
NOT_SIGNIFICANT = "#777777"


class Row(NamedTuple):
    """A metric's name for people, and its difference; A is not 0."""

    name: str
    found: Difference

    @property
    def of_client(self) -> bool:
        """Whether it is about the client's requests as a whole."""
        return self.found.metric in CLIENT

    @property
    def change(self) -> str:
        """The difference and its half width as shares of A: ``-86.36 % ± 0.75 %``."""
        if self.found.identical:
            return "identical"
        change, half = 100.0 * self.share(self.found.difference), 100.0 * self.share(self.found.half_width)
        digits = min(2, max(0, 1 - math.floor(math.log10(half)))) if half > 0.0 else 1
        if abs(change) + half < 0.01:
            return "less than 0.01 %"
        return f"{change:+.{digits}f} % ± {half:.{digits}f} %"

    def share(self, value: float) -> float:
        """One of the difference's numbers as a share of A's mean."""
        return value / abs(self.found.a)

    @property
    def ends(self) -> tuple[float, float]:
        """The interval's ends as shares of A's mean."""
        return self.share(self.found.low), self.share(self.found.high)


def rows(numbers: ComparisonNumbers) -> list[Row]:
    """The client's metrics, and those of the services that change most, as far as A is not 0."""
    found = {path: each for path, each in numbers.by_metric.items() if each.a}
    chosen = [Row(name, found[path]) for path, name in CLIENT.items() if path in found]
    if numbers.metric in found and numbers.metric not in CLIENT:
        chosen.insert(0, Row(numbers.metric, found[numbers.metric]))
    services = []
    for path, each in found.items():
        key = next((key for key in SERVICE if path.endswith(f".{key}")), "")
        if path.startswith("services.") and key and not each.identical:
            name = style.shortened(path[len("services.") : -len(key) - 1])
            services.append(Row(f"{name}: {SERVICE[key]}", each))
    most = sorted(services, key=lambda row: -abs(row.share(row.found.difference)))[:MOST_OF_SERVICES]
    return chosen + [row for row in services if row in most]


def draw(axes: Axes, rows: Sequence[Row]) -> None:
    """Draws the rows, the first on top, and writes their numbers beside the panel."""
    what = "difference B - A as a share of A's mean"
    style.tidy(axes, f"{what}, 95 % intervals; filled: jointly significant (Bonferroni)", grid="x")
    axes.axvline(0.0, color=style.INK, linewidth=0.9)
    for place, row in enumerate(rows):
        _row(axes, place, row)
    axes.set_yticks(range(len(rows)), [row.name for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    _limit(axes, rows)


def _row(axes: Axes, place: int, row: Row) -> None:
    found = row.found
    colour = style.BLUE if found.told else NOT_SIGNIFICANT
    axes.plot(row.ends, [place, place], linewidth=1.6, color=colour)
    face = colour if found.told_jointly else "white"
    middle = [row.share(found.difference)]
    axes.plot(middle, [place], marker="o", markersize=5.5, markerfacecolor=face, color=colour)
    box = axes.get_position()
    for x, side, text in ((0.71, "left", _values(row)), (0.98, "right", row.change)):
        axes.annotate(
            text, ((x - box.x0) / box.width, place), xycoords=("axes fraction", "data"),
            va="center", ha=side, **style.TEXT, annotation_clip=False,
        )  # fmt: skip


def _limit(axes: Axes, rows: Sequence[Row]) -> None:
    ends = [end for row in rows for end in row.ends]
    low, high = min([0.0, *ends]), max([0.0, *ends])
    if max(-low, high) > FAR:
        axes.set_xscale("symlog", linthresh=1.0)
        high *= 1.2
    margin = 0.06 * max(high - low, 1e-6)
    axes.set_xlim(low - margin, high + margin)
    axes.xaxis.set_major_formatter(lambda value, _: f"{100 * value:+.4g} %" if value else "0")


def _values(row: Row) -> str:
    """What A has and B has, as the metric is written."""
    metric = row.found.metric
    last = metric.rpartition(".")[2]

    def show(value: float) -> str:
        if last in ("success_ratio", "utilisation", "success"):
            return ratio_text(value)
        if "latency." in metric or metric.startswith("objectives."):
            return duration_text(value)
        return show_rate(value) if last in ("rate", "goodput") else f"{value:.4g}"

    return f"{show(row.found.a)} → {show(row.found.b)}"

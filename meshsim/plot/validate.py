"""The picture of a validation: three tails, each request's residual, every error by its tolerance."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter
from numpy.typing import NDArray

from meshsim.plot import style
from meshsim.scenario.model import Scenario
from meshsim.units import change_text, duration_text, ratio_text

Values = NDArray[np.float64]
HEAD, LINE = 0.72, 0.19
"""Height of the title with the room below the text, and of each line between, inches."""
ROW = 0.21
"""Height of a row of errors, inches."""
QUANTILES = {"p50": 0.5, "p90": 0.9, "p95": 0.95, "p99": 0.99, "p999": 0.999}
BANDS = 12
"""Of the residuals, with as many requests in each."""
REACH = 2.5
"""Tolerances to each side that the errors' panel shows."""
LONGEST = 36
"""Characters of a metric beside its error."""
LOOKS: tuple[dict[str, Any], ...] = (
    {"color": style.SKY, "linewidth": 6.0, "alpha": 0.55, "solid_capstyle": "butt"},
    {"color": style.VERMILLION, "linewidth": 1.4},
)
"""Of the simulated and the live line: a broad pale one below a thin one, for where they agree."""
MARKS = {"pass": style.GREEN, "fail": style.VERMILLION, "noisy": style.ORANGE}


class Pairs(Protocol):
    """The requests of both runs, one by one; `meshsim.measure.agreement.Agreement` is one."""

    @property
    def simulated(self) -> Values:
        """(n,) latencies, s."""

    @property
    def live(self) -> Values:
        """(n,) latencies, s."""

    @property
    def same_status(self) -> NDArray[np.bool_]:
        """(n,) whether both ended in the same way."""

    @property
    def same_attempts(self) -> NDArray[np.bool_]:
        """(n,) whether both took as many tries."""


class Validated(Protocol):
    """What a picture is made from; `meshsim.lab.validate.Validation` is one."""

    @property
    def scenario(self) -> Scenario:
        """What was validated."""

    @property
    def summary(self) -> dict[str, Any]:
        """The numbers."""

    @property
    def pairs(self) -> Pairs:
        """The requests, one by one."""

    def latencies(self) -> tuple[Values, Values]:
        """Of the simulated and of the live run, in order, s."""


def validate_figure(validation: Validated) -> style.Picture:
    """Tails of theory, simulation and live; residuals of each request; errors by their tolerances.

    Args:
        validation: a finished one.

    Returns:
        A figure that belongs to no window; notebooks show it, ``savefig`` writes it.
    """
    summary = validation.summary
    rows = [row for row in summary["metrics"] if row["allowed"] > 0.0 or row["difference"] != 0.0]
    height = max(ROW * len(rows), 0.6)
    said = _under_the_title(validation)
    head = HEAD + LINE * len(said)
    figure = style.Picture(figsize=(10.0, height + head + 4.5), dpi=style.DPI)
    inch = 1.0 / figure.get_figheight()
    _heading(figure, summary, said)
    _caption(figure, summary)
    upper = 1.0 - (head + 2.75) * inch
    _tails(figure.add_axes((0.075, upper, 0.36, 2.5 * inch)), validation)
    _residuals(figure.add_axes((0.56, upper, 0.41, 2.5 * inch)), validation)
    _errors(figure.add_axes((0.26, 0.75 * inch, 0.52, height * inch)), rows)
    figure.alt = alt_text(validation)
    return figure


def alt_text(validation: Validated) -> str:
    """The picture in one sentence, for those who can't see it."""
    summary = validation.summary
    words = [
        f"{row['metric']} {change_text(row['error'])}"
        for row in summary["metrics"]
        if row["error"] is not None and row["metric"].startswith("latency.")
    ]
    off = [row["metric"] for row in summary["metrics"] if not row["ok"]]
    told = f"outside their tolerance: {', '.join(off)}" if off else "all numbers within their tolerance"
    return (
        f"Live behind {summary['proxy']} against simulated, {summary['scenario'] or 'scenario'}:"
        f" {summary['verdict']}; {'; '.join(words)}; {told}."
    )


# ---- text around ------------------------------------------------------------------------------------


def _under_the_title(validation: Validated) -> list[str]:
    """What the scenario is, how its requests agree, and why it is not a pass, in lines."""
    summary = validation.summary
    pairs = summary["paired"]
    said = "closed load: requests are not paired"
    if pairs["requests"]:
        said = (
            f"{pairs['requests']:,} requests, one by one: same status {ratio_text(pairs['status_equal'])},"
            f" as many tries {ratio_text(pairs['attempts_equal'])}"
        )
    described = textwrap.wrap(validation.scenario.description, 118)[:3]
    return [*described, said, *textwrap.wrap(" ".join(summary["reasons"][:1]), 118)[:2]]


def _heading(figure: style.Picture, summary: dict[str, Any], said: list[str]) -> None:
    inch = 1.0 / figure.get_figheight()
    word = summary["verdict"]
    title = f"{summary['scenario'] or 'scenario'} behind {summary['proxy']}"
    top = 1.0 - 0.15 * inch
    text = figure.text(style.LEFT, top, title, fontsize=14, weight="bold", va="top", color=style.INK)
    end = text.get_window_extent().x1 / figure.bbox.width
    figure.text(
        end + 0.02, top, word.upper(), fontsize=12, weight="bold", va="top", color="white",
        bbox={"boxstyle": "round,pad=0.3", "facecolor": MARKS[word], "edgecolor": "none"},
    )  # fmt: skip
    figure.text(
        style.LEFT,
        1.0 - 0.48 * inch,
        "\n".join(said),
        fontsize=10,
        va="top",
        color=style.INK,
        linespacing=1.3,
    )


def _caption(figure: style.Picture, summary: dict[str, Any]) -> None:
    overhead = [
        duration_text(pick(each["mean"] for each in summary["overhead"].values())) for pick in (min, max)
    ]
    line = (
        f"meshsim {summary['version']} · seed {summary['seed']} · {summary['measured']:g} s measured ·"
        f" overhead of a call, calibrated and added to the model: {' to '.join(dict.fromkeys(overhead))}"
    )
    style.caption(figure, [line])


# ---- panels -----------------------------------------------------------------------------------------


def _tails(axes: Axes, validation: Validated) -> None:
    """The share of answers that take longer, by latency; theory as marks at its percentiles."""
    style.tidy(axes, "share of requests that take longer than …")
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    ends, curves = [], validation.latencies()
    for name, look, values in zip(("simulated", "live"), LOOKS, curves, strict=True):
        if len(values):
            share = 1.0 - np.arange(len(values)) / len(values)
            axes.plot(values, share, drawstyle="steps-post", **look)
            ends.append(style.LineEnd(name, float(values[-1]), float(share[-1]), str(look["color"])))
    known = [values for values in curves if (values > 0.0).any()]
    if not known:
        return
    low = min(float(np.quantile(values[values > 0.0], 0.02)) for values in known)
    high = 1.05 * max(float(values[-1]) for values in known)
    least = 0.7 / max(len(values) for values in known)
    exact, marks = _theory(validation.summary)
    if marks:
        x, y = zip(*marks, strict=True)
        edge, name = (style.BLACK, "theory") if exact else ("#777777", "theory ≈")
        axes.plot(x, y, "D", markersize=5.5, markerfacecolor="white", markeredgecolor=edge, zorder=5)
        ends.append(style.LineEnd(name, x[-1], y[-1], edge))
    axes.set_xscale("log")
    axes.set_yscale("log")
    axes.set_xlabel("latency", fontsize=style.SIZE, color=style.INK)
    axes.set_xlim(low, max([high, *(1.05 * x for x, _ in marks)]))
    axes.set_ylim(min([least, *(0.7 * y for _, y in marks)]), 1.15)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 60 * low else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: duration_text(value)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.yaxis.set_minor_formatter(NullFormatter())
    style.name_lines(axes, ends)


def _theory(summary: dict[str, Any]) -> tuple[bool, list[tuple[float, float]]]:
    """Whether theory is exact; and the percentiles that it knows: latency, s, and the share beyond."""
    told = {each["metric"]: each for each in summary["theory"] if each["kind"] != "bound"}
    found = [(told.get(f"latency.{key}"), 1.0 - q) for key, q in QUANTILES.items()]
    marks = [(each["value"], beyond) for each, beyond in found if each is not None]
    return all(each["kind"] == "exact" for each, _ in found if each is not None), marks


def _residuals(axes: Axes, validation: Validated) -> None:
    """Live minus simulated latency of each request, by its simulated latency, with bands of percentiles."""
    style.tidy(axes, "live - simulated latency of each request, ms")
    pairs = validation.pairs
    same = pairs.same_status & pairs.same_attempts
    x, y = pairs.simulated[same], 1e3 * (pairs.live - pairs.simulated)[same]
    positive = x > 0.0
    x, y = x[positive], y[positive]
    if len(x) < 2 * BANDS:
        axes.text(0.5, 0.5, "too few requests are paired", ha="center", transform=axes.transAxes)
        return
    axes.plot(x, y, ".", markersize=2, color=style.SKY, alpha=0.5, rasterized=True)
    order = np.argsort(x)
    groups = np.array_split(order, BANDS)
    middle = np.array([np.median(x[group]) for group in groups])
    bands = np.array([np.quantile(y[group], (0.05, 0.25, 0.5, 0.75, 0.95)) for group in groups])
    for lower, upper, shade in ((0, 4, 0.18), (1, 3, 0.35)):
        axes.fill_between(
            middle, bands[:, lower], bands[:, upper], color=style.BLUE, alpha=shade, linewidth=0
        )
    axes.plot(middle, bands[:, 2], color=style.BLUE, linewidth=1.5)
    axes.axhline(0.0, color=style.INK, linewidth=0.8)
    limit = max(1.6 * float(np.abs(np.quantile(y, (0.01, 0.99))).max()), 1.0)
    axes.set_ylim(-limit, limit)
    axes.set_xscale("log")
    low, high = float(np.quantile(x, 0.005)), float(x.max()) * 1.05
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 60 * low else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: duration_text(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())
    beyond = int(np.count_nonzero(np.abs(y) > limit))
    told = "line: median; bands: 50 and 90 % of requests" + (f"; {beyond} lie outside" if beyond else "")
    axes.set_xlabel(f"simulated latency\n{told}", fontsize=style.SIZE, color=style.INK)


def _errors(axes: Axes, rows: Sequence[dict[str, Any]]) -> None:
    """Each number's error as a share of its tolerance."""
    style.tidy(axes, "error as a share of its tolerance; within the shade passes", lines=False)
    axes.axvspan(-1.0, 1.0, color="#E8F3EE", linewidth=0)
    axes.axvline(0.0, color=style.INK, linewidth=0.8)
    for place, row in enumerate(rows):
        ratio = row["difference"] / row["allowed"] if row["allowed"] else np.sign(row["difference"]) * np.inf
        shown = float(np.clip(ratio, -REACH, REACH))
        outside = abs(ratio) > REACH
        marker = (">" if ratio > 0 else "<") if outside else ("o" if row["ok"] else "X")
        colour = style.GREEN if row["ok"] else style.VERMILLION
        axes.plot([0.0, shown], [place, place], color=colour, linewidth=1.2)
        axes.plot([shown], [place], marker, color=colour, markersize=7 if marker != "o" else 5.5)
        axes.text(1.02, place, _said(row), transform=axes.get_yaxis_transform(), va="center",
                  fontsize=style.SIZE, color=style.INK)  # fmt: skip
    axes.set_yticks(range(len(rows)), [_named(row["metric"]) for row in rows])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(-REACH - 0.15, REACH + 0.15)
    axes.set_xticks([-2, -1, 0, 1, 2], ["-200 %", "-100 %", "0", "+100 %", "+200 %"])
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _named(metric: str) -> str:
    """A metric as it fits beside the axis."""
    return style.shortened(metric.removeprefix("edges.").removeprefix("services."), LONGEST)


def _said(row: dict[str, Any]) -> str:
    """Error and tolerance of a number in words."""
    if row["error"] is None:
        return f"{row['difference']:+.3g}, ± {row['allowed']:.3g} allowed"
    return f"{change_text(row['error'])}, ± {ratio_text(row['tolerance'])} allowed"

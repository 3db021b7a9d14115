"""The picture of a validation: three tails, each request's residual, errors as shares of tolerances."""

from __future__ import annotations

import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes

from meshsim.measure.grid import Floats
from meshsim.measure.latency import QUANTILES
from meshsim.measure.request_pairs import Agreement
from meshsim.measure.validation import Metric, ValidationNumbers
from meshsim.plot import style
from meshsim.units import change_text, duration_text, ratio_text

HEAD, LINE = 0.72, 0.19
"""Height of the title with the room below the text, and of each line between, inches."""
ROW = 0.21
"""Height of a row of errors, inches."""
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


def validate_figure(
    numbers: ValidationNumbers, description: str, pairs: Agreement, latencies: tuple[Floats, Floats]
) -> style.Picture:
    """Tails of theory, simulation and live; residuals of each request; errors as shares of tolerances.

    `description` is the scenario's; `latencies` are of the simulated and of the live run, in order, s.
    """
    rows = [row for row in numbers.metrics if row.allowed > 0.0 or row.difference != 0.0]
    height, said = max(ROW * len(rows), 0.6), _under_the_title(numbers, description)
    head = HEAD + LINE * len(said)
    figure = style.Picture(height + head + 4.5)
    inch = figure.inch
    _heading(figure, numbers, said)
    style.caption(figure, [_source(numbers)])
    upper = 1.0 - (head + 2.75) * inch
    _tails(figure.add_axes((0.075, upper, 0.36, 2.5 * inch)), numbers, latencies)
    _residuals(figure.add_axes((0.56, upper, 0.41, 2.5 * inch)), pairs)
    _errors(figure.add_axes((0.26, 0.75 * inch, 0.52, height * inch)), rows)
    figure.alt = alt_text(numbers)
    return figure


def alt_text(numbers: ValidationNumbers) -> str:
    """The picture in one sentence."""
    words = [
        f"{row.metric} {change_text(row.error)}"
        for row in numbers.metrics
        if row.error is not None and row.metric.startswith("latency.")
    ]
    off = numbers.off
    judged = f"outside their tolerance: {', '.join(off)}" if off else "all numbers within their tolerance"
    return (
        f"Live behind {numbers.proxy} against simulated, {numbers.scenario or 'scenario'}:"
        f" {numbers.verdict}; {'; '.join(words)}; {judged}."
    )


def _under_the_title(numbers: ValidationNumbers, description: str) -> list[str]:
    """What the scenario is, how its requests agree, and why it is not a pass, in lines."""
    pairs = numbers.paired
    said = "closed load: requests are not paired"
    if pairs.status_equal is not None and pairs.attempts_equal is not None:
        said = (
            f"{pairs.requests:,} requests compared one by one: same status {ratio_text(pairs.status_equal)},"
            f" same number of attempts {ratio_text(pairs.attempts_equal)}"
        )
    described = textwrap.wrap(description, 118)[:3]
    return [*described, said, *textwrap.wrap(" ".join(numbers.reasons[:1]), 118)[:2]]


def _heading(figure: style.Picture, numbers: ValidationNumbers, said: list[str]) -> None:
    title = f"{numbers.scenario or 'scenario'} behind {numbers.proxy}"
    top = 1.0 - 0.15 * figure.inch
    text = figure.text(style.LEFT, top, title, fontsize=14, weight="bold", va="top", color=style.INK)
    end = text.get_window_extent().x1 / figure.bbox.width
    figure.text(
        end + 0.02, top, numbers.verdict.upper(), fontsize=12, weight="bold", va="top", color="white",
        bbox={"boxstyle": "round,pad=0.3", "facecolor": MARKS[numbers.verdict], "edgecolor": "none"},
    )  # fmt: skip
    look: dict[str, Any] = {"fontsize": 10, "va": "top", "color": style.INK, "linespacing": 1.3}
    figure.text(style.LEFT, 1.0 - 0.48 * figure.inch, "\n".join(said), **look)


def _source(numbers: ValidationNumbers) -> str:
    means = [each.mean for each in numbers.overhead.values()]
    overhead = dict.fromkeys((duration_text(min(means)), duration_text(max(means))))
    cost = f"overhead of a call, calibrated and in the model: {' to '.join(overhead)}"
    measured = f"{numbers.measured:g} s measured"
    return style.source(numbers.version, f"seed {numbers.seed}", measured, cost)


def _tails(axes: Axes, numbers: ValidationNumbers, curves: tuple[Floats, Floats]) -> None:
    """The share of answers that take longer, by latency; theory as marks at its percentiles."""
    style.tidy(axes, "share of requests that take longer than …")
    ends = []
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
    exact, marks = _theory(numbers)
    if marks:
        x, y = zip(*marks, strict=True)
        edge, name = (style.BLACK, "theory") if exact else ("#777777", "theory ≈")
        axes.plot(x, y, "D", markersize=5.5, markerfacecolor="white", markeredgecolor=edge, zorder=5)
        ends.append(style.LineEnd(name, x[-1], y[-1], edge))
    style.log_latency(axes, low, max([high, *(1.05 * x for x, _ in marks)]))
    style.log_share(axes, min([least, *(0.7 * y for _, y in marks)]), 1.15)
    axes.set_xlabel("latency", **style.TEXT)
    style.name_lines(axes, ends)


def _theory(numbers: ValidationNumbers) -> tuple[bool, list[tuple[float, float]]]:
    """Whether theory is exact, and the percentiles it knows: (latency, s; share beyond)."""
    known = {each.metric: each for each in numbers.theory if each.kind != "bound"}
    found = [(known[f"latency.{key}"], 1.0 - q) for key, q in QUANTILES.items() if f"latency.{key}" in known]
    return all(each.kind == "exact" for each, _ in found), [(each.value, beyond) for each, beyond in found]


def _residuals(axes: Axes, pairs: Agreement) -> None:
    style.tidy(axes, "live - simulated latency of each request, ms")
    x, y = pairs.simulated[pairs.same], 1e3 * pairs.residuals
    x, y = x[x > 0.0], y[x > 0.0]
    if len(x) < 2 * BANDS:
        axes.set(xticks=[], yticks=[])
        style.say(axes, "too few requests are paired")
        return
    axes.plot(x, y, ".", markersize=2, color=style.SKY, alpha=0.5, rasterized=True)
    order = np.argsort(x)
    groups = np.array_split(order, BANDS)
    middle = np.array([np.median(x[group]) for group in groups])
    bands = np.array([np.quantile(y[group], (0.05, 0.25, 0.5, 0.75, 0.95)) for group in groups])
    for lower, upper, shade in ((0, 4, 0.18), (1, 3, 0.35)):
        look: dict[str, Any] = {"color": style.BLUE, "alpha": shade, "linewidth": 0}
        axes.fill_between(middle, bands[:, lower], bands[:, upper], **look)
    axes.plot(middle, bands[:, 2], color=style.BLUE, linewidth=1.5)
    axes.axhline(0.0, color=style.INK, linewidth=0.8)
    limit = max(1.6 * float(np.abs(np.quantile(y, (0.01, 0.99))).max()), 1.0)
    axes.set_ylim(-limit, limit)
    style.log_latency(axes, float(np.quantile(x, 0.005)), float(x.max()) * 1.05)
    beyond = int(np.count_nonzero(np.abs(y) > limit))
    legend = "line: median; bands: 50 and 90 % of requests" + (f"; {beyond} outside" if beyond else "")
    axes.set_xlabel(f"simulated latency\n{legend}", **style.TEXT)


def _errors(axes: Axes, rows: Sequence[Metric]) -> None:
    style.tidy(axes, "error as a share of its tolerance; the shaded range passes", grid=None)
    axes.axvspan(-1.0, 1.0, color="#E8F3EE", linewidth=0)
    axes.axvline(0.0, color=style.INK, linewidth=0.8)
    for place, row in enumerate(rows):
        ratio = row.difference / row.allowed if row.allowed else np.sign(row.difference) * np.inf
        shown = float(np.clip(ratio, -REACH, REACH))
        outside = abs(ratio) > REACH
        marker = (">" if ratio > 0 else "<") if outside else ("o" if row.ok else "X")
        colour = style.GREEN if row.ok else style.VERMILLION
        axes.plot([0.0, shown], [place, place], color=colour, linewidth=1.2)
        axes.plot([shown], [place], marker, color=colour, markersize=7 if marker != "o" else 5.5)
        beside = axes.get_yaxis_transform()
        axes.text(1.02, place, _error_text(row), transform=beside, va="center", **style.TEXT)
    names = [row.metric.removeprefix("edges.").removeprefix("services.") for row in rows]
    axes.set_yticks(range(len(rows)), [style.shortened(name, LONGEST) for name in names])
    axes.set_ylim(len(rows) - 0.4, -0.6)
    axes.set_xlim(-REACH - 0.15, REACH + 0.15)
    axes.set_xticks([-2, -1, 0, 1, 2], ["-200 %", "-100 %", "0", "+100 %", "+200 %"])
    axes.spines["left"].set_visible(False)
    axes.tick_params(axis="y", length=0)


def _error_text(row: Metric) -> str:
    if row.error is None or row.tolerance is None:
        return f"{row.difference:+.3g}, tolerance {row.allowed:.3g}"
    return f"{change_text(row.error)}, tolerance {ratio_text(row.tolerance)}"

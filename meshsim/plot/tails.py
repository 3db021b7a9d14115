"""Latencies on logarithmic axes: the share of requests that take longer, by time."""

from __future__ import annotations

from matplotlib.axes import Axes
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from meshsim.plot import style
from meshsim.units import duration_text


def log_latency(axes: Axes, low: float, high: float) -> None:
    """A horizontal axis of latencies from `low` to `high`, s, with units."""
    axes.grid(axis="x", color="#DDDDDD", linewidth=0.6)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    axes.xaxis.set_major_locator(LogLocator(subs=(1.0,) if high > 60 * low else (1.0, 2.0, 5.0)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: duration_text(value)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def log_share(axes: Axes, least: float, most: float) -> None:
    """A vertical axis of shares of requests from `least` to `most`."""
    axes.set_yscale("log")
    axes.set_ylim(least, most)
    axes.yaxis.set_major_locator(LogLocator(subs=(1.0,) if least < 0.02 else (1.0, 2.0, 5.0)))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{100 * value:.4g} %"))
    axes.yaxis.set_minor_formatter(NullFormatter())


def nothing_to_draw(axes: Axes, why: str) -> None:
    """Says why a panel is empty."""
    axes.set(xticks=[], yticks=[])
    axes.text(0.5, 0.5, why, ha="center", transform=axes.transAxes, color=style.INK)

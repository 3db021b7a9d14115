"""What a scenario does to a run, drawn behind the lines: events, warm-up, the end of arrivals."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from matplotlib.axes import Axes

from meshsim.plot.style import INK, SIZE
from meshsim.scenario.model import Event
from meshsim.units import ratio_text

EVENT_SHADE = "#F6DFA6"
LEVELS = 3
"""Labels of events that follow each other closely are written on so many heights in turn."""


def describe(event: Event) -> str:
    """An event in a few words: ``catalog 5x slower``."""
    where = event.service or event.replica or event.link or event.node or ""
    words = []
    if event.slow is not None:
        words.append(f"{event.slow:g}x slower" if event.slow >= 1 else f"{1 / event.slow:g}x faster")
    if event.errors is not None:
        words.append(f"{ratio_text(event.errors)} errors")
    if event.down:
        words.append("down")
    if event.latency_factor is not None:
        words.append(f"{event.latency_factor:g}x latency")
    if event.loss is not None:
        words.append(f"{ratio_text(event.loss)} loss")
    if event.set:
        words.append("set " + ", ".join(key.removeprefix("policies.") for key in event.set))
    return f"{where} {', '.join(words)}".strip()


def mark_events(panels: Sequence[Axes], events: Sequence[Event], end: float) -> None:
    """Shades the time of each event on all panels and names it above the first.

    Args:
        panels: sharing their time axis, top first.
        events: of the scenario.
        end: of the time axis, s; an event without an end lasts until then.
    """
    for number, event in enumerate(sorted(events, key=lambda event: event.at)):
        if event.at > end:
            continue
        stop = min(end, end if event.lasts is None else event.at + event.lasts)
        for axes in panels:
            if event.set:
                axes.axvline(event.at, color=INK, linewidth=0.9, linestyle=(0, (2, 2)))
            else:
                axes.axvspan(event.at, stop, color=EVENT_SHADE, alpha=0.75, linewidth=0, zorder=0)
        _label(panels[0], describe(event), event.at, end, number % LEVELS)


def _label(axes: Axes, text: str, time: float, end: float, level: int) -> None:
    """An event's name inside the panel, from its beginning to the side with more room."""
    late = time > 0.6 * end
    axes.annotate(
        text,
        (time, 1.0),
        xycoords=("data", "axes fraction"),
        xytext=(-3 if late else 3, -3 - 12 * level),
        textcoords="offset points",
        ha="right" if late else "left",
        va="top",
        fontsize=SIZE,
        color=INK,
        bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1},
        zorder=5,
    )


def mark_window(panels: Sequence[Axes], named: Axes, warmup: float, duration: float, end: float) -> None:
    """Hatches the warm-up and the drain (measured is what lies between) and names both in one panel.

    Args:
        panels: sharing their time axis, top first.
        named: the one, with nothing at its bottom.
        warmup: its end, s.
        duration: when arrivals stop, s.
        end: of the run, s; may lie beyond the axis.
    """
    edge = panels[0].get_xlim()[1]
    wide = 0.08 * edge  # enough for a name
    for axes in panels:
        axes.axvline(duration, color=INK, linewidth=0.8)
    if warmup > 0.0:
        _hatch(panels, 0.0, warmup)
        _name(named, "warm-up", *((warmup / 2.0, "center") if warmup > wide else (warmup, "left")))
    _hatch(panels, duration, min(end, edge))
    if min(end, edge) - duration > wide:
        beyond = f", to {end:g} s" if end > edge * (1.0 + 1e-9) else ""
        _name(named, f"drain{beyond}", (duration + min(end, edge)) / 2.0, "center")
    else:
        _name(named, "arrivals stop", duration, "right")


def _hatch(panels: Sequence[Axes], left: float, right: float) -> None:
    """Marks time that is not measured."""
    for axes in panels:
        axes.axvspan(left, right, facecolor="none", edgecolor="#E0E0E0", hatch="///", linewidth=0, zorder=0)


def _name(axes: Axes, text: str, time: float, side: Literal["left", "center", "right"]) -> None:
    """Writes at the bottom of a panel, beside or around a time."""
    axes.annotate(
        text,
        (time, 0.0),
        xycoords=("data", "axes fraction"),
        xytext=({"left": 3, "center": 0, "right": -3}[side], 3),
        textcoords="offset points",
        ha=side,
        va="bottom",
        fontsize=SIZE,
        color=INK,
        bbox={"facecolor": "white", "alpha": 0.75, "edgecolor": "none", "pad": 1},
    )

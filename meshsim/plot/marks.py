"""What a scenario does to a run, drawn behind the lines and named above them: events, warm-up, drain."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

from matplotlib.axes import Axes

from meshsim.plot import style
from meshsim.plot.style import INK, SIZE
from meshsim.scenario.model import Event
from meshsim.units import ratio_text

EVENT_SHADE = "#F6DFA6"
MOST_EVENTS = 8
"""So many are named; of more, the last name says how many more."""
MOST_PUSHES = 40
"""Of more, none has a line."""
LONGEST_EVENT = 60
"""Characters of an event's name."""
ROW = 12.0
"""Height of a row of labels, points."""
GAP = 6.0
"""Between two labels of a row, points."""


class Label(NamedTuple):
    """What begins at a place along the horizontal axis, in a few words."""

    text: str
    place: float


def describe(event: Event) -> str:
    """An event in a few words: ``catalog 5x slower``."""
    slow = event.slow or 1.0
    words = (
        event.slow is not None and (f"{slow:g}x slower" if slow >= 1 else f"{1 / slow:g}x faster"),
        event.errors is not None and f"{ratio_text(event.errors)} errors",
        event.down and "down",
        event.rotate_root and "new root",
        event.replicas is not None and f"to {event.replicas} replica{'' if event.replicas == 1 else 's'}",
        event.restart is not None and "restart",
        event.latency_factor is not None and f"{event.latency_factor:g}x latency",
        event.loss is not None and f"{ratio_text(event.loss)} loss",
        event.set and "set " + ", ".join(key.removeprefix("policies.") for key in event.set),
    )
    target = f"{event.target.replace('_', ' ') if event.component else event.target} {event.version or ''}"
    return f"{target.strip()} {', '.join(word for word in words if word)}".strip()


def mark_events(panels: Sequence[Axes], events: Sequence[Event], end: float) -> list[Label]:
    """Shades the time of each event up to `end`, s, on panels with a common axis; returns their names.

    What stays as an event leaves it, such as a scaled service, has a line at its time.
    """
    labels = []
    for event in sorted(events, key=lambda event: event.at):
        if event.at > end:
            continue
        stop = min(end, end if event.lasts is None else event.at + event.lasts)
        for axes in panels:
            if event.set or event.rolls or (event.rotate_root and not event.down):
                axes.axvline(event.at, color=INK, linewidth=0.9, linestyle=(0, (2, 2)))
            else:
                axes.axvspan(event.at, stop, color=EVENT_SHADE, alpha=0.75, linewidth=0, zorder=0)
        labels.append(Label(style.shortened(describe(event), LONGEST_EVENT), event.at))
    if len(labels) > MOST_EVENTS:
        more = Label(f"and {len(labels) - MOST_EVENTS} more events", labels[MOST_EVENTS].place)
        labels = [*labels[:MOST_EVENTS], more]
    return labels


def mark_pushes(panels: Sequence[Axes], times: Sequence[float]) -> list[Label]:
    """Draws a thin line where each push begins, s, unless they are too many; returns their name."""
    if not 0 < len(times) <= MOST_PUSHES:
        return []
    for axes in panels:
        for time in times:
            axes.axvline(time, color=INK, linewidth=0.5, linestyle=(0, (1, 3)))
    return [Label("pushes" if len(times) > 1 else "push", min(times))]


def mark_window(panels: Sequence[Axes], warmup: float, duration: float, end: float) -> list[Label]:
    """Hatches the warm-up and the drain on panels with a common axis; returns their names.

    `warmup` ends the warm-up, `duration` the arrivals, and `end` the run, perhaps beyond the axis, s.
    """
    edge = panels[0].get_xlim()[1]
    for axes in panels:
        axes.axvline(duration, color=INK, linewidth=0.8)
    if warmup > 0.0:
        _hatch(panels, 0.0, warmup)
    _hatch(panels, duration, min(end, edge))
    beyond = f", drain to {end:g} s" if end > edge * (1.0 + 1e-9) else ""
    stop = Label(f"arrivals stop{beyond}", duration)
    return [Label("warm-up", 0.0), stop] if warmup > 0.0 else [stop]


def _hatch(panels: Sequence[Axes], left: float, right: float) -> None:
    for axes in panels:
        axes.axvspan(left, right, facecolor="none", edgecolor="#E0E0E0", hatch="///", linewidth=0, zorder=0)


def name_above(axes: Axes, labels: Sequence[Label]) -> None:
    """Writes labels between a panel and its title, where they cover no line, and makes room for them there.

    Each begins above its place, or so far left of it that it ends within the picture. Later ones are lower,
    so that the line from a label down to its place crosses no other. The panel must be at its final place but
    for its top, with its final horizontal limits.
    """
    point = axes.figure.dpi / 72.0
    rows: list[float] = []  # where the leftmost label of each begins, pixels
    most = 0.99 * axes.figure.bbox.width
    above: dict[str, Any] = {
        "xycoords": ("data", "axes fraction"), "textcoords": "offset points", "annotation_clip": False
    }  # fmt: skip
    line = {"arrowstyle": "-", "color": INK, "linewidth": 0.6, "shrinkA": 0, "shrinkB": 0}
    for label in sorted(labels, key=lambda label: -label.place):
        where = (label.place, 1.0)
        text = axes.annotate(label.text, where, xytext=(0.0, 0.0), va="bottom", **above, **style.TEXT)
        place = axes.transData.transform((label.place, 0.0))[0]
        width = text.get_window_extent().width
        left = min(place + 3.0 * point, most - width)
        end = left + width + GAP * point
        row = next((number for number, used in enumerate(rows) if end < used), len(rows))
        rows[row : row + 1] = [left]
        up = 3.0 + ROW * row
        text.set_position(((left - place) / point, up))
        axes.annotate("", where, xytext=(0.0, up + 0.8 * SIZE), arrowprops=line, zorder=1, **above)
    if rows:
        style.title(axes, axes.get_title(loc="left"), 6.0 + ROW * len(rows))
        x, y, width, height = axes.get_position().bounds
        axes.set_position((x, y, width, height - ROW * len(rows) * point / axes.figure.bbox.height))

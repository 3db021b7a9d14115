"""How pictures look: colours that everyone can distinguish, lines named where they end.

No meaning rests on colour alone: each line of a panel has a dash pattern of its own too, and its name beside
its end in dark text (a yellow or sky-blue letter on white can't be read).

Source:
    Okabe and Ito, Color Universal Design (2008): the palette, here as hex numbers because older versions of
    matplotlib don't carry it.
"""

from __future__ import annotations

import io
import textwrap
from collections.abc import Sequence
from typing import Any, Literal, NamedTuple

import numpy as np
from matplotlib import rc_context
from matplotlib.axes import Axes
from matplotlib.axis import Axis
from matplotlib.backend_bases import RendererBase
from matplotlib.figure import Figure
from matplotlib.text import Text
from matplotlib.ticker import LogLocator, NullFormatter

from meshsim.errors import printable
from meshsim.measure.grid import Floats
from meshsim.plot import fonts
from meshsim.units import duration_text, ratio_text

BLACK, ORANGE, SKY, GREEN, YELLOW, BLUE, VERMILLION, PURPLE = (
    "#000000", "#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7",
)  # fmt: skip

LINES: tuple[dict[str, Any], ...] = (
    {"color": BLUE, "linestyle": "-"},
    {"color": ORANGE, "linestyle": (0, (5, 1.5))},
    {"color": VERMILLION, "linestyle": (0, (1.5, 1))},
    {"color": GREEN, "linestyle": (0, (6, 1.5, 1.5, 1.5))},
    {"color": PURPLE, "linestyle": (0, (3, 1, 1, 1, 1, 1))},
)
"""Colour and dashes of the first, second, … line of a panel."""

INK = "#222222"
GRID = "#DDDDDD"
SIZE = 9.0
"""Of the smallest text, points."""
TEXT: dict[str, Any] = {"fontsize": SIZE, "color": INK}
DPI = 100
MAKER = "meshsim"
"""Which program made a picture, as its file says."""
TITLE_LONGEST = 68
"""Characters of a heading's first line."""
LEFT = 0.075
"""Where text and panels begin, as a share of the width."""
LETTER = 0.0078
"""The width of a letter, as a share of the width of most pictures."""
LONGEST = 30
"""Characters of a name beside a panel."""


class Picture(Figure):
    """A figure that notebooks show by itself, without pyplot; width and height are inches.

    `alt` is its alternative text, one sentence; `inch` an inch as a share of the height.
    """

    alt: str = ""

    def __init__(self, height: float, width: float = 10.0) -> None:
        super().__init__(figsize=(width, height), dpi=DPI)
        self.inch = 1.0 / height

    def savefig(self, *args: Any, **options: Any) -> None:
        """Writes the picture; in names control characters are shown."""
        for text in self.findobj(Text):
            text.set_text(printable(text.get_text(), lines=True))
        super().savefig(*args, **options)

    def _repr_png_(self) -> bytes:
        return self.png()

    def draw(self, renderer: RendererBase) -> None:
        """Draws the picture, in fonts that have its characters."""
        fonts.choose(self)
        with fonts.silent():
            super().draw(renderer)

    def png(self) -> bytes:
        """The picture as a PNG file, with the alternative text as its description."""
        return self.file("png")

    def file(self, form: str, dpi: int = DPI) -> bytes:
        """The picture as ``png``, ``svg`` or ``pdf``, with its alternative text; always the same bytes.

        In ``svg`` and ``pdf`` text stays text; `dpi` is for what is drawn as dots.
        """
        out, alt = io.BytesIO(), printable(self.alt)
        about = {
            "png": {"Description": alt, "Software": MAKER},
            "svg": {"Title": alt, "Creator": MAKER, "Date": None},
            "pdf": {"Subject": alt, "Creator": MAKER, "Producer": None, "CreationDate": None},
        }[form]
        more: dict[str, Any] = {"pil_kwargs": {"compress_level": 4}} if form == "png" else {}
        with rc_context({"svg.hashsalt": MAKER, "svg.fonttype": "none", "pdf.fonttype": 42}):
            self.savefig(out, format=form, dpi=dpi, metadata=about, **more)
        return out.getvalue()


def heading(figure: Picture, title: str, description: str) -> float:
    """Writes title and description; returns where the panels may begin, as a share of the height."""
    inch = figure.inch
    first, *more = textwrap.wrap(title, TITLE_LONGEST) or [""]
    title = f"{first} …" if more else first
    figure.text(LEFT, 1.0 - 0.12 * inch, title, fontsize=14, weight="bold", va="top", color=INK)
    lines = textwrap.wrap(description, 118)[:4]
    figure.text(LEFT, 1.0 - 0.40 * inch, "\n".join(lines), fontsize=10, va="top", color=INK, linespacing=1.3)
    return 1.0 - (0.72 + 0.19 * len(lines)) * inch


def caption(figure: Picture, lines: Sequence[str], left: float = LEFT) -> float:
    """Writes where the picture comes from; returns where the panels end, as a share of the height."""
    figure.text(left, 0.1 * figure.inch, "\n".join(lines), va="bottom", linespacing=1.3, **TEXT)
    return (0.55 + 0.17 * len(lines)) * figure.inch


def percent(axis: Axis) -> None:
    """Marks shares in percent."""
    axis.set_major_formatter(lambda value, _: ratio_text(value))


def durations(axis: Axis) -> None:
    """Marks times, s, with units."""
    axis.set_major_formatter(lambda value, _: duration_text(value))


def log_marks(axis: Axis, low: float, high: float, most: float = 30.0) -> None:
    """Marks powers of ten; 2 and 5 between them, too, where `high` is no more than so many times `low`."""
    axis.set_major_locator(LogLocator(subs=(1.0,) if high > most * low else (1.0, 2.0, 5.0)))
    axis.set_minor_formatter(NullFormatter())


def log_durations(axes: Axes, low: float, high: float) -> None:
    """A logarithmic vertical axis of times from about `low` to `high`, s, with units."""
    axes.set_yscale("log")
    log_marks(axes.yaxis, low, high)
    durations(axes.yaxis)


def log_latency(axes: Axes, low: float, high: float) -> None:
    """A logarithmic horizontal axis of latencies from `low` to `high`, s, with units."""
    axes.grid(axis="x", color=GRID, linewidth=0.6)
    axes.set_xscale("log")
    axes.set_xlim(low, high)
    log_marks(axes.xaxis, low, high, 60.0)
    durations(axes.xaxis)


def log_share(axes: Axes, least: float, most: float) -> None:
    """A logarithmic vertical axis of shares of requests from `least` to `most`."""
    axes.set_yscale("log")
    axes.set_ylim(least, most)
    log_marks(axes.yaxis, least, 1.0, 50.0)
    percent(axes.yaxis)


def say(axes: Axes, text: str) -> None:
    """Writes why a panel is empty."""
    axes.text(0.5, 0.5, text, ha="center", color=INK, fontsize=SIZE + 1, transform=axes.transAxes)


def seeds(first: int, count: int) -> str:
    """Which seeds runs had: ``seed 1 to 10``."""
    return f"seed {first}" + (f" to {first + count - 1}" if count > 1 else "")


def source(version: str, *parts: str, partial: bool = False) -> str:
    """Where a picture's numbers come from, for its caption."""
    return " · ".join([f"meshsim {version}", *parts, *(["PARTIAL: interrupted"] if partial else [])])


def shortened(text: str, longest: int = LONGEST) -> str:
    """A text that fits beside a panel: names that are too long differ at their ends, so the middle goes."""
    if len(text) <= longest:
        return text
    return f"{text[: longest // 2]}…{text[longest // 2 + 1 - longest :]}"


def right_of(names: Sequence[str]) -> float:
    """Where panels end that have these names to their right, as a share of the width."""
    return 0.965 - LETTER * max((len(name) for name in names), default=0)


def title(axes: Axes, label: str, pad: float = 4.0) -> None:
    """Writes what a panel shows, so many points above it."""
    axes.set_title(label, loc="left", fontsize=SIZE + 1, color=INK, pad=pad)


def tidy(axes: Axes, label: str, *, grid: Literal["x", "y"] | None = "y") -> None:
    """A panel's frame: two spines, a light `grid` from one axis, a label that reads horizontally."""
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    if grid:
        axes.grid(axis=grid, color=GRID, linewidth=0.6)
    axes.set_axisbelow(True)
    axes.tick_params(labelsize=SIZE, colors=INK)
    title(axes, label)


class LineEnd(NamedTuple):
    """Where a line ends and what it is called; `x` and `y` in data units."""

    name: str
    x: float
    y: float
    colour: str


def name_lines(axes: Axes, ends: Sequence[LineEnd]) -> None:
    """Names lines to the right of a panel with final limits, moved apart where they would overlap.

    A dotted line in the line's colour leads from its end to its name.
    """
    if not ends:
        return
    height = axes.get_window_extent().height * 72.0 / axes.figure.dpi  # points
    to_axes = axes.transScale + axes.transLimits
    places = np.clip(to_axes.transform([(end.x, end.y) for end in ends])[:, 1], 0.0, 1.0)
    look: dict[str, Any] = {"textcoords": "axes fraction", "va": "center", "annotation_clip": False, **TEXT}
    line = {"relpos": (0.0, 0.5), "arrowstyle": "-", "linewidth": 0.8, "shrinkA": 1, "shrinkB": 0}
    for end, place in zip(ends, _apart(places, 1.25 * SIZE / height), strict=True):
        arrow = {**line, "linestyle": (0, (1, 2)), "color": end.colour}
        axes.annotate(end.name, (end.x, end.y), xytext=(1.02, place), arrowprops=arrow, **look)


class Panel:
    """A panel while it is drawn: each line has the next look, and its name where it ends.

    `highest` and `lowest` are of all that is drawn and more than 0.
    """

    def __init__(self, axes: Axes, label: str) -> None:
        self.axes = axes
        self.ends: list[LineEnd] = []
        self.highest, self.lowest = 0.0, np.inf
        tidy(axes, label)

    @property
    def look(self) -> dict[str, Any]:
        """Colour and dashes of the next line."""
        return LINES[len(self.ends) % len(LINES)]

    def end(self, name: str, x: float, y: float, colour: str) -> None:
        """Where a line ends."""
        self.ends.append(LineEnd(shortened(name), float(x), float(y), colour))

    def drawn(self, values: Floats) -> None:
        """Has the limits take in some values."""
        some = values[np.isfinite(values) & (values > 0.0)]
        self.highest = max(self.highest, float(some.max(initial=0.0)))
        self.lowest = min(self.lowest, float(some.min(initial=np.inf)))

    def finish(self, low: float, high: float) -> None:
        """Ends the drawing: sets the limits of the values and names the lines."""
        self.axes.set_ylim(low, high)
        name_lines(self.axes, self.ends)

    def finish_durations(self) -> None:
        """The same for times, s, on a logarithmic axis."""
        low, high = (self.lowest, self.highest) if self.highest else (1e-3, 1.0)
        log_durations(self.axes, low, high)
        self.finish(low / 1.5, high * 1.5)

    def finish_ratios(self) -> None:
        """The same for shares of 1."""
        percent(self.axes.yaxis)
        self.finish(0.0, 1.1)


def _apart(places: Floats, gap: float) -> Floats:
    """The places moved as little as keeps neighbours `gap` apart, within 0-1 where that can be."""
    order = np.argsort(places, kind="stable")
    result = places[order].copy()
    for _ in range(50):  # neighbours push each other until nobody moves
        overlap = gap - np.diff(result)
        if not np.any(overlap > 1e-9):
            break
        push = np.maximum(overlap, 0.0) / 2.0
        result[:-1] -= push
        result[1:] += push
        result = np.clip(result, 0.0, 1.0)
    back = np.empty_like(result)
    back[order] = result
    return back

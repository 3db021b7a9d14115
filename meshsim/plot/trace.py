"""The picture of a trace: the spans of one request as a waterfall, tries and time-outs included.

    client → shop at shop/0  ──▒▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▓▒─   a call, its try, its stay at the replica
       → cart                   ──────────────────────
          try 1 at cart/0       ▒▓▓▓▓▓▓▓▒ 504 UT                 a try that timed out
          try 2 at cart/1                    ▒▓▓▓▓▓▒             a retry, after its back-off

A call with one try has one line for both.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.patches import Patch

from meshsim.plot import style
from meshsim.units import duration_text

Row = Mapping[str, Any]
"""A span by the columns of `meshsim.measure.spans`."""

LINE = 0.23
"""Height of a line, inches."""
MOST_LINES = 60
"""So many are drawn; below them stands how many more there are."""
LONGEST = 44
"""Characters of what stands before a line."""
FINE, FAILED, CANCELLED = "answered", "failed, or timed out", "nobody waited for it"
COLOURS = {FINE: style.BLUE, FAILED: style.VERMILLION, CANCELLED: "#8C8C8C"}
HATCHES = {FINE: "", FAILED: "////", CANCELLED: "...."}
SENT = 0.35
"""How opaque a try is; its stay at the replica is the dark part of it."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line: the spans of a call, of one of its tries, or of both."""

    name: str
    depth: int
    call: Row | None
    attempt: Row | None
    server: Row | None

    @property
    def said(self) -> Row:
        """The span that says how it ended: as its caller saw it."""
        found = self.call or self.attempt
        assert found is not None, "a line has one of them"
        return found


class _Step(NamedTuple):
    """A call, or a try by its name, which is drawn in one line with its `call` if that has no other."""

    span: Row
    depth: int
    name: str = ""
    call: Row | None = None


def trace_figure(spans: Sequence[Row], *, scenario: str, source: str) -> style.Picture:
    """The waterfall of one trace; `source` says where it comes from. Its spans have one without a parent."""
    lines = waterfall(spans)
    shown = lines[:MOST_LINES]
    root = lines[0].said
    height = LINE * len(shown)
    figure = style.Picture(height + 2.05)
    inch = figure.inch
    words = f"One request of {duration_text(_short(root['end'] - root['start']))}, trace {root['trace_id']}."
    style.heading(figure, f"{scenario or 'scenario'}: a trace", words)
    more = [f"{len(lines) - len(shown)} more lines are not shown"] if len(lines) > len(shown) else []
    style.caption(figure, [" · ".join([source, *more])])
    left = 0.03 + style.LETTER * max(len(_before(line)) for line in shown)
    axes = figure.add_axes((left, 0.8 * inch, 0.87 - left, height * inch))
    _draw(axes, shown, root["start"], max(span["end"] for span in spans))
    _legend(axes, shown)
    figure.alt = alt_text(scenario, lines)
    return figure


def waterfall(spans: Sequence[Row]) -> list[Line]:
    """The lines of a trace, from its root down, in order of time."""
    below: dict[str, list[Row]] = defaultdict(list)
    for span in sorted(spans, key=lambda span: span["start"]):
        below[span["parent_id"]].append(span)
    lines: list[Line] = []
    rest = [_Step(root, 0) for root in reversed(below[""])]  # a stack: a mesh may be deeper than Python
    while rest:
        step = rest.pop()
        span, depth = step.span, step.depth
        if span["kind"] == "call":
            name = "/".join(filter(None, (span["peer"], span["endpoint"])))
            name = f"→ {name}" if span["parent_id"] else f"{span['service']} → {name}"
            tries = below[span["span_id"]]
            if len(tries) == 1:
                rest.append(_Step(tries[0], depth, name, span))
            else:
                lines.append(Line(name, depth, span, None, None))
                numbered = [*enumerate(tries, 1)]
                rest += [_Step(each, depth + 1, f"try {number}") for number, each in reversed(numbered)]
        else:
            server = next(iter(below[span["span_id"]]), None)
            lines.append(Line(f"{step.name} at {span['replica']}", depth, step.call, span, server))
            inner = below[server["span_id"]] if server is not None else []
            rest += [_Step(call, depth + 1) for call in reversed(inner)]
    return lines


def alt_text(scenario: str, lines: Sequence[Line]) -> str:
    """The picture in one sentence."""
    wrong = [f"{line.name} ended with {_outcome(line.said)}" for line in lines if _kind(line.said) == FAILED]
    root = lines[0].said
    took = duration_text(_short(root["end"] - root["start"]))
    said = "; ".join([f"a request of {took} in {len(lines)} lines", *wrong[:5]])
    return f"{scenario or 'scenario'}: {said}."


def _kind(span: Row) -> str:
    if span["status"] <= 0:
        return FAILED if span["flag"] else CANCELLED
    return FAILED if span["status"] >= 400 else FINE


def _outcome(span: Row) -> str:
    """How a span ended, in the words of an access log; empty where all was well."""
    kind = _kind(span)
    status = str(span["status"]) if span["status"] > 0 else ""
    return "" if kind == FINE else " ".join(filter(None, (status, span["flag"]))) or "cancelled"


def _short(seconds: float) -> float:
    """A time with three digits."""
    return float(f"{seconds:.3g}")


def _before(line: Line) -> str:
    """What stands before a line."""
    return "   " * min(line.depth, 6) + style.shortened(line.name, LONGEST)


def _draw(axes: Axes, lines: Sequence[Line], origin: float, end: float) -> None:
    """Draws the lines, the first at the top, over the time since the request began."""
    style.tidy(axes, "", grid="x")
    axes.set_xlim(0.0, 1.02 * max(end - origin, 1e-6))
    axes.set_ylim(len(lines) - 0.4, -0.6)
    for place, line in enumerate(lines):
        if line.call is not None:
            _bar(axes, line.call, place, origin, height=0.1, color=style.INK)
        for span, opacity, height in ((line.attempt, SENT, 0.72), (line.server, 1.0, 0.4)):
            if span is not None:
                kind = _kind(span)
                look = {
                    "color": COLOURS[kind],
                    "alpha": opacity,
                    "hatch": HATCHES[kind],
                    "edgecolor": "white",
                }
                _bar(axes, span, place, origin, height=height, **look)
        took = duration_text(_short(line.said["end"] - line.said["start"]))
        last = max(span["end"] for span in (line.call, line.attempt, line.server) if span is not None)
        text = " ".join(filter(None, (took, _outcome(line.said))))
        beside: dict[str, Any] = {"textcoords": "offset points", "va": "center", "annotation_clip": False}
        axes.annotate(text, (last - origin, place), xytext=(4.0, 0.0), **beside, **style.TEXT)
    axes.set_yticks(range(len(lines)), [_before(line) for line in lines])
    axes.tick_params(axis="y", length=0)
    for label in axes.get_yticklabels():
        label.set_horizontalalignment("left")
    axes.tick_params(axis="y", pad=(axes.get_position().x0 - 0.02) * axes.figure.bbox.width * 72 / style.DPI)
    style.durations(axes.xaxis)
    axes.set_xlabel("time since the request began", **style.TEXT)


def _bar(axes: Axes, span: Row, place: float, origin: float, **look: Any) -> None:
    colour = look.pop("color")
    axes.barh(
        place, span["end"] - span["start"], left=span["start"] - origin, facecolor=colour, linewidth=0, **look
    )


def _legend(axes: Axes, lines: Sequence[Line]) -> None:
    """Says what the bars are; of outcomes those that there are."""
    tries = [span for line in lines for span in (line.attempt, line.server) if span is not None]
    kinds = [kind for kind in COLOURS if any(_kind(span) == kind for span in tries)]
    marks = [
        Patch(facecolor=style.INK, label="call"),
        Patch(facecolor=style.BLUE, alpha=SENT, label="try"),
        Patch(facecolor=style.BLUE, label="its work at the replica"),
        *(
            Patch(facecolor=COLOURS[kind], hatch=HATCHES[kind], edgecolor="white", linewidth=0, label=kind)
            for kind in kinds
            if kind != FINE
        ),
    ]
    axes.legend(
        handles=marks, loc="lower left", bbox_to_anchor=(0.0, 1.0), ncols=len(marks), frameon=False,
        fontsize=style.SIZE, borderaxespad=0.2, handlelength=1.6,
    )  # fmt: skip

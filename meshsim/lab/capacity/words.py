"""What was found, in words: limits, readings, lines of progress."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meshsim.lab.capacity.evidence import excess
from meshsim.lab.capacity.inquiry import Finding
from meshsim.lab.capacity.limits import Limit, Observation, Score
from meshsim.lab.show import sheets
from meshsim.measure.intervals import interval
from meshsim.measure.latency import VERY_LATE

UNKNOWN = "not known"


def limit(each: Limit) -> str:
    """``frontend: p99 <= 100 ms``."""
    return f"{each.service}: {key(each)}"


def key(each: Limit) -> str:
    """``p99 <= 100 ms``."""
    if each.key == "success":
        return f"{each.key} >= {sheets.share(each.limit)}"
    return f"{each.key} <= {sheets.time(each.limit)}"


def reading(each: Limit, scores: Sequence[Score]) -> str:
    """The mean over replications of what a limit measured, with its 95 % interval: ``231 ± 12 ms``."""
    values = [score.measured for score in scores if score.measured is not None]
    if len(values) < len(scores) or max(values, default=VERY_LATE) >= VERY_LATE:
        return UNKNOWN
    if each.key == "recovered":
        return f"{sum(values):g} of {len(values)}"
    found = interval(values) if len(values) > 1 else None
    return spread(each, values[0], 0.0) if found is None else spread(each, found.mean, found.half_width)


def spread(each: Limit, mean: float, half: float) -> str:
    """A mean and half its interval in one unit: ``231 ± 12 ms``; without the second where it is nothing."""
    show = sheets.share if each.key == "success" else sheets.time
    digits, _, unit = show(mean).partition(" ")
    size = mean / float(digits.replace(",", "")) if mean else 1.0  # of the unit
    spread_ = f"{half / size:.2g}" if half < 100.0 * size else f"{half / size:.0f}"
    return f"{digits} ± {spread_} {unit}" if half / size >= 1e-4 else f"{digits} {unit}"


def worst(limits: Sequence[Limit], seen: Sequence[Observation]) -> int:
    """The place of the limit that is exceeded most, or nearest to it."""
    return max(
        range(len(limits)),
        key=lambda place: excess(limits[place], [each.scores[place] for each in seen]),
    )


def progress(label: str, finding: Finding[Any], limits: Sequence[Limit]) -> str:
    """``412/s: 8 replications, p99 231 ± 12 ms, undecided``."""
    seen = finding.observations
    place = worst(limits, seen)
    what = reading(limits[place], [each.scores[place] for each in seen])
    unstable = sum(each.unstable for each in seen)
    notes = f", {unstable} unstable" if unstable else ""
    return f"{label}: {len(seen)} replications, {limits[place].key} {what}{notes}, {finding.verdict}"

"""What a capacity search found, as sentences and small tables of text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import TypeVar

from meshsim.lab.show import sheets
from meshsim.lab.show.sheets import NOTHING, Rows, Sheet, often
from meshsim.measure import capacity as results
from meshsim.measure.intervals import interval
from meshsim.measure.latency import VERY_LATE

Evaluated = TypeVar("Evaluated", bound=results.EvaluatedLoad)

NEAREST_ROWS = 14
"""So many loads are printed: those nearest the answer, and any others that a sentence names."""
VERDICTS = {"met": "met", "missed": "missed", "undecided": "inconclusive"}
RECOVERS = {"met": "recovers", "missed": "does not", "undecided": "inconclusive"}


def limit_text(limit: results.Limit) -> str:
    """``frontend: p99 <= 100 ms``."""
    return f"{limit.service}: {_term(limit)}"


def _term(limit: results.Limit) -> str:
    if limit.key == "success":
        return f"success >= {sheets.share(limit.limit)}"
    return f"{limit.key} <= {sheets.time(limit.limit)}"


def objectives(found: results.CapacityNumbers) -> str:
    """``frontend: p99 <= 100 ms, success >= 99.9 %``."""
    terms: dict[str, list[str]] = {}
    for limit in found.objectives:
        terms.setdefault(limit.service, []).append(_term(limit))
    return "; ".join(f"{service}: {', '.join(each)}" for service, each in terms.items())


def reading(limit: results.Limit, measured: Sequence[float | None]) -> str:
    """The mean over replications of what a limit measured, with its 95 % interval: ``231 ± 12 ms``."""
    values = [value for value in measured if value is not None]
    if len(values) < len(measured) or max(values, default=VERY_LATE) >= VERY_LATE:
        return "not known"
    if limit.key == "recovered":
        return f"{sum(values):g} of {len(values)}"
    found = interval(values) if len(values) > 1 else None
    return _spread(limit, found.mean if found else values[0], found.half_width if found else 0.0)


def _spread(limit: results.Limit, mean: float, half: float) -> str:
    """A mean and half its interval in one unit: ``231 ± 12 ms``; without the second where it is nothing."""
    show = sheets.share if limit.key == "success" else sheets.time
    digits, _, unit = show(mean).partition(" ")
    size = mean / float(digits.replace(",", "")) if mean else 1.0  # of the unit
    margin = f"{half / size:.2g}" if half < 100.0 * size else f"{half / size:.0f}"
    return f"{digits} ± {margin} {unit}" if half / size >= 1e-4 else f"{digits} {unit}"


def sections(found: results.CapacityNumbers) -> Iterator[tuple[str, list[str], Sheet]]:
    """All that was found: title, sentences and table of each part."""
    if found.load is not None:
        yield "largest load", load(found, found.load), curve(found, found.load)
    if found.replicas is not None:
        yield "least replicas, at the scenario's own load", replicas(found.replicas), pools(found.replicas)
    if found.recovery is not None:
        yield "recovery", recovery(found, found.recovery), recoveries(found, found.recovery)
    if found.map is not None:
        yield "map of recovery", map_notes(found.map), map_sheet(found.map)


def load(found: results.CapacityNumbers, part: results.LargestLoad) -> list[str]:
    """The bracket, its knee and its bottleneck, in sentences."""
    lines = _bracket(found, part, "meets", "misses")
    if part.knee is not None:
        best, low, high = (each.label for each in (part.knee.best, part.knee.low, part.knee.high))
        where = f"about {best}" if part.knee.inside else f"not inside the curve: {best}"
        lines.append(f"The knee (highest goodput per latency) is {where}; {low} to {high} are as good.")
    if part.busiest is not None and part.meets is not None:
        share = sheets.share(part.busiest.utilisation)
        lines.append(f"At {part.meets.label} {part.busiest.service} has the highest utilisation: {share}.")
    return [*lines, *part.notes]


def recovery(found: results.CapacityNumbers, part: results.Recovery) -> list[str]:
    """Between which loads recovery ends, in sentences."""
    lines = _bracket(found, part, "recovers more often than not", "does not")
    return [*lines, *part.notes, _trial(part.trial)]


def _bracket(found: results.CapacityNumbers, part: results.Bracket, met: str, missed: str) -> list[str]:
    meets, misses = part.meets, part.misses
    if meets is None:
        return [] if misses is None else [f"{misses.label} {missed}; no load is known that {met}."]
    if misses is None:
        return [f"{meets.label} {met}; no load is known that {missed}."]
    width = misses.factor / meets.factor - 1.0
    apart = f"{100 * width:.1f} % apart, each with {100 * found.confidence:.0f} % confidence"
    lines = [f"{meets.label} {met}, {misses.label} {missed}: {apart}, {_confirmed(part)}."]
    if width > 1.05 * found.resolution and part.confirmed is not None:
        lines.append(
            f"Between them it is inconclusive with {found.replications_most} replications;"
            " a longer duration or a higher --at-most narrows it."
        )
    return [*lines, f"That is {meets.factor:.3g} times the scenario's own load."]


def _confirmed(part: results.Bracket | results.LeastReplicas) -> str:
    words = {True: "confirmed", False: "NOT confirmed", None: "not yet confirmed"}
    return f"{words[part.confirmed]} with fresh seeds"


def _trial(trial: results.Trial) -> str:
    return (
        f"The trigger lasts from {trial.hit:g} to {trial.over:g} s; recovery is judged"
        f" {trial.looked - trial.over:.4g} s later, from {trial.looked:.4g} s on,"
        " against the same run without it."
    )


def curve(found: results.CapacityNumbers, part: results.LargestLoad) -> Sheet:
    """One row a load, around the answer, and all that the sentences name."""
    rows: Rows = []
    for point in _shown(part, part.curve, load(found, part)):
        measured = (
            NOTHING if value is None else _spread(limit, value.mean, value.half_width)
            for limit, value in zip(found.objectives, point.measured, strict=True)
        )
        unstable = f", {point.unstable} unstable" if point.unstable else ""
        verdict = _verdict(point, found, VERDICTS) + unstable
        rows.append((point.label, str(point.replications), *measured, *_busiest(point), verdict))
    heads = [f"{limit.service} {limit.key}" for limit in found.objectives]
    columns = ("load", "runs", *heads, "busiest", "utilisation", "objectives")
    return Sheet("loads evaluated", columns, rows, words=(len(columns) - 3, len(columns) - 1))


def recoveries(found: results.CapacityNumbers, part: results.Recovery) -> Sheet:
    """One row a load, around the answer, and all that the sentences name."""
    rows: Rows = [
        (point.label, str(point.replications), str(point.recovered), _verdict(point, found, RECOVERS))
        for point in _shown(part, part.looked_at, recovery(found, part))
    ]
    return Sheet("loads evaluated", ("load", "pairs of runs", "recovered", "verdict"), rows, words=(3,))


def _busiest(point: results.CurvePoint) -> tuple[str, str]:
    busiest = point.busiest
    return (busiest.service, sheets.share(busiest.utilisation)) if busiest else (NOTHING,) * 2


def _verdict(point: results.EvaluatedLoad, found: results.CapacityNumbers, said: dict[str, str]) -> str:
    """What is known of a point; on the curve there are some with too few runs for a verdict."""
    few = point.verdict == "undecided" and point.replications < found.replications_most
    return ("not evaluated" if few else said[point.verdict]) + (" (fresh seeds)" if point.fresh else "")


def _shown(part: results.Bracket, points: Sequence[Evaluated], sentences: Sequence[str]) -> list[Evaluated]:
    """The points nearest to the answer and those that sentences name, in order."""
    answer = part.meets or part.misses
    factor = 1.0 if answer is None else answer.factor
    near = sorted(points, key=lambda point: abs(point.factor / factor - 1.0))[:NEAREST_ROWS]
    named = " ".join(sentences)
    return [
        point
        for point in points
        if point in near or re.search(rf"(?<![\d.,]){re.escape(point.label)}", named) is not None
    ]


def replicas(part: results.LeastReplicas) -> list[str]:
    """How few replicas meet, and what that rests on, in sentences."""
    if part.least is None:
        return list(part.notes)
    lines = [f"Cost {part.cost:g}, {_confirmed(part)}; the scenario's own cost {part.cost_own:g}."]
    if unclear := ", ".join(name for name, verdict in part.removals.items() if verdict == "undecided"):
        lines.append(f"No single replica can be taken away for sure; of {unclear} it is inconclusive.")
    elif part.removals:
        lines.append("No single replica can be taken away.")
    if part.exact and part.cheaper_tried:
        less = f"Combinations above the lower bounds that cost less: {part.cheaper_tried}"
        lines.append(f"{less}; all were tried, and none meets for sure.")
    elif part.exact:
        lines.append("No combination above the lower bounds costs less.")
    return [*lines, *part.notes]


def pools(part: results.LeastReplicas) -> Sheet:
    """One row a pool."""
    said = {"missed": "misses", "undecided": "inconclusive", "met": "meets", None: "at minimum"}
    rows: Rows = []
    for name, own in part.own.items():
        least, bound = (str(each[name]) if each else NOTHING for each in (part.least, part.bounds))
        fewer = said[part.removals[name]] if part.removals else ""
        rows.append((name, str(own), least, bound, f"{part.costs[name]:g}", fewer))
    columns = ("pool", "now", "least", "lower bound", "cost each", "with one fewer")
    return Sheet("replicas", columns, rows, words=(5,))


def map_sheet(part: results.RecoveryMap) -> Sheet:
    """The probability of recovery, a row each; what was not run but follows is in brackets."""
    cells = {(cell.row, cell.column): cell for cell in part.cells}
    rows = [
        (name, *(_cell(cells.get((row, column))) for column in range(len(part.columns))))
        for row, name in enumerate(part.rows)
    ]
    title = f"probability of recovery, {part.down} down, {part.across} across"
    return Sheet(title, ("", *part.columns), rows)


def _cell(cell: results.Cell | None) -> str:
    if cell is None:
        return NOTHING
    text = f"{100 * cell.share:.0f} %"
    if not cell.replications:
        return f"({text})"
    return f"{text}*" if cell.hopeless else text


def map_notes(part: results.RecoveryMap) -> list[str]:
    """How to read the map."""
    run = [cell for cell in part.cells if cell.replications]
    count = run[0].replications if run else 0
    lines = [f"{len(run)} cells were run, {often(count)} each with and without the trigger."]
    if len(run) < len(part.cells):
        lines.append("Those in brackets follow from their neighbours: more load is harder to recover from.")
    if any(cell.hopeless for cell in run):
        lines.append("* overloaded without the trigger, too, half the times or more: nothing to return to.")
    return [*lines, _trial(part.trial)]

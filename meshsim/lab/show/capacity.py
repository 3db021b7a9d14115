"""What was found, as sentences and small tables of text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from meshsim.lab.capacity import words
from meshsim.lab.capacity.limits import Limit
from meshsim.lab.show import sheets
from meshsim.lab.show.sheets import Sheet

Answer = dict[str, Any]
NEAREST_ROWS = 14
"""So many loads are printed: those nearest the answer, and any others that a sentence names."""
VERDICTS = {"met": "met", "missed": "missed", "undecided": "inconclusive"}


def objectives(answer: Answer) -> str:
    """``frontend: p99 <= 100 ms, success >= 99.9 %``."""
    found: dict[str, list[str]] = {}
    for each in answer["objectives"]:
        found.setdefault(each["service"], []).append(words.key(Limit(**each)))
    return "; ".join(f"{service}: {', '.join(terms)}" for service, terms in found.items())


def sections(answer: Answer) -> Iterator[tuple[str, list[str], Sheet | None]]:
    """All that was found: title, sentences and table of each part."""
    if answer["load"] is not None:
        yield "largest load", load(answer), curve(answer)
    if answer["replicas"] is not None:
        yield "least replicas, at the scenario's own load", replicas(answer), pools(answer)
    if answer["recovery"] is not None:
        yield "recovery", recovery(answer), recoveries(answer)
    if answer["map"] is not None:
        yield "map of recovery", chart_notes(answer), chart(answer)


# ---- load -------------------------------------------------------------------------------------------


def load(answer: Answer, met: str = "meets", missed: str = "misses", of: str = "load") -> list[str]:
    """The bracket, its knee and its bottleneck, in sentences."""
    found = answer[of]
    meets, misses = found["meets"], found["misses"]
    lines = []
    if meets is not None and misses is not None:
        width = misses["factor"] / meets["factor"] - 1.0
        lines.append(
            f"{meets['label']} {met}, {misses['label']} {missed}: {100 * width:.1f} % apart,"
            f" each with {100 * answer['confidence']:.0f} % confidence, {_confirmed(found)}."
        )
        if width > 1.05 * answer["resolution"] and found["confirmed"] is not None:
            lines.append(
                f"Between them it is inconclusive with {answer['replications_most']} replications;"
                " a longer duration or a higher --at-most narrows it."
            )
        lines.append(f"That is {meets['factor']:.3g} times the scenario's own load.")
    elif meets is not None:
        lines.append(f"{meets['label']} {met}; no load is known that {missed}.")
    elif misses is not None:
        lines.append(f"{misses['label']} {missed}; no load is known that {met}.")
    return [*lines, *_knee(found), *_bottleneck(found), *found["notes"]]


def _confirmed(found: Answer) -> str:
    words = {True: "confirmed", False: "NOT confirmed", None: "not yet confirmed"}
    return f"{words[found['confirmed']]} with fresh seeds"


def _knee(found: Answer) -> Iterator[str]:
    knee = found.get("knee")
    if knee is None:
        return
    where = (
        f"about {knee['best']['label']}"
        if knee["inside"]
        else f"not inside the curve: {knee['best']['label']}"
    )
    same = f"{knee['low']['label']} to {knee['high']['label']}"
    yield f"The knee (most goodput per latency) is {where}; {same} are as good."


def _bottleneck(found: Answer) -> Iterator[str]:
    busiest = found.get("busiest")
    if busiest is not None:
        share = sheets.share(busiest["utilisation"])
        yield f"At {found['meets']['label']} {busiest['service']} is busiest: {share}."


def curve(answer: Answer) -> Sheet:
    """One row a load, around the answer, and all that the sentences name."""
    found = answer["load"]
    limits = [Limit(**each) for each in answer["objectives"]]
    rows = [
        (
            point["label"],
            str(point["replications"]),
            *(_measured(limit, value) for limit, value in zip(limits, point["measured"], strict=True)),
            *_busy(point),
            _verdict(point, answer["replications_most"]),
        )
        for point in _shown(found, found["curve"], load(answer))
    ]
    heads = [f"{limit.service} {limit.key}" for limit in limits]
    columns = ("load", "runs", *heads, "busiest", "", "objectives")
    return Sheet("loads looked at", columns, rows, words=(len(columns) - 3, len(columns) - 1))


def _verdict(point: Answer, most: int, said: dict[str, str] = VERDICTS) -> str:
    """What is known of a point; on the curve there are some with too few runs for a verdict."""
    few = point["verdict"] == "undecided" and point["replications"] < most
    unstable = f", {point['unstable']} unstable" if point.get("unstable") else ""
    fresh = " (fresh seeds)" if point["fresh"] else ""
    return ("not evaluated" if few else said[point["verdict"]]) + fresh + unstable


def _shown(found: Answer, points: list[Answer], sentences: Sequence[str]) -> list[Answer]:
    """The points nearest to the answer and those that sentences name, in order."""
    factor = (found["meets"] or found["misses"] or {"factor": 1.0})["factor"]
    near = sorted(points, key=lambda point: abs(point["factor"] / factor - 1.0))[:NEAREST_ROWS]
    told = " ".join(sentences)
    return [
        point
        for point in points
        if point in near or re.search(rf"(?<![\d.,]){re.escape(point['label'])}", told) is not None
    ]


def _measured(limit: Limit, value: Answer | None) -> str:
    return sheets.NOTHING if value is None else words.spread(limit, value["mean"], value["half_width"])


def _busy(point: Answer) -> tuple[str, str]:
    found = point["utilisation"]
    name = max(found, key=lambda each: float(found[each]), default="")
    return (name, sheets.share(found[name])) if name else (sheets.NOTHING, sheets.NOTHING)


# ---- replicas ---------------------------------------------------------------------------------------


def replicas(answer: Answer) -> list[str]:
    """How few replicas meet, and what that rests on, in sentences."""
    found = answer["replicas"]
    if found["least"] is None:
        return list(found["notes"])
    lines = [f"Cost {found['cost']:g}, {_confirmed(found)}; the scenario's own cost {found['cost_own']:g}."]
    if found["removals"]:
        lines.append(_local(found))
    if found["exact"]:
        tried = found["cheaper_tried"]
        lines.append(
            f"Combinations above the bounds that cost less: {tried}; all were tried, and none meets for sure."
            if tried
            else "No combination above the bounds costs less."
        )
    return [*lines, *found["notes"]]


def _local(found: Answer) -> str:
    close = [name for name, verdict in found["removals"].items() if verdict == "undecided"]
    if not close:
        return "No single replica can be taken away."
    return f"No single replica can be taken away for sure; of {', '.join(close)} it is inconclusive."


def pools(answer: Answer) -> Sheet:
    """One row a pool."""
    found = answer["replicas"]
    rows: list[tuple[str, ...]]
    said = {"missed": "misses", "undecided": "inconclusive", "met": "meets"}
    rows = [
        (
            name,
            str(own),
            str(found["least"][name]) if found["least"] else sheets.NOTHING,
            str(found["bounds"][name]) if found["bounds"] else sheets.NOTHING,
            f"{found['costs'][name]:g}",
            said.get(found["removals"].get(name) or "", "at minimum" if found["removals"] else ""),
        )
        for name, own in found["own"].items()
    ]
    return Sheet("replicas", ("of", "now", "least", "bound", "cost each", "with one less"), rows, words=(5,))


# ---- recovery ---------------------------------------------------------------------------------------


def trial(found: Answer) -> str:
    """When the mesh was hit and looked at, in a sentence."""
    times = found["trial"]
    return (
        f"Hit from {times['hit']:g} to {times['over']:g} s, looked at from {times['looked']:.4g} s on,"
        f" {times['looked'] - times['over']:.4g} s after: as good as the same requests without the trigger."
    )


def recovery(answer: Answer) -> list[str]:
    """Between which loads recovery ends, in sentences."""
    said = ("recovers more often than not", "does not")
    return [*load(answer, *said, of="recovery"), trial(answer["recovery"])]


def recoveries(answer: Answer) -> Sheet:
    """One row a load, around the answer, and all that the sentences name."""
    found = answer["recovery"]
    said = {"met": "recovers", "missed": "does not", "undecided": "inconclusive"}
    rows: list[tuple[str, ...]] = [
        (
            point["label"],
            str(point["replications"]),
            str(point["recovered"]),
            _verdict(point, answer["replications_most"], said),
        )
        for point in _shown(found, found["looked_at"], recovery(answer))
    ]
    return Sheet("loads looked at", ("load", "pairs of runs", "recovered", ""), rows, words=(3,))


def chart(answer: Answer) -> Sheet:
    """The map: how likely recovery is, a row each; what was not run but follows is in brackets."""
    found = answer["map"]
    shares = {(cell["row"], cell["column"]): cell for cell in found["cells"]}
    rows = [
        (name, *(_cell(shares.get((row, column))) for column in range(len(found["columns"]))))
        for row, name in enumerate(found["rows"])
    ]
    title = f"chance of recovery, {found['down']} down, {found['across']} across"
    return Sheet(title, ("", *found["columns"]), rows)


def _cell(cell: Answer | None) -> str:
    if cell is None:
        return sheets.NOTHING
    text = f"{100 * cell['share']:.0f} %"
    if not cell["replications"]:
        return f"({text})"
    return f"{text}*" if cell["hopeless"] else text


def chart_notes(answer: Answer) -> list[str]:
    """How to read the map."""
    found = answer["map"]
    run = [cell for cell in found["cells"] if cell["replications"]]
    count = run[0]["replications"] if run else 0
    lines = [f"{len(run)} cells were run, {count} times each with and without the trigger."]
    if len(run) < len(found["cells"]):
        lines.append("Those in brackets follow from their neighbours: more load is harder to recover from.")
    if any(cell["hopeless"] for cell in run):
        lines.append("* overloaded without the trigger, too, half the times or more: nothing to return to.")
    return [*lines, trial(found)]

"""What came of many scenario files, as small tables of text."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from meshsim.lab.batch.entry import Entry, Summary
from meshsim.lab.show.sheets import NOTHING, Rows, Sheet, count, number, plural, share, time
from meshsim.measure.objectives import meets


def limits(objective: Summary, *, missed_only: bool = True) -> Iterator[tuple[str, str, str]]:
    """Of each limit of an objective: its key, the limit, and what was measured."""
    for key, measured in objective["measured"].items():
        show, sign = (share, "≥") if key == "success" else (time, "≤")
        if not (missed_only and meets(key, measured, objective[key])):
            found = "not known" if measured is None else show(measured)
            yield key, f"{sign} {show(objective[key])}", found


def wanted(objective: Summary) -> str:
    """``frontend: p99 ≤ 100 ms, success ≥ 99.9 %``."""
    terms = [f"{key} {limit}" for key, limit, _ in limits(objective, missed_only=False)]
    return f"{objective['service']}: {', '.join(terms)}"


def table(entries: Sequence[Entry]) -> Sheet:
    """One row a file."""
    rows: Rows = []
    folder = _common([entry.file for entry in entries])
    for entry in entries:
        numbers = (NOTHING,) * 5 if entry.summary is None else _numbers(entry.summary)
        seconds = NOTHING if entry.summary is None else f"{entry.seconds:.1f}"
        rows.append((entry.file.removeprefix(folder), _verdict(entry), *numbers, seconds))
    columns = ("scenario", "objectives", "success", "p99", "requests", "p50", "amplification", "seconds")
    refused, missing = (sum(entry.status == status for entry in entries) for status in ("refused", "missed"))
    title = plural(len(entries), "scenario") + (f" in {folder}" if folder else "")
    title += f", {missing} with a missed objective" if missing else ""
    title += f", {refused} refused" if refused else ""
    return Sheet(title, columns, rows, words=(1,))


def _common(names: Sequence[str]) -> str:
    """The folder that all of some files are in, ending in a slash; nothing if there is none."""
    folders = [Path(name).parent for name in names]
    if len({folder.is_absolute() for folder in folders}) != 1:
        return ""
    return str(Path(os.path.commonpath(folders), "-"))[:-1]


def _numbers(summary: Summary) -> tuple[str, ...]:
    return (
        share(summary["requests"]["success_ratio"]),
        time(summary["latency"]["p99"]),
        count(summary["requests"]["offered"]),
        time(summary["latency"]["p50"]),
        number(summary["attempts"]["amplification"]),
    )


def _verdict(entry: Entry) -> str:
    """``2 met``, ``1 of 2 MISSED``, or why there is none."""
    if entry.summary is None:
        return entry.status
    of, missed = len(entry.objectives), len(entry.missed)
    verdict = f"{missed} of {of} MISSED" if missed else f"{of} met" if of else NOTHING
    return f"{verdict}, unstable" if entry.summary["unstable"] else verdict


def missed(entries: Sequence[Entry]) -> Sheet:
    """One row a limit that was missed."""
    folder = _common([entry.file for entry in entries])
    rows: Rows = [
        (entry.file.removeprefix(folder), objective["service"], *limit)
        for entry in entries
        for objective in entry.missed
        for limit in limits(objective)
    ]
    return Sheet("missed", ("scenario", "service", "of", "wanted", "measured"), rows, words=(1, 2))

"""What came of many scenario files, as small tables of text."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from meshsim.lab.batch.entry import Entry
from meshsim.lab.show.sheets import NOTHING, Rows, Sheet, count, limits, number, plural, share, time
from meshsim.measure.objectives import ObjectiveResult


def wanted(objective: ObjectiveResult) -> str:
    """``frontend: p99 ≤ 100 ms, success ≥ 99.9 %``."""
    return f"{objective.target}: {', '.join(f'{key} {limit}' for key, limit, _, _ in limits(objective))}"


def missed_limits(objective: ObjectiveResult) -> Iterator[tuple[str, str, str]]:
    """Of each limit that was missed: its key, the limit, and what was measured."""
    for key, limit, measured, met in limits(objective):
        if not met:
            yield key, limit, "not known" if measured == NOTHING else measured


def table(entries: Sequence[Entry]) -> Sheet:
    """One row a file."""
    folder = _common([entry.file for entry in entries])
    rows: Rows = [(entry.file.removeprefix(folder), _verdict(entry), *_numbers(entry)) for entry in entries]
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


def _numbers(entry: Entry) -> tuple[str, ...]:
    summary = entry.numbers
    if summary is None:
        return (NOTHING,) * 6
    return (
        share(summary.requests.success_ratio),
        time(summary.latency.p99),
        count(summary.requests.offered),
        time(summary.latency.p50),
        number(summary.attempts.amplification),
        f"{entry.seconds:.1f}",
    )


def _verdict(entry: Entry) -> str:
    """``2 met``, ``1 of 2 MISSED``, or why there is none."""
    if entry.numbers is None:
        return entry.status
    of, missed = len(entry.objectives), len(entry.missed)
    verdict = f"{missed} of {of} MISSED" if missed else f"{of} met" if of else NOTHING
    return f"{verdict}, unstable" if entry.numbers.unstable else verdict


def missed(entries: Sequence[Entry]) -> Sheet:
    """One row a limit that was missed."""
    folder = _common([entry.file for entry in entries])
    rows: Rows = [
        (entry.file.removeprefix(folder), objective.target, *limit)
        for entry in entries
        for objective in entry.missed
        for limit in missed_limits(objective)
    ]
    return Sheet("missed", ("scenario", "service", "of", "wanted", "measured"), rows, words=(1, 2))

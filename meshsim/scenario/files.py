"""Files that a scenario names: arrival traces and measured times, next to it.

`read_files` puts their content into a document, `take_files` takes it out again.
"""

from __future__ import annotations

import csv
import hashlib
import io
import math
import stat
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path as FilePath
from typing import TYPE_CHECKING, Any

from meshsim import units
from meshsim.errors import MeshsimError, Problem, ScenarioError, shown
from meshsim.scenario.findings import Findings, entries, mapping, sequence
from meshsim.scenario.keys import children
from meshsim.scenario.names import Path, nearest

if TYPE_CHECKING:
    from _csv import Reader

MOST_BYTES = 100_000_000
MOST_INLINE = 1_000
"""Measured times that a scenario which meshsim writes has in itself; all others get files."""
TIME = "time"
Parse = Callable[[str, str], list[Any]]


@dataclass(frozen=True)
class Files:
    """Where the files that a scenario names are: in `folder`, or as text, by name, if they are none yet."""

    folder: FilePath | None = None
    contents: Mapping[str, str] = field(default_factory=dict)


def read_files(document: dict[str, Any], files: Files, findings: Findings) -> None:
    """Put the content of the files that a document names into it: `times` of traces, `values` of times."""
    for path, entry in list(_empirical(document, ())):
        if isinstance(entry.get("file"), str) and entry["file"] and "values" not in entry:
            values = _read(files, entry["file"], (*path, "file"), _measured, findings)
            entry["values"] = values if values is not None else ["0s"]  # the file's problem has been reported
            del entry["file"]
    for path, trace in _traces(document):
        if isinstance(trace.get("file"), str) and trace["file"] and "times" not in trace:
            times = _read(files, trace["file"], (*path, "file"), _trace_times, findings)
            if times is not None:
                trace["times"] = times
                _check_end(document.get("duration"), times[0], trace["file"], (*path, "file"), findings)


def take_files(document: dict[str, Any]) -> dict[str, str]:
    """Take what belongs in files out of a document and name these: all traces, and most measured times.

    A name is made of the content, so that no file ever has to take the place of another one.

    Returns the files' content by name. The document, which has `times` in its traces, is changed.
    """
    found: dict[str, str] = {}
    room = MOST_INLINE
    for _, entry in list(_empirical(document, ())):
        values = sequence(entry.get("values"))
        if len(values) <= room:
            room -= len(values)
            continue
        del entry["values"]
        entry["file"] = _named("times", "txt", map(units.duration, values), found)
    for _, trace in _traces(document):
        times = trace.pop("times", ())
        if times:
            trace["file"] = _named("trace", "csv", [TIME, *map(float, times)], found)
    return found


def _named(kind: str, ending: str, lines: Iterable[object], found: dict[str, str]) -> str:
    text = "".join(f"{line}\n" for line in lines)
    name = f"{kind}-{hashlib.sha256(text.encode()).hexdigest()[:16]}.{ending}"
    found[name] = text
    return name


def read_bytes(path: FilePath, most: int) -> bytes:
    """At most one byte more than `most` of a file; a MeshsimError, without the name, if it can't be read."""
    try:
        with path.open("rb") as file:
            return file.read(most + 1)
    except FileNotFoundError:
        raise MeshsimError("no such file") from None
    except IsADirectoryError:
        raise MeshsimError("is a folder, not a file") from None
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise MeshsimError(f"can't be read: {getattr(error, 'strerror', None) or error}") from None


def decode(data: bytes, most_bytes: int) -> str:
    """Bytes as text; a MeshsimError, without the file's name, where they are too many or not UTF-8."""
    if len(data) > most_bytes:
        raise MeshsimError(f"is larger than {most_bytes // 1_000_000} MB")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise MeshsimError(f"is not UTF-8 text (line {line}); save it as UTF-8") from None


def _empirical(node: object, path: Path) -> Iterator[tuple[Path, dict[str, Any]]]:
    """Every ``empirical: {...}``, wherever a time stands. Documents are not deep: this may recurse."""
    if isinstance(node, dict) and path[-1:] == ("empirical",):
        yield path, node
    for part, entry in children(node):
        yield from _empirical(entry, (*path, part))


def _traces(document: dict[str, Any]) -> Iterator[tuple[Path, dict[str, Any]]]:
    for path, load in entries(document, "load"):
        yield (*path, "arrivals", "trace"), mapping(mapping(load.get("arrivals")).get("trace"))


def _read(files: Files, name: str, path: Path, parse: Parse, findings: Findings) -> list[Any] | None:
    """A file's content; None and a problem where it is of no use."""
    folder = files.folder or FilePath()
    place = folder / name
    try:
        text = files.contents.get(name)
        if text is None:
            if place.exists() and not stat.S_ISREG(place.stat().st_mode):
                # A pipe would be waited for, a device never ends
                raise MeshsimError("is not an ordinary file")
            text = decode(read_bytes(place, MOST_BYTES), MOST_BYTES)
    except (MeshsimError, OSError, ValueError) as error:
        findings.add(path, f"{shown(name)}: {error}", f"files are looked for in {folder.absolute()}")
        return None
    try:
        return parse(text, name)
    except ScenarioError as error:
        for problem in error.problems:
            findings.place(problem)
    return None


def _check_end(duration: object, first: float, name: str, place: Path, findings: Findings) -> None:
    """Refuse a trace that begins when the run is over, such as one whose times count from 1970."""
    try:
        end = units.duration(duration)
    except ValueError:
        return  # which the models say
    if first >= end > 0.0:
        late = f"the first request is due at {first:.15g} s, and the run ends at {end:.15g} s"
        remedy = "take the first one off all, or lengthen duration"
        findings.add(
            place, f"{shown(name)}: {late}", f"times are seconds from the start of the run: {remedy}"
        )


def _trace_times(text: str, name: str) -> list[float]:
    """The column `time` of a CSV file, in order, s."""
    try:
        header = [column.strip() for column in next(_rows(text), [])]
    except csv.Error as error:
        raise ScenarioError.at(name, 1, f"not CSV: {error}") from None
    if TIME not in header:
        close = nearest(TIME, header)
        remedy = f"did you mean {close}?" if close else "begin with a line that names it"
        raise ScenarioError.at(name, 1, "has no column time", remedy)
    if header.count(TIME) > 1:
        raise ScenarioError.at(name, 1, f"has {header.count(TIME)} columns time", "rename all but one")
    column = header.index(TIME)
    try:
        # Traces have millions of rows: look for the one that is wrong only when one is
        rows = _rows(text)
        next(rows)
        times, widest = [], 0
        for row in rows:
            if row:
                times.append(_seconds(row[column]))
                widest = max(widest, len(row))
        wrong = not all(map(math.isfinite, times)) or min(times, default=0.0) < 0.0
        wrong = wrong or widest > len(header) or times != sorted(times)
    except (csv.Error, ValueError, IndexError):
        wrong = True
    if wrong:
        raise ScenarioError([_wrong_row(text, column, name)])
    if not times:
        raise ScenarioError.at(name, 1, "has no arrivals", "write one time a line")
    return times


def _rows(text: str) -> Reader:
    """The rows of a CSV file, whatever ends its lines."""
    return csv.reader(io.StringIO(text, newline=None), strict=True)


def _seconds(cell: str) -> float:
    """A number in ASCII digits; Python itself takes ``1_000`` and the digits of every script."""
    if "_" in cell or not cell.isascii():
        raise ValueError
    return float(cell)


def _wrong_row(text: str, column: int, name: str) -> Problem:
    """The first row of a trace that is not as it should be."""
    rows = _rows(text)
    remedy = "write seconds from the start, such as 1.25"
    before = "0"
    try:
        columns = len(next(rows))
        for row in filter(None, rows):
            cell = row[column].strip() if column < len(row) else ""
            if not cell:
                return Problem(name, rows.line_num, TIME, "the time is missing", remedy)
            if len(row) > columns:
                many = f"has {len(row)} cells, and the first line {columns}"
                return Problem(name, rows.line_num, TIME, many, "write 1.25 with a point, or quote the cell")
            if not _is_time(cell):
                return Problem(name, rows.line_num, TIME, f"{_number(cell)} is not a valid time", remedy)
            if float(cell) < float(before):
                back = f"{shown(cell)} comes after {shown(before)}"
                return Problem(name, rows.line_num, TIME, back, "sort the lines by time")
            before = cell
    except csv.Error as error:
        return Problem(name, rows.line_num, "", f"not CSV: {error}")
    raise AssertionError("a row was wrong a moment ago")


def _number(cell: str) -> str:
    """A cell as a message may show it: as it is if it is a number, and no other text.

    A scenario from somebody else can name any file that its user can read, and what its lines say has no
    business in the messages, which end in logs and reports; the line's number finds it.
    """
    try:
        _seconds(cell)
    except ValueError:
        return "what stands there"
    return shown(cell)


def _is_time(cell: str) -> bool:
    try:
        return 0.0 <= _seconds(cell) < math.inf
    except ValueError:
        return False


def _measured(text: str, name: str) -> list[str]:
    """The durations of a file with one a line, each as the models read it."""
    values = []
    for number, line in enumerate(text.splitlines(), 1):
        cell = line.strip()
        if cell:
            remedy = "write one a line, such as 5ms or 0.005"
            try:
                seconds = units.duration(cell if cell[-1].isalpha() else f"{cell}s")
            except ValueError:
                message = f"{_number(cell)} is not a valid duration"
                raise ScenarioError.at(name, number, message, remedy) from None
            if seconds > units.LONGEST:
                message = f"{shown(cell)} is longer than a run can be (without a unit it is seconds)"
                raise ScenarioError.at(name, number, message, remedy)
            values.append(f"{seconds!r}s")
    if not values:
        raise ScenarioError.at(name, 1, "has no values", "write one duration a line")
    return values

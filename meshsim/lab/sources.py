"""The scenario files that a user means who names files and folders."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from meshsim.errors import Problem, ScenarioError, printable
from meshsim.lab.files import RESULTS, reason
from meshsim.scenario.document import Document
from meshsim.scenario.load import STDIN, load_placed
from meshsim.scenario.model import Scenario
from meshsim.scenario.names import Distinct, folder_name
from meshsim.scenario.overrides import Overrides
from meshsim.scenario.yaml_nodes import MOST_BYTES

ENDINGS = (".yaml", ".yml")
KEY = re.compile(r"""^["']?([A-Za-z_]+)["']?[ \t]*:""", re.MULTILINE)
KEY_IN_FLOW = re.compile(r"""["']?([A-Za-z_]+)["']?[ \t]*:""")
SERVICES, ELSEWHERE = "services", "apiVersion"
OWN = frozenset(Scenario.model_fields) - {SERVICES, "name", "description", "schema_version"}
"""Keys of a scenario that other files with `services` (of Docker Compose, say) don't have."""


@dataclass(frozen=True, slots=True)
class Source:
    """A file to be read as a scenario, with a unique `name` for results; `wrong` is why not, if known."""

    file: str
    name: str
    wrong: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """A YAML file in a folder that is not read, and why."""

    file: str
    reason: str


def sources(paths: Sequence[str | Path], out: str | Path | None = None) -> tuple[list[Source], list[Skipped]]:
    """Finds scenario files, those named and those in named folders, however deep; and what was skipped.

    Files are taken as they are; of folders, those ending in .yaml or .yml that look like scenarios, in order
    of their names, but for folders whose names begin with a dot, and `out`, the folder for results.
    """
    found: dict[str, Source] = {}
    skipped: dict[str, Skipped] = {}
    distinct = Distinct()

    def add(file: str, folder: str, wrong: str = "") -> None:
        same = _resolved(file)
        if same not in found:
            name = distinct.name(_name(file, folder))
            if file.encode(errors="replace").decode() != file:  # no text, so it could stand in no table
                file, wrong = printable(file), "its name is no UTF-8; rename it"
            found[same] = Source(file, name, wrong)

    for path in map(str, paths):
        if path == STDIN or not os.path.isdir(path):  # noqa: PTH112 - False for what can't be a path
            add(path, "")
            continue
        unlike, refused = dict[str, Skipped](), list[OSError]()
        inside = list(_inside(path, out, refused.append))
        for file in inside:
            if why := _why_not(Path(file)):
                unlike[_resolved(file)] = Skipped(file, why)
            else:
                add(file, path)
        for error in refused:
            add(str(error.filename), path, f"can't be read: {reason(error)}")
        if len(unlike) == len(inside) and not refused:
            add(path, "", f"holds no scenario (a YAML file with {SERVICES} and a load)")
        skipped |= unlike
    return list(found.values()), [each for same, each in skipped.items() if same not in found]


def _resolved(file: str) -> str:
    try:
        return file if file == STDIN else os.path.realpath(file)
    except ValueError:  # a NUL, or a character that no file's name can have
        return file


def read(source: Source, overrides: Overrides = ()) -> Scenario:
    """Reads a file that was found; ScenarioError if it can't be used."""
    return read_placed(source, overrides)[0]


def read_placed(source: Source, overrides: Overrides = ()) -> tuple[Scenario, Document]:
    """The same, with the document, which knows the line of each key."""
    if source.wrong:
        raise ScenarioError([Problem(source.file, 0, "", source.wrong)])
    return load_placed(source.file, overrides)


def _inside(folder: str, out: str | Path | None, refused: Callable[[OSError], None]) -> Iterator[str]:
    """The YAML files in a folder and those below it, in order; `refused` gets what can't be read."""
    leave = None if out is None else os.path.realpath(out)
    for place, folders, files in os.walk(folder, onerror=refused):
        folders[:] = sorted(
            name
            for name in folders
            if not name.startswith(".") and os.path.realpath(Path(place) / name) != leave
        )
        for name in sorted(files):
            path = Path(place) / name
            if path.suffix in ENDINGS and path.is_file():  # no pipe, on which reading would wait
                yield str(path)


def _why_not(file: Path) -> str:
    """Why a file in a folder is not read as a scenario; empty if it is."""
    beside = RESULTS.get(file.name)
    if beside is not None and (file.parent / beside).exists():
        return f"part of the results in {file.parent}"
    try:
        with file.open("rb") as content:
            text = content.read(MOST_BYTES).decode("utf-8-sig", errors="replace")
    except OSError:
        return ""  # reported by whoever reads it
    return "" if looks_like_scenario(text) else f"no scenario: it has no {SERVICES} with a load"


def looks_like_scenario(text: str) -> bool:
    """Whether a YAML text is meant as a scenario, right or wrong, by the keys at its top.

    Kubernetes' files have an ``apiVersion``; those of Docker Compose `services`, but no other of our keys.
    """
    first = next((line for line in text.splitlines() if not re.match(r"\s*(#|---|$)", line)), "")
    keys = set((KEY_IN_FLOW if first.lstrip().startswith("{") else KEY).findall(text))
    return SERVICES in keys and ELSEWHERE not in keys and bool(keys & OWN)


def _name(file: str, folder: str) -> str:
    """A name for a file's results: its path below the folder that was named, without the ending."""
    path = Path("stdin" if file == STDIN else file)
    below = path.relative_to(folder) if folder else Path(path.name)
    return folder_name("-".join((*below.parts[:-1], below.stem)), "scenario")

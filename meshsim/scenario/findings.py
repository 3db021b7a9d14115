"""What the checks of a scenario find, gathered so that all of it is reported at once."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator
from typing import Any, NamedTuple

from meshsim.errors import Problem, ScenarioError, shown
from meshsim.scenario.document import Document
from meshsim.scenario.names import Path, dotted, suggestion

MOST_REPORTED = 100
SWEEP, VARY = "sweep", "--vary"
"""The key of a scenario that is swept, and what the place of a sweep from elsewhere is called."""


class Finding(NamedTuple):
    """Something wrong with what stands at a path."""

    path: Path
    message: str
    remedy: str = ""


class Findings:
    """Problems of one document, each placed in its file and line; the first hundred of them."""

    def __init__(self, document: Document) -> None:
        self.document = document
        self._problems: dict[tuple[str, str], Problem] = {}
        self._more = False
        for problem in document.problems:
            self.place(problem)

    def add(self, path: Path, message: str, remedy: str = "") -> None:
        """Note a problem at a path."""
        file, line = self.document.place(path)
        if file == VARY and path[:1] == (SWEEP,):
            path = path[1:]  # who varies a key there writes no `sweep` before it
        self.place(Problem(file, line, dotted(path), message, remedy))

    def add_unknown(self, path: Path, what: str, name: str, names: Collection[str]) -> None:
        """Note a name that nothing has, with the nearest that something has."""
        if len(self._problems) >= MOST_REPORTED:  # finding the nearest name takes time
            self._more = True
        else:
            self.add(path, f"no {what} {shown(name)}", suggestion(name, names))

    def extend(self, findings: Iterable[Finding]) -> None:
        """Note several."""
        for finding in findings:
            self.add(*finding)

    def place(self, problem: Problem) -> None:
        """Note a problem that knows its place."""
        if (problem.key, problem.message) in self._problems:
            return
        if len(self._problems) >= MOST_REPORTED:
            self._more = True
        else:
            self._problems[problem.key, problem.message] = problem

    def __iter__(self) -> Iterator[Problem]:
        return iter(self._problems.values())

    def __contains__(self, problem: Problem) -> bool:
        """Whether a key's problem is noted, wherever its place."""
        return (problem.key, problem.message) in self._problems

    def raise_any(self) -> None:
        """Raise a ScenarioError of all that was found, if anything was."""
        problems = list(self._problems.values())
        if self._more:
            more = "has more problems than these"
            problems.append(Problem(self.document.file, 0, "", more, "mend these first"))
        if problems:
            raise ScenarioError(problems)


def mapping(value: Any) -> dict[str, Any]:
    """A mapping as it is, anything else as an empty one: checks go on where types are wrong."""
    return value if isinstance(value, dict) else {}


def sequence(value: Any) -> list[Any]:
    """A list as it is, anything else as an empty one."""
    return value if isinstance(value, list) else []


def entries(document: dict[str, Any], key: str) -> Iterator[tuple[Path, dict[str, Any]]]:
    """The mappings in the list of a key, with their paths."""
    for index, entry in enumerate(sequence(document.get(key))):
        if isinstance(entry, dict):
            yield (key, index), entry

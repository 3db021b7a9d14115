"""What goes wrong, reported so that it can be mended: file, line, key, value and remedy.

Simulated failures (a time-out, a full queue) are data, never exceptions; these classes are for
the user's input and for limits of the tool.
"""

from __future__ import annotations

import reprlib
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

_REPR = reprlib.Repr()
_REPR.maxstring = _REPR.maxother = 60
_REPR.maxlevel = 2


JOINERS = "\u200c\u200d"
"""Invisible, but parts of names in several scripts, and of emoji."""


def printable(text: str, *, lines: bool = False) -> str:
    r"""Text of others as a terminal may get it.

    Names, keys, paths and what programs say may hold whatever moves a terminal's cursor, colours it, sets its
    title or turns the direction of reading. Such characters are written as Python writes them: ``\x1b``.

    With `lines`, its ends of lines are meant.
    """
    if text.isprintable():
        return text
    return "".join(
        char if _harmless(char) or (lines and char == "\n") else char.encode("unicode_escape").decode()
        for char in text
    )


def _harmless(char: str) -> bool:
    return char.isprintable() or char in JOINERS or unicodedata.category(char) == "Zs"  # spaces


def shown(value: object) -> str:
    """A value as a message shows it: much like its repr, but short, so that no input floods a terminal."""
    if value is None or isinstance(value, bool):
        return {None: "nothing", True: "true", False: "false"}[value]
    if isinstance(value, int) and abs(value) > 10**30:
        return "a huge number"  # Python refuses to print the longest
    return _REPR.repr(value)


def halves(error: Exception) -> tuple[str, str]:
    """What is wrong and what to write: the two halves of a parser's message, around its last semicolon."""
    message, semicolon, remedy = str(error).rpartition("; ")
    return (message, remedy) if semicolon else (remedy, "")


class MeshsimError(Exception):
    """Anything meshsim reports to its user: one clear message, and the exit code on the command line."""

    code = 2


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong with a scenario.

    Attributes:
        file: as the user gave it (``-`` for standard input).
        line: from 1; 0 where the problem has no place of its own.
        key: as ``--set`` would take it (``policies.cart.timeout``).
        message: what is wrong, value included.
        remedy: what to write instead; may be empty.
    """

    file: str
    line: int
    key: str
    message: str
    remedy: str = ""

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}" if self.line else self.file
        key = f" {self.key}:" if self.key else ""
        remedy = f" ({self.remedy})" if self.remedy else ""
        return printable(f"{place}:{key} {self.message}{remedy}")


class ScenarioError(MeshsimError):
    """A scenario that can't be used: all its problems at once, in order of line."""

    def __init__(self, problems: Sequence[Problem]) -> None:
        self.problems = tuple(sorted(problems, key=lambda problem: (problem.line, problem.key)))
        super().__init__("\n".join(map(str, self.problems)))

    @classmethod
    def at(cls, file: str, line: int, message: str, remedy: str = "") -> ScenarioError:
        """The error of a single problem, in a line of a file, or in no line of its own (0)."""
        return cls([Problem(file, line, "", message, remedy)])

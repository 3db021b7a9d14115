"""What came of one of many scenario files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from meshsim.errors import Problem
from meshsim.measure.objectives import ObjectiveResult
from meshsim.measure.summary import Summary

OK, MISSED, REFUSED, UNFINISHED = "ok", "missed", "refused", "unfinished"


@dataclass(frozen=True, slots=True)
class Entry:
    """The result of one file.

    `status` is ``ok``; ``missed``, an objective; ``refused``: the file can't be used, the run not be made, or
    its results not be saved (`problems` says why); ``unfinished``: Ctrl-C came first.
    """

    file: str
    name: str
    status: str = UNFINISHED
    seconds: float = 0.0
    numbers: Summary | None = field(default=None, repr=False)
    problems: tuple[Problem, ...] = ()

    @property
    def summary(self) -> dict[str, Any] | None:
        """Of the run, as its `summary.json` has it; None where there is none."""
        return None if self.numbers is None else self.numbers.as_dict()

    @property
    def objectives(self) -> list[ObjectiveResult]:
        """Of the run, with what was measured."""
        return [] if self.numbers is None else self.numbers.objectives

    @property
    def missed(self) -> list[ObjectiveResult]:
        """Those that were not met."""
        return [objective for objective in self.objectives if not objective.met]

"""What came of one of many scenario files."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from meshsim.errors import Problem

Summary = dict[str, Any]

OK, MISSED, REFUSED, UNFINISHED = "ok", "missed", "refused", "unfinished"


@dataclass(frozen=True, slots=True)
class Entry:
    """What came of one file.

    Attributes:
        file: as it was named or found.
        name: of the folder of its results.
        status: ``ok``; ``missed``, an objective; ``refused``: the file can't be used, the run not be made, or
            its results not be written; ``unfinished``: Ctrl-C came first.
        seconds: that the run took.
        summary: of the run, as its `summary.json` has it; None where there is none.
        problems: why it was refused.
    """

    file: str
    name: str
    status: str = UNFINISHED
    seconds: float = 0.0
    summary: Summary | None = field(default=None, repr=False)
    problems: tuple[Problem, ...] = ()

    @property
    def objectives(self) -> list[Summary]:
        """Of the run, with what was measured."""
        return [] if self.summary is None else list(self.summary["objectives"])

    @property
    def missed(self) -> list[Summary]:
        """Those that were not met."""
        return [objective for objective in self.objectives if not objective["met"]]

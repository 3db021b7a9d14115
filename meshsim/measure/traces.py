"""What became of the spans that were sent to a tracing back end."""

from __future__ import annotations

from dataclasses import dataclass

from meshsim.measure.result import Result


@dataclass(frozen=True, slots=True)
class TraceExport(Result):
    """Spans by what became of them: taken by the receiver at `url`, rejected by it, or dropped here.

    `began` is when scenario time 0 was, or is said to have been, s since 1970; `retries` are requests that
    were sent again; `problems` says why spans were rejected or dropped, how many, and what else is wrong;
    `interrupted` whether Ctrl-C ended the sending.
    """

    url: str
    began: float
    sent: int
    rejected: int
    dropped: int
    retries: int
    problems: dict[str, int]
    interrupted: bool

    def outcome(self) -> str:
        """How many were taken, and by whom."""
        return f"Sent {self.sent:,} spans to {self.url}"

    def words(self) -> list[str]:
        """What a reader must know: nothing if all were taken without a word."""
        whole = self.sent + self.rejected + self.dropped
        why = "; ".join(f"{what} ({count:,})" for what, count in self.problems.items())
        if not (self.rejected or self.dropped):
            return [f"{self.url} took all {whole:,} spans, but: {why}."] if why else []
        return [f"Of {whole:,} spans, {self.rejected + self.dropped:,} did not reach {self.url}: {why}."]

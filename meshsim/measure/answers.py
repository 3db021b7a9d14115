"""How requests were answered over a whole run, warm-up included: what a proxy's counters would show."""

from __future__ import annotations

from dataclasses import dataclass, field, replace

from meshsim.measure.grid import Floats


@dataclass(frozen=True, slots=True)
class Durations:
    """How long requests took, up to each of T times: (20, T) `counts`, by Istio's buckets; (T,) sums, ms."""

    counts: Floats
    total_ms: Floats

    def plus(self, other: Durations) -> Durations:
        """Of both together."""
        return Durations(self.counts + other.counts, self.total_ms + other.total_ms)


@dataclass(frozen=True, slots=True)
class Answers:
    """Requests that were answered alike, as one side of them saw it.

    Attributes:
        edge: its index; None for those of all callers, where the destination can't tell them apart.
        service: that was called.
        version: of it; empty where that is not known.
        code: HTTP status, 0 for one that was cancelled; None where it is not known: of all together.
        flags: as an access log has them; empty for none.
        count: (T,) how many up to each of T times; None where only `durations` are known.
        durations: None where they are known of all together only.
    """

    edge: int | None
    service: str
    version: str
    code: int | None
    flags: str
    count: Floats | None
    durations: Durations | None = None

    def plus(self, other: Answers) -> Answers:
        """Both together, of which the same is known."""
        return replace(
            self,
            count=None if self.count is None or other.count is None else self.count + other.count,
            durations=(
                None
                if self.durations is None or other.durations is None
                else self.durations.plus(other.durations)
            ),
        )


@dataclass(slots=True)
class Totals:
    """What a run without rows counts from its start: calls, visits, and ejections by edge index."""

    calls: list[Answers] = field(default_factory=list)
    visits: list[Answers] = field(default_factory=list)
    ejections: dict[int, int] = field(default_factory=dict)

"""What a proxy counts of an edge while it runs, as it reports to the launcher twice a second.

Everything is counted since the start, so that a report may be lost, and the sum over proxies, or the
difference of two reports, is what was counted in both, or in between. Latencies are in the buckets of
`meshsim.mesh.histogram`, which add up too.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field, fields

from meshsim.live import Message
from meshsim.mesh.histogram import representative


@dataclass(slots=True)
class EdgeCounts:
    """Of one edge, at one or several of its callers' proxies; `ok` calls ended with a status below 400.

    `ejected`, `active` (as the circuit breaker counts) and `pending` (for a connection) are as of now.
    """

    calls: int = 0
    ok: int = 0
    attempts: int = 0
    retries: int = 0
    hedges: int = 0
    ejections: int = 0
    ejected: int = 0
    active: int = 0
    pending: int = 0
    latency: Counter[int] = field(default_factory=Counter)

    def message(self) -> Message:
        """As it is sent."""
        return {**{name: getattr(self, name) for name in NUMBERS}, "latency": list(self.latency.items())}

    @classmethod
    def of(cls, message: Message) -> EdgeCounts:
        """The counts in a message."""
        return cls(**{**message, "latency": Counter(dict(message["latency"]))})

    @classmethod
    def pooled(cls, each: Iterable[EdgeCounts]) -> EdgeCounts:
        """The sum."""
        total = cls()
        for one in each:
            for name in NUMBERS:
                setattr(total, name, getattr(total, name) + getattr(one, name))
            total.latency.update(one.latency)
        return total

    def since(self, before: EdgeCounts) -> EdgeCounts:
        """What has been counted since an earlier report; what is now stays as it is now."""
        passed = {name: getattr(self, name) - getattr(before, name) for name in NUMBERS if name not in NOW}
        now = {name: getattr(self, name) for name in NOW}
        return EdgeCounts(**passed, **now, latency=self.latency - before.latency)

    def quantile(self, share: float) -> float | None:
        """The latency that a share of the calls does not exceed, s; None without calls."""
        left = share * self.latency.total()
        for number in sorted(self.latency):
            left -= self.latency[number]
            if left <= 0.0:
                return representative(number)
        return None


NUMBERS = tuple(each.name for each in fields(EdgeCounts) if each.name != "latency")
NOW = ("ejected", "active", "pending")


def edge_report(edges: Mapping[str, EdgeCounts]) -> Message:
    """What a proxy reports: the message of each edge, and how much is under way."""
    active = sum(counts.active + counts.pending for counts in edges.values())
    return {"edges": {edge: counts.message() for edge, counts in edges.items()}, "active": active}


def by_edge(reports: Iterable[Message]) -> dict[str, EdgeCounts]:
    """The sum of what proxies report, by edge (``"a -> b"``)."""
    found: dict[str, list[EdgeCounts]] = {}
    for report in reports:
        for edge, message in report.get("edges", {}).items():
            found.setdefault(edge, []).append(EdgeCounts.of(message))
    return {edge: EdgeCounts.pooled(counts) for edge, counts in found.items()}

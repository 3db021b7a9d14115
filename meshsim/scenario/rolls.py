"""What events that scale or restart do to the replicas of a service: how many each may start, or let go."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

Group = tuple[str, str]
"""A service and a version of it."""


@dataclass(frozen=True, slots=True)
class Roll:
    """What one event does to one version: so many were wanted `before`, and are `wanted` from then on."""

    group: Group
    before: int
    wanted: int
    restarts: bool

    @property
    def more(self) -> int:
        """How many replicas it may start, at most."""
        return self.wanted if self.restarts else max(0, self.wanted - self.before)

    @property
    def leave(self) -> bool:
        """Whether some leave that may have been ready."""
        return self.before > 0 and (self.restarts or self.wanted < self.before)


def rolls(
    start: Mapping[Group, int], events: Iterable[tuple[Sequence[Group], int | None, bool]]
) -> list[Roll]:
    """Of events in order of time, what each does to each version that it is about.

    `start` is how many replicas each version has at first; an event has the versions, how many they are to
    have, or None, and whether it restarts them.
    """
    found: list[Roll] = []
    wanted = dict(start)
    for groups, replicas, restarts in events:
        for group in groups:
            before = wanted[group]
            wanted[group] = before if replicas is None else replicas
            found.append(Roll(group, before, wanted[group], restarts))
    return found

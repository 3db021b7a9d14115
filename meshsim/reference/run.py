"""What everything in a run shares."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from meshsim.measure.measurements import Push
from meshsim.reference.clock import Clock
from meshsim.reference.tables import AttemptRow, CallRow, RequestRow
from meshsim.scenario.model import Scenario


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a scenario: `did` counts how often each mechanism acted; rows come as they began."""

    scenario: Scenario
    seed: int
    clock: Clock = field(default_factory=Clock)
    requests: list[RequestRow] = field(default_factory=list)
    calls: list[CallRow] = field(default_factory=list)
    attempts: list[AttemptRow] = field(default_factory=list)
    ejections: list[tuple[float, int, int]] = field(default_factory=list)
    connections: list[tuple[float, int, str]] = field(default_factory=list)
    certificates: list[tuple[float, int, str]] = field(default_factory=list)
    pushes: list[Push] = field(default_factory=list)
    lives: dict[int, tuple[float, float]] = field(default_factory=dict)
    did: Counter[str] = field(default_factory=Counter)

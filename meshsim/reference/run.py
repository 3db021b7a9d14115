"""What everything in a run shares."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from meshsim.reference.clock import Clock
from meshsim.reference.tables import Tables
from meshsim.scenario.model import Scenario


@dataclass(frozen=True, slots=True)
class Run:
    """One run of a scenario: `did` counts how often each mechanism acted."""

    scenario: Scenario
    seed: int
    clock: Clock = field(default_factory=Clock)
    tables: Tables = field(default_factory=Tables)
    did: Counter[str] = field(default_factory=Counter)

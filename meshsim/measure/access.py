"""What the verb `access` finds about a scenario's access rules."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from meshsim.measure.result import LEFT_OUT, Result


@dataclass(frozen=True)
class DeniedCall(Result):
    """A call of the scenario that the rules deny.

    Attributes:
        caller, service, endpoint: whose call of what; the endpoint ``""`` is the service itself.
        since: from when on, s.
        rule: the key of the rule that denies it; None where none allows it.
        line: of that rule; 0 where there is none.
        why: in words.
    """

    caller: str
    service: str
    endpoint: str
    since: float
    rule: str | None
    line: int
    why: str


@dataclass(frozen=True)
class SpareRule(Result):
    """A rule that no call of the scenario needs.

    Attributes:
        rule, line: its key, and where it stands.
        kind: `unmatched` (no request to an endpoint matches it), `covered` (without it all is decided alike)
            or `unused` (it decides no call of the scenario).
        why: in words.
    """

    rule: str
    line: int
    kind: str
    why: str


@dataclass(frozen=True)
class AccessReport(Result):
    """The least rules for a scenario's calls, and what the written ones do.

    Attributes:
        calls: (caller, service, endpoint) that loads and scripts name: how many.
        proposal: rules, as a file has them.
        allowed: calls that the proposal allows, at every time; it is `calls` unless a note says why not.
        closed: pairs of callers and services that the proposal denies altogether; of `pairs`.
        denied: calls that the written rules deny.
        spare: written rules that no call needs.
        notes: what the proposal depends on.
    """

    scenario: str
    calls: int
    proposal: list[dict[str, Any]]
    allowed: int
    closed: int
    pairs: int
    denied: list[DeniedCall]
    spare: list[SpareRule]
    notes: list[str]
    rules: int = field(default=0, metadata=LEFT_OUT)

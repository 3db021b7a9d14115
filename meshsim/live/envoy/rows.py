"""What an Envoy has logged, as the columns that a proxy of meshsim's own hands in.

They are those of `meshsim.live.merge`: calls, attempts, ejections and connections.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from math import isnan, nan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshsim.live.envoy.accesslog import CallRow, Ejection, TryRow
from meshsim.live.envoy.proxy import INBOUND
from meshsim.live.merge import ATTEMPTS, CALLS, CONNECTIONS, EJECTIONS, hedged
from meshsim.mesh.attempt import FIRST, HEDGE, RETRY
from meshsim.policies.outcome import NAMES, add_flag
from meshsim.random import derive
from meshsim.scenario.model import Scenario
from meshsim.scenario.topology import Topology

Asked = tuple[str, str]
"""Service and endpoint."""

VIA_UPSTREAM = "via_upstream"
"""Envoy's detail of an answer that is the upstream's own."""


def rows(
    scenario: Scenario,
    caller: str,
    calls: Sequence[CallRow],
    tries: Sequence[TryRow],
    ejections: Sequence[Ejection],
    connections: Sequence[tuple[float, int, int]] = (),
    mesh: Topology | None = None,
) -> dict[str, NDArray[Any]]:
    """The columns of the proxy of a service or ``client``; no calls from outside or without a route.

    `mesh` knows of replicas that have come besides those of the scenario.
    """
    hedging = {(service, endpoint) for who, service, endpoint in hedged(scenario) if who == caller}
    topology = mesh or Topology(scenario)
    edges, routes = topology.number_of, topology.route_number
    numbers = {replica.name: replica.number for replica in topology.replicas}
    made = [call for call in calls if call.listener != INBOUND and (caller, call.service) in edges]
    sent = [(each, number) for each, number in numbered(tries, hedging) if not isnan(each.sent)]
    sent_of = Counter((each.call, each.request_id) for each, _ in sent)

    def kind(each: TryRow, number: int) -> int:
        return FIRST if number == 0 else HEDGE if _asked(each) in hedging else RETRY

    call_rows = [
        (
            call.key, routes[caller, *_asked(call)], call.request_start, call.start, call.end, call.status,
            packed(_meant(call, hedging)), call.extra, sent_of[call.key, call.request_id],
            numbers.get(call.replica, -1) if call.details == VIA_UPSTREAM else -1,
        )
        for call in made
    ]  # fmt: skip
    attempt_rows = [
        (
            derive(each.call, number), routes[caller, *_asked(each)], numbers[each.replica],
            kind(each, number), each.extra or number > 0, each.request_start, each.sent, each.end,
            nan if each.refused else each.sent, each.end if each.status else nan, each.status,
        )
        for each, number in sent
    ]  # fmt: skip
    ejection_rows = [(each.time, edges[caller, each.service], numbers[each.replica]) for each in ejections]
    return {
        **_columns("calls", CALLS, call_rows),
        **_columns("attempts", ATTEMPTS, attempt_rows),
        **_columns("ejections", EJECTIONS, ejection_rows),
        **_columns("connections", CONNECTIONS, connections),
    }


def _asked(row: CallRow | TryRow) -> Asked:
    return row.service, row.endpoint


def _columns(
    table: str, kinds: Mapping[str, str], rows: Sequence[tuple[Any, ...]]
) -> dict[str, NDArray[Any]]:
    return {
        f"{table}.{name}": np.array([row[place] for row in rows], dtype=kind)
        for place, (name, kind) in enumerate(kinds.items())
    }


def numbered(tries: Sequence[TryRow], hedging: Collection[Asked]) -> list[tuple[TryRow, int]]:
    """Each try and its number in its call, which for concurrent ones follows from their order."""
    found = []
    launched = Counter[tuple[int, str]]()
    for each in sorted(tries, key=lambda each: each.launched):
        of = (each.call, each.request_id)
        found.append((each, launched[of] if _asked(each) in hedging else each.number))
        launched[of] += 1
    return found


def packed(flags: Sequence[str]) -> int:
    """Flags as `meshsim.policies.outcome` keeps them; those it has no name for are left out."""
    found = 0
    for flag in flags:
        found = add_flag(found, NAMES.index(flag) if flag in NAMES else 0)
    return found


def _meant(call: CallRow, hedging: Collection[Asked]) -> Sequence[str]:
    """A call's flags; what Envoy says of a hedge that was one too many, as of a retry, is left out."""
    if _asked(call) not in hedging:
        return call.flags
    spurious = ("URX", "UO") if call.details == VIA_UPSTREAM else ("URX",)
    return [flag for flag in call.flags if flag not in spurious]

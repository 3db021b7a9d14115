"""What an Envoy has logged, as the columns that a proxy of meshsim's own hands in.

They are those of `meshsim.live.merge`: calls, attempts and ejections.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Sequence
from math import isnan
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshsim.live.envoy.accesslog import CallRow, Ejection, TryRow
from meshsim.live.envoy.resources import INBOUND
from meshsim.live.merge import hedged
from meshsim.measure.records import KINDS
from meshsim.policies.outcome import NAMES, add_flag
from meshsim.random import derive
from meshsim.scenario.model import Scenario
from meshsim.scenario.topology import Topology

VIA_UPSTREAM = "via_upstream"
"""Envoy's detail of an answer that is the upstream's own."""


FIRST, RETRY, HEDGE = map(KINDS.index, ("first", "retry", "hedge"))


def rows(
    scenario: Scenario,
    caller: str,
    calls: Sequence[CallRow],
    tries: Sequence[TryRow],
    ejections: Sequence[Ejection],
) -> dict[str, NDArray[Any]]:
    """The columns of one proxy.

    Args:
        scenario: that ran.
        caller: the proxy's service, or ``client``.
        calls: from its access log; what came in from callers, or went nowhere, is left out.
        tries: from its log of them.
        ejections: from its event log.
    """
    hedging = {service for who, service in hedged(scenario) if who == caller}
    topology = Topology(scenario)
    edges = topology.number_of
    numbers = {replica.name: replica.number for replica in topology.replicas}
    made = [call for call in calls if call.listener != INBOUND and (caller, call.service) in edges]
    sent = [(each, number) for each, number in numbered(tries, hedging) if not isnan(each.sent)]
    sent_of = Counter((each.call, each.request_id) for each, _ in sent)

    def column(values: list[Any], kind: str) -> NDArray[Any]:
        return np.array(values, dtype=kind)

    def kind(service: str, number: int) -> int:
        return FIRST if number == 0 else HEDGE if service in hedging else RETRY

    return {
        "calls.key": column([call.key for call in made], "u8"),
        "calls.edge": column([edges[caller, call.service] for call in made], "i8"),
        "calls.request_start": column([call.request_start for call in made], "f8"),
        "calls.start": column([call.start for call in made], "f8"),
        "calls.end": column([call.end for call in made], "f8"),
        "calls.status": column([call.status for call in made], "i8"),
        "calls.flags": column([packed(_meant(call, hedging)) for call in made], "i8"),
        "calls.extra": column([call.extra for call in made], "?"),
        "calls.sent": column([sent_of[call.key, call.request_id] for call in made], "i8"),
        "calls.host": column([_host(call, numbers) for call in made], "i8"),
        "attempts.key": column([derive(each.call, number) for each, number in sent], "u8"),
        "attempts.edge": column([edges[caller, each.service] for each, _ in sent], "i8"),
        "attempts.replica": column([numbers[each.replica] for each, _ in sent], "i8"),
        "attempts.kind": column([kind(each.service, number) for each, number in sent], "i8"),
        "attempts.extra": column([each.extra or number > 0 for each, number in sent], "?"),
        "attempts.request_start": column([each.request_start for each, _ in sent], "f8"),
        "attempts.sent": column([each.sent for each, _ in sent], "f8"),
        "attempts.ended": column([each.end for each, _ in sent], "f8"),
        "attempts.arrived": column([np.nan if each.refused else each.sent for each, _ in sent], "f8"),
        "attempts.answered": column([each.end if each.status else np.nan for each, _ in sent], "f8"),
        "attempts.answer_status": column([each.status for each, _ in sent], "i8"),
        "ejections.time": column([each.time for each in ejections], "f8"),
        "ejections.edge": column([edges[caller, each.service] for each in ejections], "i8"),
        "ejections.replica": column([numbers[each.replica] for each in ejections], "i8"),
    }


def numbered(tries: Sequence[TryRow], hedging: Collection[str]) -> list[tuple[TryRow, int]]:
    """Each try and its number in its call, which for concurrent ones follows from their order."""
    found = []
    launched = Counter[tuple[int, str]]()
    for each in sorted(tries, key=lambda each: each.launched):
        of = (each.call, each.request_id)
        found.append((each, launched[of] if each.service in hedging else each.number))
        launched[of] += 1
    return found


def packed(flags: Sequence[str]) -> int:
    """Flags as `meshsim.policies.outcome` keeps them; those it has no name for are left out."""
    found = 0
    for flag in flags:
        found = add_flag(found, NAMES.index(flag) if flag in NAMES else 0)
    return found


def _meant(call: CallRow, hedging: Collection[str]) -> Sequence[str]:
    """A call's flags; what Envoy says of a hedge that was one too many, as of a retry, is left out."""
    if call.service not in hedging:
        return call.flags
    spurious = ("URX", "UO") if call.details == VIA_UPSTREAM else ("URX",)
    return [flag for flag in call.flags if flag not in spurious]


def _host(call: CallRow, numbers: dict[str, int]) -> int:
    """The number of the replica that made the answer; -1 where Envoy made it."""
    return numbers.get(call.replica, -1) if call.details == VIA_UPSTREAM else -1

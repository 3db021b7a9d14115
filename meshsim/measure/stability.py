"""Whether a run had a steady state at all, or its work piled up.

A mean over a run whose queues grow says more about when it was stopped than about the mesh. The
criterion, for the client's requests in flight and for the waiting room of each service: averaged over
the four quarters of the measured time,

- each quarter is above the one before, by a tenth or more of the whole rise (it rose throughout), and
- the whole rise, from first to last quarter, is at least 10, and at least 2 % of what arrived meanwhile.

A queue that is merely busy wanders without a direction, by far less than 2 % of its arrivals; overload by
a factor r piles up a share 1 - 1/r of them. Overload of less than about 3 % can't be distinguished from
chance, nor can a queue whose growth some limit has stopped: short waiting rooms, time-outs and closed loads
keep a mesh that fails its users stable in this sense.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from meshsim.measure.grid import Floats, Window
from meshsim.measure.measurements import Measurements
from meshsim.measure.parts import workers
from meshsim.measure.result import Result
from meshsim.measure.window import interrupted
from meshsim.scenario.model import Scenario

LEAST_STEP_RATIO = 0.1
LEAST_RISE = 10.0
LEAST_RISE_RATIO = 0.02
BUSY_RATIO = 0.95


@dataclass(frozen=True, slots=True)
class Instability(Result):
    """That so many replications were unstable, and how the first of them was.

    `service` can't keep up, if it is known; `in_flight` is of the client's requests, by quarters;
    `drain_limit` says whether work was left when time was up.
    """

    reason: str
    service: str | None
    in_flight: list[float]
    drain_limit: bool
    replications: int


def judge(
    records: Sequence[Measurements], scenario: Scenario, window: Window
) -> Instability | Literal[False]:
    """Whether any replication was unstable."""
    if window.length <= 0.0:
        return False
    found = [
        (record, _piles(record, scenario, window), not record.complete and not interrupted(record, scenario))
        for record in records
    ]
    bad = [each for each in found if each[1] or each[2]]
    if not bad:
        return False
    record, piles, cut_off = bad[0]
    late = _last_quarter(record, window)
    culprit = _overloaded(record, scenario, late)
    return Instability(
        reason=_sentence(record, late, piles, culprit),
        service=culprit,
        in_flight=record.in_flight(window).tolist(),
        drain_limit=cut_off,
        replications=len(bad),
    )


def grows(quarters: Floats, arrived: int) -> bool:
    """The criterion of this module, by (4,) mean amounts of work and how many arrived meanwhile."""
    rise = float(quarters[-1] - quarters[0])
    least = max(LEAST_RISE, LEAST_RISE_RATIO * arrived)
    return rise >= least and bool(np.all(np.diff(quarters) >= LEAST_STEP_RATIO * rise))


def _piles(record: Measurements, scenario: Scenario, window: Window) -> list[str]:
    """What work grew, with its mean amounts in the quarters of the measured time."""
    known = {"the number of requests in flight": (record.in_flight(window), record.requested(window))}
    for service in scenario.services:
        waiting = window.quarters(record.queued[record.members(service)].sum(axis=0), record.grid)
        known[f"the queue at {service}"] = waiting, record.visited(service, window)[0]
    grown = {what: quarters for what, (quarters, arrived) in known.items() if grows(quarters, arrived)}
    return [
        f"{what} grew throughout the measurement window"
        f" ({', '.join(f'{amount:.0f}' for amount in quarters)} on average in its quarters)"
        for what, quarters in grown.items()
    ]


def _last_quarter(record: Measurements, window: Window) -> Window:
    """The end of the measured time, in whole bins: what began late shows there undiluted."""
    first = window.last - max(1, (window.last - window.first) // 4)
    return Window(float(record.grid.edges(first)[first]), window.end, first, window.last)


def _overloaded(record: Measurements, scenario: Scenario, window: Window) -> str | None:
    """The service that can't keep up: saturated, behind with its answers, and calling no other such one."""
    behind = [name for name in scenario.services if _behind(record, scenario, name, window)]
    return next((name for name in behind if not {*behind} & _below(scenario, name)), None)


def _behind(record: Measurements, scenario: Scenario, service: str, window: Window) -> bool:
    members = record.members(service)
    present = record.present(np.array([window.start, window.end]))
    slots = workers(scenario, record.replicas, present)[members].sum()
    busy = window.of(record.busy[members]).sum()
    if not busy >= BUSY_RATIO * slots:  # nor of workers without a limit
        return False
    arrived, answered = record.visited(service, window)
    return arrived - answered > LEAST_RISE_RATIO * arrived


def _below(scenario: Scenario, service: str) -> set[str]:
    """The services that one calls, directly or through others, without itself."""
    found, edges = {service}, scenario.edges()
    while more := {called for caller, called in edges if caller in found} - found:
        found |= more
    return found - {service}


def _sentence(record: Measurements, late: Window, piles: Sequence[str], culprit: str | None) -> str:
    what = piles[0] if piles else "work was left when the run reached its drain's limit"
    text = f"Unstable: {what}; its averages depend on when it was stopped."
    if culprit is None:
        return text
    arrived, answered = (count / late.length for count in record.visited(culprit, late))
    return (
        f"{text} {culprit} can't keep up: in the last {late.length:g} s its workers were always busy,"
        f" {arrived:.4g} attempts/s arrived and {answered:.4g}/s were finished."
    )

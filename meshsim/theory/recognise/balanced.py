"""Replicas behind a balancer that looks at their queues.

Exact where the calling proxy sees the queues as they are: one caller, no delay on the way, nothing in flight
but what is queued or served. Few replicas then have a Markov chain; for many there is the mean field.
"""

# ruff: noqa: RUF001 (formulas are written with the field's symbols)
from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import lru_cache

from meshsim.scenario.model import Policy
from meshsim.theory import balancing
from meshsim.theory.recognise.flows import Visit
from meshsim.theory.recognise.kendall import Queue, Service, Solved, seen_wait
from meshsim.theory.recognise.law import Law
from meshsim.theory.recognise.responses import Wait
from meshsim.theory.recognise.structure import OverloadError, Station, Structure, UnsolvedError

REPLICAS_MAX = 4  # of which the Markov chain of the queue lengths is solved


def looks(structure: Structure, station: Station, visits: Sequence[Visit]) -> Policy | None:
    """The policy of the first caller whose balancer looks at several hosts."""
    kind, _, version = station.key
    edges = [
        (each.caller, each.target)
        for each in visits
        if structure.hosts(each.caller, each.target, version) > 1
    ]
    policies = (structure.policy(*edge) for edge in edges if kind == "replica")
    return next((policy for policy in policies if policy.balance.kind == "least_request"), None)


def solve_balanced(
    structure: Structure, station: Station, visits: Sequence[Visit], policy: Policy, own: Law, rate: float
) -> Solved:
    """Solve equal replicas under the `least_request` of a policy, for `rate` attempts per second at each.

    Raises:
        UnsolvedError: nothing is known.
    """
    if rate * station.time.mean >= station.workers:
        raise OverloadError("it is asked for more than it can do: the queue grows without end")
    if not station.quasi_reversible or station.discipline != "fifo":
        raise UnsolvedError("least_request is solved for exponential service and unlimited fifo queues only")
    if not policy.split and not structure.alike(station.key[1]):
        raise UnsolvedError("least_request is solved for equal replicas only")
    hosts = structure.hosts(visits[0].caller, visits[0].target, station.key[2])
    if hosts > REPLICAS_MAX:
        queue = _many(station, policy, own, rate, hosts)
        return Solved(queue, rate, f"{station.name}: the mean field of infinitely many replicas")
    if not balancing.affordable(hosts, station.workers, rate * station.time.mean / station.workers):
        raise UnsolvedError("least_request this near saturation: the chain of the queue lengths is too large")
    doubts = _doubts(structure, station, visits)
    queue, cut = _few(station, policy, own, rate, hosts)
    if cut > balancing.NOTABLE:
        doubts = doubts or "its queues get longer than the chain can follow"
    return Solved(replace(queue, exact=not doubts), rate, f"{station.name}: {doubts}" if doubts else "")


def _many(station: Station, policy: Policy, own: Law, rate: float, hosts: int) -> Queue:
    """As if there were infinitely many."""
    option = policy.balance.least_request
    if option.selection == "full_scan" or station.workers > 1:
        large = "the chain of the queue lengths is too large"
        raise UnsolvedError(f"least_request over {hosts} replicas: {large}")
    rho = rate * station.time.mean
    mean = balancing.mean_field_sojourn(rho, option.choices, station.time.mean) - station.time.mean
    formula = f"{option.choices} choices of infinitely many: Σ ρ^((d^i-d)/(d-1))"
    wait = Wait(Law.mean_only(own.lattice, mean))
    return Queue(wait, rho, rate * mean, formula, "Mitzenmacher 1996", exact=False)


def _few(station: Station, policy: Policy, own: Law, rate: float, hosts: int) -> tuple[Queue, float]:
    """By the Markov chain of the queue lengths; and how much its cut may matter."""
    option, mu = policy.balance.least_request, 1.0 / station.time.mean
    full = option.selection == "full_scan"
    solved = _chain(rate * hosts, mu, hosts, 0 if full else option.choices, station.workers)
    wait = Wait(seen_wait(solved.seen, Service(own, True, station.workers, station.queue)))
    name = "the shortest queue" if full else f"the better of {option.choices} drawn with replacement"
    formula = f"{hosts} x M/M/{station.workers}, {name}: Markov chain of the queue lengths"
    source = "Koury, McAllister and Stewart 1984 (numeric)"
    return Queue(wait, rate / mu / station.workers, solved.queue / hosts, formula, source), solved.cut


@lru_cache(maxsize=32)
def _chain(lam: float, mu: float, n: int, choices: int, c: int) -> balancing.BalancedQueues:
    """The chain of n replicas; all are looked at where `choices` is 0."""
    rule = balancing.drawn(choices) if choices else balancing.shortest
    return balancing.balanced(lam, mu, n, rule, c)


def _doubts(structure: Structure, station: Station, visits: Sequence[Visit]) -> str:
    """What makes the balancer see something else than the queues, or see them late."""
    service, caller = station.key[1], visits[0].caller
    link = structure.link(caller, service)
    passing = structure.sidecars and structure.proxy_time.mean > 0.0
    if len(visits) > 1 or visits[0].flow.repeated or visits[0].flow.process != "poisson":
        return "its arrivals are not one Poisson stream"
    if structure.instances(caller) > 1:
        return "each caller sees its own requests only"
    if link.latency.build().mean > 0.0 or link.connect.build().mean > 0.0 or link.loss or passing:
        return "the balancer sees the queues late"
    works = (structure.deployments[target].values() for target in structure.targets[service])
    if any(work.script for each in works for work in each):
        return "the balancer counts requests that only wait for others"
    return ""

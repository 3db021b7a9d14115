"""A lone M/M/1 whose clients give up, and whose work notices: `leave_queue` and `stop`.

A client time-out τ reaches the replica τ after the request did (both over the same constant link), less the
pass through the upstream's sidecar.

Source:
    Barrer 1957; Gnedenko and Kovalenko 1968 (:mod:`meshsim.theory.patience`).
"""

from __future__ import annotations

import numpy as np

from meshsim import random
from meshsim.scenario.model import CLIENT, Policy
from meshsim.theory import patience
from meshsim.theory.numeric import Floats
from meshsim.theory.recognise.kendall import Queue, Solved
from meshsim.theory.recognise.law import Lattice, Law
from meshsim.theory.recognise.responses import Edge, Wait
from meshsim.theory.recognise.structure import Key, Station, Structure, per_try_timeout
from meshsim.theory.recognise.tries import Response
from meshsim.theory.recognise.understood import IMPATIENT, unknown


def impatient(structure: Structure, lattice: Lattice) -> tuple[dict[Edge, Response], dict[Key, Solved]]:
    """The service's answer to the client, and its station; nothing if the scenario is something else."""
    others = len(structure.stations) != 1 or len(structure.entries) != 1
    if others or unknown(IMPATIENT, structure.set_keys):
        return {}, {}
    (key, station), entry = next(iter(structure.stations.items())), structure.entries[0]
    (kind, _, version), service = key, entry.target
    deployment = structure.deployments[service][version]
    policy = structure.policy(CLIENT, service)
    tau = _patience(policy)
    link = structure.link(CLIENT, service)
    delays = [link.latency.build(), structure.proxy_time if structure.sidecars else random.Constant(0.0)]
    plain = kind == "replica" and station.quasi_reversible and station.workers == 1
    lone = len(structure.deployments[service]) == 1
    still = all(isinstance(delay, random.Constant) or delay.mean == 0.0 for delay in delays)
    plain = plain and structure.thins(CLIENT, service, version)
    if not (tau > 0.0 and plain and lone and still and deployment.when_abandoned != "finish"):
        return {}, {}
    out, proxy = delays[0].mean, delays[1].mean
    lam = structure.offered(entry.load) / station.replicas
    cap, limit = tau - proxy, tau - 2.0 * (out + proxy)
    if limit <= 0.0:
        return {}, {}
    stop = deployment.when_abandoned == "stop"
    good = _in_time(lattice, lam, station, cap, limit, stop).then(Law.atom(lattice, 2.0 * (out + proxy)))
    flag = "URX,UT" if per_try_timeout(policy) else "UT"
    answer: Response = {
        (200, ""): good.scaled(1.0 - deployment.errors),
        (500, ""): good.scaled(deployment.errors),
        (504, flag): Law.atom(lattice, tau, 1.0 - good.mass),
    }
    return {(CLIENT, service): answer}, {key: _solved(lattice, lam, station, cap, stop)}


def _patience(policy: Policy) -> float:
    """The one time-out of a policy that tries once; 0 if there are two, or more tries."""
    per_try = per_try_timeout(policy)
    tries_again = policy.retries and policy.retries.attempts
    if tries_again or 0.0 < per_try < policy.timeout:
        return 0.0
    return policy.timeout or per_try


def _in_time(lattice: Lattice, lam: float, station: Station, cap: float, limit: float, stop: bool) -> Law:
    """The law of the time in the system of those who are served within `limit`."""
    mu = 1.0 / station.time.mean
    success = patience.bounded_sojourn_success if stop else patience.queue_timeout_success

    def cdf(x: Floats) -> Floats:
        return np.array([success(lam, mu, cap, float(t)) for t in x])

    share = success(lam, mu, cap, limit)
    return Law.from_cdf(lattice, cdf, share * patience.bounded_sojourn_success_sojourn(lam, mu, limit), limit)


def _solved(lattice: Lattice, lam: float, station: Station, cap: float, stop: bool) -> Solved:
    idle, waiting = patience.queue_timeout_idle, patience.queue_timeout_queue
    formula, source = "M/M/1 + D: who waits τ leaves", "Barrer 1957; Baccelli and Hebuterne 1981"
    if stop:
        idle, waiting = patience.bounded_sojourn_idle, patience.bounded_sojourn_queue
        formula, source = "M/M/1, nobody stays longer than τ: level crossing", "Gnedenko and Kovalenko 1968"
    given = lam, 1.0 / station.time.mean, cap
    wait = Wait(Law.mean_only(lattice, waiting(*given) / lam))
    return Solved(Queue(wait, 1.0 - idle(*given), waiting(*given), formula, source), lam)

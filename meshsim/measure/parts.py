"""The summary's part about each service, version and replica, and about each edge."""

from __future__ import annotations

from typing import Any

from meshsim.measure.sample import Sample, Stays, Tries
from meshsim.scenario.model import Scenario
from meshsim.units import UNLIMITED

Summary = dict[str, Any]


def per(amount: float, base: float) -> float | None:
    """A quotient, or None where there is nothing to divide by."""
    return float(amount) / float(base) if base else None


# ---- services ---------------------------------------------------------------------------------------


def services(sample: Sample, scenario: Scenario) -> Summary:
    """What arrived at each service and how busy it was: as a whole, by version and by replica."""
    return {name: _service(sample, scenario, name) for name in scenario.services}


def _service(sample: Sample, scenario: Scenario, name: str) -> Summary:
    deployments = scenario.services[name].deployments()
    replicas = [index for index, (service, _, _) in enumerate(sample.replicas) if service == name]
    workers = {index: deployments[sample.replicas[index][1]].workers for index in replicas}

    def station(members: list[int]) -> Summary:
        return _station(sample, members, sum(workers[index] for index in members))

    def of_version(version: str) -> list[int]:
        return [index for index in replicas if sample.replicas[index][1] == version]

    return {
        **station(replicas),
        "versions": {version: station(of_version(version)) for version in deployments if version},
        "replicas": [
            {"id": sample.replicas[index][2], "version": sample.replicas[index][1], **station([index])}
            for index in replicas
        ],
    }


def _station(sample: Sample, members: list[int], workers: int) -> Summary:
    """The numbers of some replicas together.

    Args:
        sample: what is measured.
        members: their indices.
        workers: how many they have together, at least UNLIMITED where one's are unlimited.

    Returns:
        `requests` = `ok` + `failed` + `dropped` (the caller gave up) + `unfinished`; `latency` from arrival
        to answer; `busy_mean` workers; `queue_mean` attempts waiting, at all the members together;
        `ejections` of them, by any caller's proxy.
    """
    visits = Stays.pooled([sample.visits[index] for index in members])
    busy = float(sample.busy[members].sum())
    return {
        "requests": visits.came,
        "ok": visits.ok,
        "failed": visits.failed,
        "dropped": visits.cut,
        "unfinished": visits.unfinished,
        "rate": per(visits.came, sample.time),
        "utilisation": per(busy, sample.time * workers) if workers < UNLIMITED else None,
        "busy_mean": per(busy, sample.time),
        "queue_mean": per(float(sample.queued[members].sum()), sample.time),
        "ejections": int(sample.ejections[members].sum()),
        "latency": visits.latency.numbers(),
    }


# ---- edges ------------------------------------------------------------------------------------------


def edges(sample: Sample) -> Summary:
    """The calls and tries of each caller to each service it calls."""
    each = zip(sample.edges, sample.calls, sample.tries, strict=True)
    return {f"{caller} -> {service}": _edge(calls, tries) for (caller, service), calls, tries in each}


def _edge(calls: Stays, tries: Tries) -> Summary:
    return {
        "requests": calls.came,
        "ok": calls.ok,
        "failed": calls.failed,
        "cancelled": calls.cut,
        "unfinished": calls.unfinished,
        "attempts": tries.total,
        "retries": tries.retries,
        "hedges": tries.hedges,
        "latency": calls.latency.numbers(),
        "flags": ranked(calls.words),
    }


def ranked(words: dict[str, int]) -> dict[str, int]:
    """Words with how often each occurred, the most frequent first."""
    return dict(sorted(words.items(), key=lambda pair: (-pair[1], pair[0])))

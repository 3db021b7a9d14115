"""The summary's part about each service, version and replica, and about each edge."""

from __future__ import annotations

from typing import Any

import numpy as np

from meshsim.measure.latency import latency
from meshsim.measure.records import Ints
from meshsim.measure.sample import Sample
from meshsim.scenario.model import Scenario
from meshsim.units import UNLIMITED

Summary = dict[str, Any]


def per(amount: float, base: float) -> float | None:
    """A quotient, or None where there is nothing to divide by."""
    return float(amount) / float(base) if base else None


# ---- services ---------------------------------------------------------------------------------------


def services(sample: Sample, scenario: Scenario) -> Summary:
    """What arrived at each service and how busy it was: as a whole, by version and by replica."""
    arrivals = np.flatnonzero(sample.attempts.arrived)
    arrivals = arrivals[np.argsort(sample.attempts.replica[arrivals], kind="stable")]
    ends = np.cumsum(np.bincount(sample.attempts.replica[arrivals], minlength=len(sample.replicas)))
    rows = np.split(arrivals, ends[:-1])
    return {name: _service(sample, scenario, name, rows) for name in scenario.services}


def _service(sample: Sample, scenario: Scenario, name: str, rows: list[Ints]) -> Summary:
    deployments = scenario.services[name].deployments()
    replicas = [index for index, (service, _, _) in enumerate(sample.replicas) if service == name]
    workers = {index: deployments[sample.replicas[index][1]].workers for index in replicas}

    def station(members: list[int]) -> Summary:
        total = sum(workers[index] for index in members)
        return _station(sample, np.concatenate([rows[index] for index in members]), members, total)

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


def _station(sample: Sample, rows: Ints, members: list[int], workers: int) -> Summary:
    """The numbers of some replicas together.

    Args:
        sample: what is measured.
        rows: of the attempts that arrived at them.
        members: their indices.
        workers: how many they have together, at least UNLIMITED where one's are unlimited.

    Returns:
        `requests` = `ok` + `failed` + `dropped` (the caller gave up) + `unfinished`; `latency` from arrival
        to answer; `busy_mean` workers; `queue_mean` attempts waiting, at all the members together.
    """
    status = sample.attempts.status[rows]
    busy = float(sample.busy[members].sum())
    return {
        "requests": len(rows),
        "ok": int(np.count_nonzero((status > 0) & (status < 400))),
        "failed": int(np.count_nonzero(status >= 400)),
        "dropped": int(np.count_nonzero(status < 0)),
        "unfinished": int(np.count_nonzero(status == 0)),
        "rate": per(len(rows), sample.time),
        "utilisation": per(busy, sample.time * workers) if workers < UNLIMITED else None,
        "busy_mean": per(busy, sample.time),
        "queue_mean": per(float(sample.queued[members].sum()), sample.time),
        "latency": latency(sample.attempts.latency[rows][status > 0]),
    }


# ---- edges ------------------------------------------------------------------------------------------


def edges(sample: Sample) -> Summary:
    """The calls and tries of each caller to each service it calls."""
    calls = _by_edge(sample.calls.edge, len(sample.edges))
    attempts = _by_edge(sample.attempts.edge, len(sample.edges))
    return {
        f"{caller} -> {service}": _edge(sample, calls[index], attempts[index])
        for index, (caller, service) in enumerate(sample.edges)
    }


def _by_edge(edge: Ints, count: int) -> list[Ints]:
    """The rows of each edge, in order."""
    return np.split(np.argsort(edge, kind="stable"), np.cumsum(np.bincount(edge, minlength=count))[:-1])


def _edge(sample: Sample, calls: Ints, attempts: Ints) -> Summary:
    status = sample.calls.status[calls]
    kind = sample.attempts.kind[attempts]
    return {
        "requests": len(calls),
        "ok": int(np.count_nonzero((status > 0) & (status < 400))),
        "failed": int(np.count_nonzero(status >= 400)),
        "cancelled": int(np.count_nonzero(status < 0)),
        "unfinished": int(np.count_nonzero(status == 0)),
        "attempts": len(attempts),
        "retries": int(np.count_nonzero(kind == 1)),
        "hedges": int(np.count_nonzero(kind == 2)),
        "latency": latency(sample.calls.latency[calls][status > 0]),
        "flags": tally(sample.calls.flag[calls]),
    }


def tally(words: np.ndarray[Any, np.dtype[np.str_]]) -> dict[str, int]:
    """How often each word but the empty one occurs, the most frequent first."""
    found, counts = np.unique(words, return_counts=True)
    pairs = sorted(zip(counts.tolist(), found.tolist(), strict=True), key=lambda pair: (-pair[0], pair[1]))
    return {word: count for count, word in pairs if word}

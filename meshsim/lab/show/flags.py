"""Envoy's response flags in plain words.

Source:
    Envoy documentation, Access logging, response flags (docs/root/configuration/observability/access_log).
"""

from __future__ import annotations

FLAGS = {
    "UT": "upstream time-out: the caller stopped waiting, for one try or for all",
    "UO": "overflow: a circuit breaker's limit or the retry budget refused it",
    "UH": "no healthy host: all were ejected, or there is none",
    "UF": "connection failure: the replica was down, could not be reached, or is not trusted",
    "UC": "connection ended: the replica went down with it, closed or refused it, or a message was lost",
    "URX": "retries were used up",
    "DI": "a delay was injected",
    "FI": "a fault was injected",
    "RL": "the rate limit refused it",
    "UPE": "upstream protocol error: what came back was no HTTP, or broke off",
    "NC": "no cluster: the route leads to a version that this proxy has not been told of",
    "NR": "no route: no service has that name",
    "DC": "the caller went away before it had its answer",
    "DPE": "downstream protocol error: what the caller sent was no HTTP",
    "SI": "idle for too long: neither side sent anything",
}

STATUSES = {
    "403": "an access rule denied it; live also: a program answered so",
    "429": "too many requests",
    "500": "the service failed by itself, or a call it needed failed",
    "503": "the waiting room was full; live also: the connection was lost on the way in",
    "504": "time-out",
}


def explain(key: str) -> str:
    """A key of a summary's `failures` or `flags` in plain words: ``URX,UT`` or ``500``."""
    return "; ".join((FLAGS | STATUSES).get(part, part) for part in key.split(","))

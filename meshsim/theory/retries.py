"""Tries that fail independently: how many, how often in vain, how long.

Holds where a try's fate does not depend on the load that retries make: failures by `errors`, or time-outs of
a service with unlimited workers.

Sources:
    Geometric sums. Envoy `source/common/common/backoff_strategy.cc` (jittered exponential back-off as coded:
    uniform on [0, min(base·2^(n-1), max))). Jackson 1957 for the feedback into a queue.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import inf


def amplification(p: float, retries: float) -> float:
    """Tries per request, each failing with probability p: 1 + p + … + p^retries, perhaps infinite."""
    if p == 1.0:
        return retries + 1.0
    return 1.0 / (1.0 - p) if retries == inf else (1.0 - p ** (retries + 1.0)) / (1.0 - p)


def success(p: float, retries: float) -> float:
    """Share of requests of which one try succeeds: 1 - p^(retries+1). Source: independence."""
    return 1.0 - p ** (retries + 1.0) if p < 1.0 else 0.0


def backoff_means(base: float, ceiling: float, retries: int) -> list[float]:
    """Mean wait before each retry, s: half of min(base·2^(n-1), ceiling).

    Source: Envoy backoff_strategy.cc.
    """
    return [0.5 * min(base * 2.0**n, ceiling) for n in range(retries)]


def client_latency(p: float, try_mean: float, backoffs: Sequence[float]) -> float:
    """Mean latency, s: tries of `try_mean` that fail with probability p, a back-off before each retry.

    Source: a try is independent of there being one; retry n happens with probability pⁿ.
    """
    waits = sum(p ** (n + 1) * wait for n, wait in enumerate(backoffs))
    return amplification(p, len(backoffs)) * try_mean + waits


def feedback_sojourn(lam: float, mu: float, p: float) -> float:
    """Mean total time, s, in an M/M/1 that a request joins again with probability p each time it is served.

    Source: Jackson 1957; 1/(μ(1-p) - λ).
    """
    return 1.0 / (mu * (1.0 - p) - lam)


def feedback_utilisation(lam: float, mu: float, p: float) -> float:
    """Share of time that worker is busy: λ/((1-p)μ). Source: Jackson 1957."""
    return lam / ((1.0 - p) * mu)

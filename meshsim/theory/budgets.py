"""Retry budgets in the fluid limit: many requests, tokens as a continuous quantity.

Sources:
    Brooker, Fixing retries with token buckets and circuit breakers (2022): tokens per first try. tower
    `TpsBudget` and Linkerd's retry budget: a deposit per try whose end is final. Both bound tries per request
    by 1 + ratio (and the reserve).
"""

from __future__ import annotations


def budget_load(p: float, ratio: float) -> float:
    """Tries per request when each first try earns `ratio` of a retry and nothing else limits retries.

    Source: Brooker 2022: min(1/(1-p), 1 + ratio).
    """
    return 1.0 + ratio if p >= 1.0 else min(1.0 / (1.0 - p), 1.0 + ratio)


def budget_success(p: float, ratio: float) -> float:
    """Share of requests that succeed under that budget: tries per request times (1-p).

    Source: Brooker 2022.
    """
    return (1.0 - p) * budget_load(p, ratio)


def budget_bound(ratio: float, reserve_per_s: float = 0.0, lam: float = 1.0) -> float:
    """No more tries per request than this: 1 + ratio + reserve/λ.

    Source: Linkerd and Finagle: retryRatio and minRetriesPerSecond.
    """
    return 1.0 + ratio + reserve_per_s / lam


def linkerd_load(p: float, ratio: float, reserve_per_s: float, lam: float) -> float:
    """Tries per request under Linkerd's budget, where only tries whose end is final deposit.

    With w = trunc(1/ratio), R retries per request need R·w <= (1-p)(1+R) + w·reserve/λ, and R = p(1+R) if
    nothing refuses; retries without a cap of their own.

    Source: tower TpsBudget in the limit of many requests per `ttl`.
    """
    free = p / (1.0 - p) if p < 1.0 else float("inf")
    if ratio == 0.0:
        return 1.0 + min(free, reserve_per_s / lam)
    w = int(1.0 / ratio)
    spend = w - (1.0 - p)
    allowed = ((1.0 - p) + w * reserve_per_s / lam) / spend if spend > 0.0 else float("inf")
    return 1.0 + min(free, allowed)

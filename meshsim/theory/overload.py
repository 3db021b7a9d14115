"""Overload in the fluid limit: when retries keep a system down, and how long a backlog lives.

Sources:
    Bronson, Aghayev, Charapko and Zhu, Metastable Failures in Distributed Systems, HotOS 2021, 2.1.
    Brooker, stability-sim, goodput collapse.
"""

from __future__ import annotations


def retry_load(load: float, retries: float) -> float:
    """Tries per second while every try times out: load·(1 + retries). Source: Bronson et al. 2021."""
    return load * (1.0 + retries)


def stable_load(capacity: float, retries: float) -> float:
    """Below this load the system comes back by itself from any trigger: capacity/(1 + retries).

    Between it and the capacity the system is vulnerable: well until triggered, then down for good.

    Source: Bronson et al. 2021.
    """
    return capacity / (1.0 + retries)


def backlog(lam: float, capacity: float, duration: float) -> float:
    """Requests that pile up in `duration` seconds of less capacity than load. Source: fluid balance."""
    return max(lam - capacity, 0.0) * duration


def drain_time(waiting: float, lam: float, capacity: float) -> float:
    """Seconds until a backlog is gone: backlog/(capacity - λ). Source: fluid balance."""
    return waiting / (capacity - lam)


def goodput_back(waiting: float, lam: float, capacity: float, timeout: float, mean: float) -> float:
    """Seconds until new requests make it in time again, if nobody cancels abandoned work.

    That is when the backlog takes no longer than the time-out less the service.

    Source: Brooker, stability-sim; fluid balance.
    """
    return max(waiting - capacity * (timeout - mean), 0.0) / (capacity - lam)

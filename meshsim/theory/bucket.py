"""Token buckets: what passes a rate limit.

meshsim's bucket holds up to B tokens, starts full and refills continuously at rate r; a request takes one.
Seen the other way round, B less the tokens is work that drains at rate r. An arrival brings one unit, and is
refused if there is no room for it. Since B is whole, there is room exactly if fewer than B units are in an
M/D/1 with service 1/r: the share refused is the loss of M/D/1/B.

Envoy's real bucket adds `tokens_per_fill` every `fill_interval`; with one fill as large as the bucket, what
passes an interval is the smaller of a Poisson number and the bucket.

Sources:
    Berger, Performance Analysis of a Rate-Control Throttle where Tokens and Jobs Queue, IEEE JSAC 9 (1991):
    the duality. Envoy `local_ratelimit`.
"""

from __future__ import annotations

from math import exp, lgamma, log

import numpy as np

from meshsim.theory.finite import mg1k


def bucket_refused(lam: float, rate: float, burst: int) -> float:
    """Share of λ Poisson arrivals per second refused by a bucket of `burst` tokens, refilled at `rate`/s.

    Source: Berger 1991; :func:`meshsim.theory.finite.mg1k`.
    """
    rho = lam / rate
    arrivals = np.array([_poisson(k, rho) for k in range(burst)])
    return float(mg1k(arrivals, rho)[burst])


def batch_passed(lam: float, burst: int, interval: float) -> float:
    """Requests per second that pass a bucket that is filled completely every `interval` seconds.

    Source: E[min(Poisson(λ·interval), burst)]/interval (Envoy local_ratelimit, max_tokens = tokens_per_fill).
    """
    a = lam * interval
    short = sum((burst - k) * _poisson(k, a) for k in range(burst))
    return (burst - short) / interval


def _poisson(k: int, a: float) -> float:
    return exp(k * log(a) - a - lgamma(k + 1.0)) if a > 0.0 else float(k == 0)

"""M/M/c: Poisson arrivals, exponential service, c workers, first in first out, room for all.

Letters: λ (``lam``) arrivals per second, μ (``mu``) services per second of one worker, a = λ/μ the offered
load in Erlangs, ρ = a/c the utilisation.

Sources:
    Erlang, Solution of some Problems in the Theory of Probabilities of Significance in Automatic Telephone
    Exchanges (1917). Kleinrock, Queueing Systems I (1975), ch. 3. Daley, The Serial Correlation Coefficients
    of Waiting Times in a Stationary Single Server Queue, J. Austral. Math. Soc. 8 (1968).
"""

from __future__ import annotations

from math import erfc, exp, expm1, inf, log, pi, sqrt

from meshsim.theory.numeric import falling_root

LARGE = 1e9
"""An offered load from which on the relative error of the normal limit, some 1/√a, does not matter."""


def erlang_b(c: int, a: float) -> float:
    """Share of Poisson arrivals lost by c workers without a waiting room; a = λ·E[S], of any service law.

    Source: Erlang 1917: 1/B = Σ c!/(c-j)!/a^j, summed from j = 0 as far as it matters, some √a terms. Beyond
    `LARGE`, Jagerman, Some Properties of the Erlang Loss Function, Bell Syst. Tech. J. 53 (1974): the normal
    limit φ(β)/(√a·Φ(β)), β = (c - a)/√a.
    """
    if c > 0 and a <= 0.0:
        return 0.0
    if a > LARGE:
        beta = (c - a) / sqrt(a)
        if beta < -10.0:
            return 1.0 - c / a
        return exp(-0.5 * beta * beta) / sqrt(2.0 * pi * a) / (0.5 * erfc(-beta / sqrt(2.0)))
    total = term = 1.0
    left = c
    while left > 0 and term > 1e-17 * total:
        if total > 1e300:
            return 0.0
        term *= left / a
        total += term
        left -= 1
    return 1.0 / total


def erlang_c(c: int, a: float) -> float:
    """Share of arrivals that wait; 1 where the queue has no steady state (a >= c).

    Source: Erlang 1917: C = B / (1 - ρ·(1 - B)).
    """
    if a >= c:
        return 1.0
    blocked = erlang_b(c, a)
    return blocked / (1.0 - a / c * (1.0 - blocked))


def mmc_wait(lam: float, mu: float, c: int = 1) -> float:
    """Mean wait, s: C / (cμ - λ). Source: Kleinrock I, eq. 3.40 and Little."""
    return inf if lam >= c * mu else erlang_c(c, lam / mu) / (c * mu - lam)


def mmc_sojourn(lam: float, mu: float, c: int = 1) -> float:
    """Mean time in the system, s: wait and service; 1/(μ-λ) for one worker. Source: Kleinrock I, ch. 3."""
    return mmc_wait(lam, mu, c) + 1.0 / mu


def mmc_queue(lam: float, mu: float, c: int = 1) -> float:
    """Mean number waiting: λ times the mean wait. Source: Little 1961."""
    return lam * mmc_wait(lam, mu, c)


def mmc_sojourn_ccdf(t: float, lam: float, mu: float, c: int = 1) -> float:
    """P(time in the system > t): the service alone, or an exponential(cμ-λ) wait and the service.

    Source: Kleinrock I, ch. 3; written so that cμ - λ = μ needs no case of its own.
    """
    waits = erlang_c(c, lam / mu)
    gap = c * mu - lam - mu
    growth = t if abs(gap) * t < 1e-12 else -expm1(-gap * t) / gap
    return exp(-mu * t) * (1.0 + waits * mu * growth)


def mmc_sojourn_quantile(p: float, lam: float, mu: float, c: int = 1) -> float:
    """The time, s, that a share p of requests stays below.

    Source: the root of :func:`mmc_sojourn_ccdf`; -ln(1-p)/(μ-λ) for one worker.
    """
    if lam >= c * mu:
        return inf
    if c == 1:
        return -log(1.0 - p) / (mu - lam)
    return falling_root(lambda t: mmc_sojourn_ccdf(t, lam, mu, c) - (1.0 - p), 1.0 / mu)


def mm1_wait_mean_variance(lam: float, mu: float) -> float:
    """How long to simulate: n times the variance of the mean wait of n consecutive requests of an M/M/1, s².

    Source: Daley 1968: ρ(2 + 5ρ - 4ρ² + ρ³) / (μ²(1-ρ)⁴).
    """
    rho = lam / mu
    return rho * (2.0 + rho * (5.0 - rho * (4.0 - rho))) / (mu * mu * (1.0 - rho) ** 4)

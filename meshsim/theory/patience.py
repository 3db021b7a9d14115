"""M/M/1 whose clients give up after a fixed time τ: three answers to what becomes of their work.

``when_abandoned: finish`` leaves the queue as it is, and only the client sees the time-out.
``leave_queue`` takes those out of the waiting room that were not served yet (Barrer). ``stop`` also
interrupts those in service, so that nobody stays longer than τ.

In the last two, level crossing gives the density of the work in front of an arrival below τ as
λ·P₀·e^{-(μ-λ)x}; P₀ is the share of time the worker idles.

Sources:
    Barrer, Queuing with Impatient Customers and Ordered Service, Operations Research 5 (1957). Baccelli and
    Hebuterne, On Queues with Impatient Customers (1981). Gnedenko and Kovalenko, Introduction to Queueing
    Theory (1968): the bounded sojourn. Brill, Level Crossing Methods in Stochastic Models (2008).
"""

from __future__ import annotations

from math import exp, expm1

OVERFLOW = 700.0
"""An exponent near the largest whose exponential is a float."""


class _Density:
    """e^{-rate·x}, x <= τ: what the density of the work is proportional to.

    With rate·τ far below 0 it is divided by e^{-rate·τ}, so that it does not overflow.
    """

    def __init__(self, lam: float, mu: float, tau: float) -> None:
        self.rate = mu - lam
        self.shift = self.rate * tau if self.rate * tau < -OVERFLOW else 0.0

    def at(self, x: float) -> float:
        return exp(self.shift - self.rate * x)

    def area(self, t: float) -> float:
        """The integral from 0 to t."""
        if self.shift < 0.0:
            return (self.at(0.0) - self.at(t)) / self.rate
        return t if abs(self.rate * t) < 1e-12 else -expm1(-self.rate * t) / self.rate

    def moment(self, t: float) -> float:
        """The integral of x times the density from 0 to t."""
        if abs(self.rate * t) < 1e-5:
            return t * t * (0.5 - self.rate * t / 3.0) * self.at(0.0)
        return (self.area(t) - t * self.at(t)) / self.rate


def _queue_timeout(lam: float, mu: float, tau: float) -> tuple[_Density, float]:
    """The density of the work in front when those leave who have waited τ, and its factor (P₀ at 0)."""
    work = _Density(lam, mu, tau)
    return work, 1.0 / (work.at(0.0) + lam * work.area(tau) + lam / mu * work.at(tau))


def queue_timeout_idle(lam: float, mu: float, tau: float) -> float:
    """P₀ when those leave who have waited τ without being served. Source: Barrer 1957."""
    work, factor = _queue_timeout(lam, mu, tau)
    return factor * work.at(0.0)


def queue_timeout_abandon(lam: float, mu: float, tau: float) -> float:
    """Share that leaves the queue unserved after τ. Source: Barrer 1957: (λ/μ)·P₀·e^{-(μ-λ)τ}."""
    work, factor = _queue_timeout(lam, mu, tau)
    return lam / mu * factor * work.at(tau)


def queue_timeout_success(lam: float, mu: float, tau: float, limit: float) -> float:
    """Share whose service ends within `limit` <= τ of their arrival, when those leave who have waited τ.

    Source: level crossing (Brill 2008): the time in the system has density μ·P₀·e^{-(μ-λ)t} below τ.
    """
    work, factor = _queue_timeout(lam, mu, tau)
    return mu * factor * work.area(limit)


def queue_timeout_queue(lam: float, mu: float, tau: float) -> float:
    """Mean number waiting: λ times the mean of the wait, cut at τ.

    Source: level crossing (Brill 2008) and Little.
    """
    work, factor = _queue_timeout(lam, mu, tau)
    return lam * (lam * factor * work.moment(tau) + tau * (lam / mu * factor * work.at(tau)))


def _bounded_sojourn(lam: float, mu: float, tau: float) -> tuple[_Density, float]:
    """The density of the work in front when every request leaves at τ, and its factor (P₀ at 0)."""
    work = _Density(lam, mu, tau)
    return work, 1.0 / (work.at(0.0) + lam * work.area(tau))


def bounded_sojourn_idle(lam: float, mu: float, tau: float) -> float:
    """P₀ when every request leaves at τ, waiting or served.

    Source: Gnedenko and Kovalenko 1968; 1/(1 + λ(1 - e^{-(μ-λ)τ})/(μ-λ)).
    """
    work, factor = _bounded_sojourn(lam, mu, tau)
    return factor * work.at(0.0)


def bounded_sojourn_timeout(lam: float, mu: float, tau: float) -> float:
    """Share of requests cut at τ: P₀·e^{-(μ-λ)τ}. Source: Gnedenko and Kovalenko 1968."""
    work, factor = _bounded_sojourn(lam, mu, tau)
    return factor * work.at(tau)


def bounded_sojourn_success_sojourn(lam: float, mu: float, tau: float) -> float:
    """Mean time in the system of those who are served in time, s.

    Source: level crossing: their density is μ·P₀·e^{-(μ-λ)t} on [0, τ).
    """
    work = _Density(lam, mu, tau)
    return work.moment(tau) / work.area(tau)


def bounded_sojourn_success(lam: float, mu: float, tau: float, limit: float) -> float:
    """Share whose service ends within `limit` <= τ. Source: level crossing: μ·P₀·∫ e^{-(μ-λ)t} dt."""
    work, factor = _bounded_sojourn(lam, mu, tau)
    return mu * factor * work.area(limit)


def bounded_sojourn_queue(lam: float, mu: float, tau: float) -> float:
    """Mean number waiting: λ times the mean wait (those in front are never more than τ ahead).

    Source: level crossing and Little.
    """
    work, factor = _bounded_sojourn(lam, mu, tau)
    return lam * lam * factor * work.moment(tau)


def client_timeout_ratio(lam: float, mu: float, tau: float) -> float:
    """Share of M/M/1 requests that take longer than τ while the replica goes on working on them: e^{-(μ-λ)τ}.

    Source: Kleinrock, Queueing Systems I, ch. 3: the time in the system is exponential.
    """
    return exp(-(mu - lam) * tau)


def client_timeout_success_latency(lam: float, mu: float, tau: float) -> float:
    """Mean latency, s, of those that make it within τ. Source: the exponential, cut at τ."""
    return bounded_sojourn_success_sojourn(lam, mu, tau)


def client_timeout_latency(lam: float, mu: float, tau: float) -> float:
    """Mean latency the client sees, time-outs counted as τ, s. Source: E[min(T, τ)]."""
    return _Density(lam, mu, tau).area(tau)

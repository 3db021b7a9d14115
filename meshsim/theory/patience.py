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


def _area(rate: float, t: float) -> float:
    """∫ e^{-rate·x} dx from 0 to t."""
    return t if abs(rate * t) < 1e-12 else -expm1(-rate * t) / rate


def _moment(rate: float, t: float) -> float:
    """∫ x·e^{-rate·x} dx from 0 to t."""
    if abs(rate * t) < 1e-5:
        return t * t * (0.5 - rate * t / 3.0)
    return (_area(rate, t) - t * exp(-rate * t)) / rate


def queue_timeout_idle(lam: float, mu: float, tau: float) -> float:
    """P₀ when those leave who have waited τ without being served. Source: Barrer 1957."""
    gap = mu - lam
    return 1.0 / (1.0 + lam * _area(gap, tau) + lam / mu * exp(-gap * tau))


def queue_timeout_abandon(lam: float, mu: float, tau: float) -> float:
    """Share that leaves the queue unserved after τ. Source: Barrer 1957: (λ/μ)·P₀·e^{-(μ-λ)τ}."""
    return lam / mu * queue_timeout_idle(lam, mu, tau) * exp(-(mu - lam) * tau)


def queue_timeout_success(lam: float, mu: float, tau: float, limit: float) -> float:
    """Share whose service ends within `limit` <= τ of their arrival, when those leave who have waited τ.

    Source: level crossing (Brill 2008): the time in the system has density μ·P₀·e^{-(μ-λ)t} below τ.
    """
    return mu * queue_timeout_idle(lam, mu, tau) * _area(mu - lam, limit)


def queue_timeout_queue(lam: float, mu: float, tau: float) -> float:
    """Mean number waiting: λ times the mean of the wait, cut at τ.

    Source: level crossing (Brill 2008) and Little.
    """
    idle = queue_timeout_idle(lam, mu, tau)
    return lam * (lam * idle * _moment(mu - lam, tau) + tau * queue_timeout_abandon(lam, mu, tau))


def bounded_sojourn_idle(lam: float, mu: float, tau: float) -> float:
    """P₀ when every request leaves at τ, waiting or served.

    Source: Gnedenko and Kovalenko 1968; 1/(1 + λ(1 - e^{-(μ-λ)τ})/(μ-λ)).
    """
    return 1.0 / (1.0 + lam * _area(mu - lam, tau))


def bounded_sojourn_timeout(lam: float, mu: float, tau: float) -> float:
    """Share of requests cut at τ: P₀·e^{-(μ-λ)τ}. Source: Gnedenko and Kovalenko 1968."""
    return bounded_sojourn_idle(lam, mu, tau) * exp(-(mu - lam) * tau)


def bounded_sojourn_success_sojourn(lam: float, mu: float, tau: float) -> float:
    """Mean time in the system of those who are served in time, s.

    Source: level crossing: their density is μ·P₀·e^{-(μ-λ)t} on [0, τ).
    """
    return _moment(mu - lam, tau) / _area(mu - lam, tau)


def bounded_sojourn_success(lam: float, mu: float, tau: float, limit: float) -> float:
    """Share whose service ends within `limit` <= τ. Source: level crossing: μ·P₀·∫ e^{-(μ-λ)t} dt."""
    return mu * bounded_sojourn_idle(lam, mu, tau) * _area(mu - lam, limit)


def bounded_sojourn_queue(lam: float, mu: float, tau: float) -> float:
    """Mean number waiting: λ times the mean wait (those in front are never more than τ ahead).

    Source: level crossing and Little.
    """
    return lam * lam * bounded_sojourn_idle(lam, mu, tau) * _moment(mu - lam, tau)


def client_timeout_ratio(lam: float, mu: float, tau: float) -> float:
    """Share of M/M/1 requests that take longer than τ while the replica goes on working on them: e^{-(μ-λ)τ}.

    Source: Kleinrock, Queueing Systems I, ch. 3: the time in the system is exponential.
    """
    return exp(-(mu - lam) * tau)


def client_timeout_success_latency(lam: float, mu: float, tau: float) -> float:
    """Mean latency, s, of those that make it within τ. Source: the exponential, cut at τ."""
    return _moment(mu - lam, tau) / _area(mu - lam, tau)


def client_timeout_latency(lam: float, mu: float, tau: float) -> float:
    """Mean latency the client sees, time-outs counted as τ, s. Source: E[min(T, τ)]."""
    return _area(mu - lam, tau)

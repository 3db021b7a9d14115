"""From arrivals and service times to waits: one function a kind of queue, in Kendall's notation.

Sources are those of the formulas used; each result names its own.
"""
# ruff: noqa: RUF001 (formulas are written with the field's symbols)

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import inf, isfinite, log
from typing import Literal

import numpy as np

from meshsim.theory import erlang, finite, general, markov, renewal
from meshsim.theory.numeric import Floats
from meshsim.theory.recognise.law import Lattice, Law
from meshsim.theory.recognise.responses import Wait
from meshsim.theory.recognise.structure import OverloadError, UnsolvedError
from meshsim.theory.recognise.times import exponential
from meshsim.units import UNLIMITED

ROOM_MAX = 400
SEEN_MAX = 4_000
STATES_MAX = 2_000_000
PHASES_MAX, WORKERS_MAX = 64, 1_000  # of the matrices that solve MAP/M/c
NEVER_FULL = 50.0  # -ln of a share that makes no difference

KLEINROCK = "Kleinrock, Queueing Systems I, ch. 3"


@dataclass(frozen=True, slots=True)
class Arrivals:
    """The arrivals at one replica: ``erlang`` is every k-th of a Poisson process; ``other`` goes by `ca2`."""

    process: Literal["poisson", "constant", "erlang", "mmpp", "other"]
    rate: float  # per second
    doubt: str = ""  # what keeps them from being exactly so
    k: int = 1
    ca2: float = 1.0  # squared coefficient of variation of the gaps, for approximations
    phases: tuple[Floats, Floats] | None = None  # (D0, D1) of ``mmpp``


@dataclass(frozen=True, slots=True)
class Service:
    """How one replica serves."""

    law: Law  # of the time a worker is taken
    exponential: bool
    workers: int
    room: int  # how many may wait
    fifo: bool = True
    known_scv: float | None = None  # squared coefficient of variation of the time, where it is known exactly

    @property
    def lattice(self) -> Lattice:
        """Of the laws of times, the wait's included."""
        return self.law.lattice

    @property
    def mean(self) -> float:
        """Of the time a worker is taken, s."""
        return self.law.mean

    @property
    def scv(self) -> float:
        """Its squared coefficient of variation."""
        if self.known_scv is not None:
            return self.known_scv
        if self.law.known and self.mean > 0.0:
            return max(self.law.second_moment() / self.mean**2 - 1.0, 0.0)
        return 0.0 if self.mean == 0.0 else inf


@dataclass(frozen=True, slots=True)
class Queue:
    """One replica's queue, solved by a formula."""

    wait: Wait
    utilisation: float
    waiting: float  # mean number
    formula: str
    source: str
    exact: bool = True  # the means


@dataclass(frozen=True, slots=True)
class Solved:
    """A station, solved or not."""

    queue: Queue | None  # of one replica; None where nothing is known
    rate: float  # attempts (passes, of a sidecar) per second at one replica
    reason: str = ""  # why it is not exact, or not solved
    overloaded: bool = False  # its queue grows without end

    @property
    def exact(self) -> bool:
        """Whether the means are."""
        return self.queue is not None and self.queue.exact


def solve_queue(arrivals: Arrivals, service: Service) -> Queue:
    """Solve the queue of one replica.

    Raises:
        UnsolvedError: it has no steady state, or nothing is known of it.
    """
    if service.mean == 0.0:
        wait = Wait(Law.atom(service.law.lattice))
        return _result(arrivals, service, wait, "service takes no time: no wait", "definition")
    load = arrivals.rate * service.mean / service.workers
    if not isfinite(load):
        raise UnsolvedError("the time its workers are taken is not known")
    if service.room < UNLIMITED and not (0.0 < load < 1.0 and -log(load) * service.room > NEVER_FULL):
        solved = _finite(arrivals, service)
    elif load >= 1.0:
        raise OverloadError(f"it is asked for {load:.4g} times what it can do: the queue grows without end")
    else:
        solved = _unlimited(arrivals, service)(arrivals, service)
    if service.fifo:
        return solved
    wait = Wait(Law.mean_only(service.lattice, solved.wait.law.mean), solved.wait.refused)
    return replace(solved, wait=wait, formula=f"{solved.formula}; the mean is that of any order")


def _unlimited(arrivals: Arrivals, service: Service) -> Callable[[Arrivals, Service], Queue]:
    """The solver for an unlimited waiting room."""
    if arrivals.process in ("poisson", "other") and arrivals.ca2 == 1.0:
        if service.exponential:
            return _mmc
        return _mg1 if service.workers == 1 else _ggc
    if service.exponential and arrivals.process in ("constant", "erlang") and service.workers == 1:
        return _gm1
    phases = arrivals.k if arrivals.phases is None else len(arrivals.phases[0])
    small = phases <= PHASES_MAX and service.workers <= WORKERS_MAX
    if service.exponential and small and (arrivals.process == "erlang" or arrivals.phases is not None):
        return _map_m_c
    if arrivals.phases is not None:
        raise UnsolvedError(
            f"MMPP arrivals are solved for exponential service, at most {PHASES_MAX} states and"
            f" {WORKERS_MAX:,} workers only"
        )
    return _ggc


def _result(arrivals: Arrivals, service: Service, wait: Wait, formula: str, source: str) -> Queue:
    taken = arrivals.rate * (1.0 - wait.refused)
    utilisation = taken * service.mean / service.workers
    return Queue(wait, utilisation, taken * wait.law.mean, formula, source, not arrivals.doubt)


def _exponential_wait(service: Service, chance: float, mean: float) -> Law:
    """The law of a wait that is exponential where there is any."""
    waits = exponential(service.lattice, mean).scaled(chance)
    return Law.atom(service.lattice, 0.0, 1.0 - chance).plus(waits)


def _mmc(arrivals: Arrivals, service: Service) -> Queue:
    lam, mu, c = arrivals.rate, 1.0 / service.mean, service.workers
    law = _exponential_wait(service, erlang.erlang_c(c, lam / mu), 1.0 / (c * mu - lam))
    wait = Wait(law, rho=lam / mu if c == 1 else None)
    return _result(arrivals, service, wait, f"M/M/{c}: wait C/(cμ-λ)", f"Erlang 1917; {KLEINROCK}")


def _gm1(arrivals: Arrivals, service: Service) -> Queue:
    mu = 1.0 / service.mean
    if arrivals.process == "constant":
        sigma, name = renewal.dm1_sigma(1.0 / arrivals.rate, mu), "D"
    else:
        sigma, name = renewal.ekm1_sigma(arrivals.rate, arrivals.k, mu), f"E{arrivals.k}"
    law = _exponential_wait(service, sigma, 1.0 / (mu * (1.0 - sigma)))
    formula = f"{name}/M/1: wait σ/(μ(1-σ)), σ = {sigma:.6g}"
    return _result(arrivals, service, Wait(law), formula, "Kleinrock, Queueing Systems I, ch. 6")


def _map_m_c(arrivals: Arrivals, service: Service) -> Queue:
    mu, c = 1.0 / service.mean, service.workers
    phases = arrivals.phases or markov.erlang_renewal(arrivals.rate, arrivals.k)
    solved = markov.map_m_c(*phases, mu, c)
    formula = f"{'MMPP' if arrivals.phases else f'E{arrivals.k}'}/M/{c}: matrix-geometric"
    wait = Wait(seen_wait(solved.seen, service))
    return _result(arrivals, service, wait, formula, "Neuts 1981; Latouche and Ramaswami 1993")


def _mg1(arrivals: Arrivals, service: Service) -> Queue:
    lam, rho = arrivals.rate, arrivals.rate * service.mean
    mean = general.mg1_wait(lam, service.mean, service.scv)
    if not service.law.known:
        law = Law.mean_only(service.lattice, mean)
    else:
        # W = a geometric number of residual services: the compound's transform is (1-ρ)/(1-ρR*)
        lattice = service.lattice
        residual = np.diff(_capped(service.law, lattice.edges)) / service.mean
        n = 2 * lattice.size
        transform = (1.0 - rho) / (1.0 - rho * np.fft.rfft(residual, n))
        cells = np.fft.irfft(transform, n)[: lattice.size]
        cells[0] -= 1.0 - rho
        law = Law(lattice, np.array([0.0]), np.array([1.0 - rho]), np.maximum(cells, 0.0), 1.0, mean)
    return _result(arrivals, service, Wait(law), "M/G/1: wait λE[S²]/2(1-ρ)", "Pollaczek-Khinchine")


def _ggc(arrivals: Arrivals, service: Service) -> Queue:
    c = service.workers
    if c == 1:
        mean = general.kingman_wait(arrivals.rate, service.mean, arrivals.ca2, service.scv)
        formula, source = "G/G/1: wait ρ/(1-ρ)·(ca²+cs²)/2·E[S]", "Kingman 1961"
    else:
        mean = general.allen_cunneen_wait(arrivals.rate, service.mean, c, arrivals.ca2, service.scv)
        formula, source = f"G/G/{c}: wait of M/M/{c} times (ca²+cs²)/2", "Allen and Cunneen 1978"
    solved = _result(arrivals, service, Wait(Law.mean_only(service.lattice, mean)), formula, source)
    return replace(solved, exact=False)


def _finite(arrivals: Arrivals, service: Service) -> Queue:
    """Poisson arrivals at a finite waiting room."""
    lam, c, K = arrivals.rate, service.workers, service.workers + service.room
    if arrivals.process not in ("poisson", "other") or arrivals.ca2 != 1.0:
        raise UnsolvedError("a finite queue is solved for Poisson arrivals only")
    if service.room == 0:
        lost = erlang.erlang_b(c, lam * service.mean)
        wait = Wait(Law.atom(service.lattice), lost)
        return _result(arrivals, service, wait, f"M/G/{c}/{c}: Erlang B", "Erlang 1917")
    if K > STATES_MAX:
        raise UnsolvedError(f"a waiting room for {service.room:,} is too large to follow")
    if service.exponential:
        solved = finite.mmck(lam, 1.0 / service.mean, c, K)
        wait = Wait(seen_wait(solved.seen, service), solved.block)
        return _result(arrivals, service, wait, f"M/M/{c}/{K}", KLEINROCK)
    if c > 1 or K > ROOM_MAX:
        raise UnsolvedError("a finite queue is solved for exponential service or one worker only")
    p = finite.mg1k(_arrivals_in_service(lam, service.law, K), lam * service.mean)
    waiting, full = float(np.maximum(np.arange(K + 1) - 1, 0) @ p), float(p[K])
    wait = Wait(Law.mean_only(service.lattice, waiting / (lam * (1.0 - full))), full)
    formula = f"M/G/1/{K}: chain of departures"
    return _result(arrivals, service, wait, formula, "Gross and Harris 1998, 5.1.8")


def _arrivals_in_service(lam: float, law: Law, K: int) -> Floats:
    """P(j Poisson arrivals during a service), j = 0 … K-1."""
    times = np.concatenate([law.times, law.lattice.times])
    masses = np.concatenate([law.masses, law.cells])
    keep = masses > 0.0
    means, term = lam * times[keep], masses[keep] * np.exp(-lam * times[keep])
    out = np.zeros(K)
    for j in range(K):
        out[j] = term.sum()
        term = term * means / (j + 1.0)
    return out


def seen_wait(seen: Floats, service: Service) -> Law:
    """The wait of who finds n with probability seen(n): n-c+1 departures at rate c/mean, if n >= c.

    Source: Grübel and Hermesmeier 1999: the transform of a compound distribution.
    """
    c, lattice = service.workers, service.lattice
    counts = np.concatenate([[float(seen[:c].sum())], seen[c:]])
    mean = float(np.arange(len(counts)) @ counts) * service.mean / c
    if len(counts) > SEEN_MAX:
        return Law.mean_only(lattice, mean)
    n = 2 * lattice.size
    step = np.fft.rfft(exponential(lattice, service.mean / c).cells, n)
    transform = np.zeros(len(step), dtype=np.complex128)
    for count in counts[:0:-1]:
        transform = (transform + count) * step
    cells = np.maximum(np.fft.irfft(transform, n)[: lattice.size], 0.0)
    return Law(lattice, np.array([0.0]), counts[:1], cells, float(counts.sum()), mean)


def _capped(law: Law, x: Floats) -> Floats:
    """E[min(T, x)] of a law at the lattice's edges."""
    tail = law.mass - law.cdf(x)
    widths = np.diff(x)
    pieces = 0.5 * (tail[1:] + tail[:-1]) * widths
    for time, mass in zip(law.times, law.masses, strict=True):  # the trapezoid takes a jump to be a slope
        cell = int(np.searchsorted(x, time, side="left")) - 1
        if 0 <= cell < len(widths):
            pieces[cell] += mass * ((time - x[cell]) - 0.5 * widths[cell])
    return np.concatenate([[0.0], np.cumsum(pieces)])

"""Laws of the times that a scenario configures: each distribution by x -> E[min(T, x)].

Source:
    Johnson, Kotz and Balakrishnan, Continuous Univariate Distributions (1994): limited expected values.
"""

from __future__ import annotations

from functools import partial, reduce, singledispatch
from math import erfc, gamma, sqrt

import numpy as np

from meshsim import random
from meshsim.theory.numeric import Floats, incomplete_gamma
from meshsim.theory.recognise.law import ATOMS_MAX, Lattice, Law, mixture
from meshsim.theory.recognise.structure import UnsolvedError


def law_of(lattice: Lattice, time: random.Distribution) -> Law:
    """The law of a configured time, on a lattice."""
    certain = isinstance(time, random.Constant) or (isinstance(time, random.Uniform) and time.width == 0.0)
    if certain or time.mean == 0.0:
        return Law.atom(lattice, time.mean)
    if isinstance(time, random.Empirical) and len(time.values) <= ATOMS_MAX:
        return mixture([Law.atom(lattice, value, 1.0 / len(time.values)) for value in time.values], lattice)
    if isinstance(time, random.Mixture):
        weights = np.diff(np.concatenate([[0.0], time.upper]))
        shares = zip(weights, time.parts, strict=True)
        return mixture((law_of(lattice, part).scaled(float(w)) for w, part in shares if w > 0.0), lattice)
    if isinstance(time, random.Sum):
        return reduce(Law.then, (law_of(lattice, part) for part in time.parts))
    return Law.from_capped_mean(lattice, partial(capped_mean, time), time.mean)


def exponential(lattice: Lattice, mean: float) -> Law:
    """An exponential law."""
    return law_of(lattice, random.Exponential(mean))


@singledispatch
def capped_mean(time: random.Distribution, x: Floats) -> Floats:
    """E[min(T, x)] of a continuous or empirical time, s."""
    raise UnsolvedError(f"no formula here knows {type(time).__name__} times")


@capped_mean.register
def _exponential(time: random.Exponential, x: Floats) -> Floats:
    return np.asarray(-time.mean * np.expm1(-x / time.mean))


def _gamma_like(shape: float, scale: float, x: Floats) -> Floats:
    z = x / scale
    below = shape * scale * incomplete_gamma(shape + 1.0, z)
    return np.asarray(below + x * (1.0 - incomplete_gamma(shape, z)))


@capped_mean.register
def _erlang(time: random.Erlang, x: Floats) -> Floats:
    return _gamma_like(float(time.k), time.mean / time.k, x)


@capped_mean.register
def _gamma(time: random.Gamma, x: Floats) -> Floats:
    return _gamma_like(time.shape, time.scale, x)


@capped_mean.register
def _lognormal(time: random.LogNormal, x: Floats) -> Floats:
    with np.errstate(divide="ignore"):
        z = np.log(x / time.median) / time.sigma
    return np.asarray(time.mean * (1.0 - _upper(z - time.sigma)) + x * _upper(z))


def _upper(z: Floats) -> Floats:
    """The standard normal's tail."""
    return np.array([0.5 * erfc(value / sqrt(2.0)) for value in z.tolist()])


@capped_mean.register
def _weibull(time: random.Weibull, x: Floats) -> Floats:
    power = 1.0 / time.inverse_shape
    with np.errstate(over="ignore"):  # beyond the longest time; e^-z is 0 long before
        z = (x / time.scale) ** power
    mean = time.scale * gamma(1.0 + time.inverse_shape)
    return np.asarray(mean * incomplete_gamma(1.0 + time.inverse_shape, z) + x * np.exp(-z))


@capped_mean.register
def _pareto(time: random.Pareto, x: Floats) -> Floats:
    a = 1.0 / time.inverse_shape
    over = np.maximum(x / time.least, 1.0)
    return np.asarray(np.minimum(x, time.least) + time.least * (1.0 - over ** (1.0 - a)) / (a - 1.0))


@capped_mean.register
def _uniform(time: random.Uniform, x: Floats) -> Floats:
    inside = np.clip(x - time.low, 0.0, time.width)
    return np.asarray(np.minimum(x, time.low) + inside - 0.5 * inside * inside / time.width)


@capped_mean.register
def _empirical(time: random.Empirical, x: Floats) -> Floats:
    values = np.sort(np.array(time.values))
    below = np.concatenate([[0.0], np.cumsum(values)])
    count = np.searchsorted(values, x)
    return np.asarray((below[count] + x * (len(values) - count)) / len(values))

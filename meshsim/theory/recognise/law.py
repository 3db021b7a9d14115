"""Distributions of time one can calculate with: sums, maxima, minima, cuts, mixtures.

A law is atoms (constants, time-outs) and a density on a lattice of equal steps, the mass around k·step at
index k; what lies beyond the lattice is only a mass. Atoms keep their exact times. A density that is put on
the lattice keeps its mean, so that errors are of second order in the step; means are carried along exactly.
A law may be *defective* (mass below 1: "succeeds, and by then") and its shape unknown (only mass and mean).

Source:
    Grübel and Hermesmeier, Computation of Compound Distributions, ASTIN Bulletin 29 (1999), for the
    discretisation and its error.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, replace
from functools import reduce
from math import inf, isinf, nan

import numpy as np

from meshsim.theory.numeric import Floats

ATOMS_MAX = 64
NO_TIMES: Floats = np.zeros(0)


class ShapeUnknownError(Exception):
    """An operation needs the whole distribution where only the mean is known."""


@dataclass(frozen=True, slots=True)
class Lattice:
    """Times k·step (s), k = 0 … size-1; the size is a power of two."""

    step: float
    size: int

    @property
    def times(self) -> Floats:
        """The lattice points, s."""
        return np.asarray(self.step * np.arange(self.size))

    @property
    def edges(self) -> Floats:
        """0 and the upper edges of the cells around the points, s; `size` + 1 of them."""
        return np.concatenate([[0.0], self.step * (np.arange(self.size) + 0.5)])

    @property
    def horizon(self) -> float:
        """Where the lattice ends, s."""
        return self.step * (self.size - 0.5)


@dataclass(frozen=True, slots=True)
class Law:
    """A distribution of time (s), perhaps defective."""

    lattice: Lattice
    times: Floats  # of the atoms, in order
    masses: Floats  # of the atoms
    cells: Floats  # (size,) mass of the density around each lattice point
    mass: float  # in all
    moment: float  # ∫ t dP; the mean times the mass
    known: bool = True  # whether atoms and cells mean anything

    # ---- making ---------------------------------------------------------------------------------

    @classmethod
    def atom(cls, lattice: Lattice, time: float = 0.0, mass: float = 1.0) -> Law:
        """All the mass at one time."""
        times, masses = np.array([time]), np.array([mass])
        return cls(lattice, times, masses, np.zeros(lattice.size), mass, time * mass if mass else 0.0)

    @classmethod
    def none(cls, lattice: Lattice) -> Law:
        """No mass at all."""
        return cls.atom(lattice, 0.0, 0.0)

    @classmethod
    def mean_only(cls, lattice: Lattice, mean: float, mass: float = 1.0) -> Law:
        """A law of which only the mean is known."""
        return cls(lattice, NO_TIMES, NO_TIMES, np.zeros(lattice.size), mass, mean * mass, known=False)

    @classmethod
    def from_capped_mean(cls, lattice: Lattice, capped: Callable[[Floats], Floats], mean: float) -> Law:
        """A continuous law by x -> E[min(T, x)]; cells are second differences, which keep the mean."""
        values = np.concatenate([capped(lattice.times), capped(np.array([lattice.size * lattice.step]))])
        slopes = np.diff(values) / lattice.step
        cells = np.concatenate([[1.0 - slopes[0]], slopes[:-1] - slopes[1:]])
        return cls(lattice, NO_TIMES, NO_TIMES, np.maximum(cells, 0.0), 1.0, mean)

    @classmethod
    def from_cdf(cls, lattice: Lattice, cdf: Callable[[Floats], Floats], moment: float, end: float) -> Law:
        """A continuous, perhaps defective law by its distribution function, all of it below `end`."""
        cells = np.diff(cdf(np.minimum(lattice.edges, end)))
        return cls(lattice, NO_TIMES, NO_TIMES, cells, float(cdf(np.array([end]))[0]), moment)

    # ---- asking ---------------------------------------------------------------------------------

    @property
    def mean(self) -> float:
        """Of a law with mass; NaN of one without."""
        return self.moment / self.mass if self.mass > 0.0 else nan

    @property
    def beyond(self) -> float:
        """The mass behind the lattice."""
        return max(self.mass - float(self.masses.sum()) - float(self.cells.sum()), 0.0)

    @property
    def constant(self) -> bool:
        """Whether it is one atom."""
        return self.known and len(self.times) == 1 and float(self.masses[0]) >= self.mass

    def cdf(self, x: Floats, *, before: bool = False) -> Floats:
        """P(T <= x), or P(T < x)."""
        self._require_shape()
        lattice = self.lattice
        smooth = np.interp(x, lattice.edges, np.concatenate([[0.0], np.cumsum(self.cells)]))
        if not len(self.times):
            return np.asarray(smooth)
        below = np.concatenate([[0.0], np.cumsum(self.masses)])
        return np.asarray(smooth + below[np.searchsorted(self.times, x, side="left" if before else "right")])

    def quantile(self, p: float) -> float:
        """The smallest t with P(T <= t) >= p·mass; infinite behind the lattice."""
        self._require_shape()
        target = p * self.mass - 1e-14
        reach = max(self.lattice.horizon, float(self.times[-1]) if len(self.times) else 0.0)
        if float(self.cdf(np.array([reach]))[0]) < target:
            return inf
        points = np.unique(np.concatenate([self.lattice.edges, self.times]))
        last = int(np.searchsorted(self.cdf(points), target))
        high = float(points[min(last, len(points) - 1)])
        if last == 0 or float(self.cdf(np.array([high]), before=True)[0]) < target:
            return high
        low = float(points[last - 1])
        start, end = float(self.cdf(np.array([low]))[0]), float(self.cdf(np.array([high]), before=True)[0])
        return low + (high - low) * (target - start) / (end - start) if end > start else high

    def second_moment(self) -> float:
        """∫ t² dP on the lattice; infinite if much lies behind it."""
        self._require_shape()
        if self.beyond > 1e-5 * self.mass:
            return inf
        return float(self.masses @ self.times**2 + self.cells @ self.lattice.times**2)

    def excess(self) -> float:
        """∫ (t - horizon)⁺ dP of the density."""
        inside = float(self.cells @ self.lattice.times) + float(self.masses @ self.times)
        return max(self.moment - inside - self.beyond * self.lattice.horizon, 0.0)

    # ---- calculating ----------------------------------------------------------------------------

    def scaled(self, factor: float) -> Law:
        """Thinned to a share of its mass."""
        if factor == 1.0:
            return self
        mass, moment = self.mass * factor, self.moment * factor if factor else 0.0
        return replace(self, masses=self.masses * factor, cells=self.cells * factor, mass=mass, moment=moment)

    def plus(self, other: Law) -> Law:
        """Either of two exclusive cases."""
        if other.mass == 0.0:
            return self
        if self.mass == 0.0:
            return other
        atoms = np.concatenate([self.times, other.times]), np.concatenate([self.masses, other.masses])
        times, masses, spill = _merged(self.lattice, *atoms)
        cells, mass = self.cells + other.cells + spill, self.mass + other.mass
        moment, known = self.moment + other.moment, self.known and other.known
        return Law(self.lattice, times, masses, cells, mass, moment, known)

    def then(self, other: Law) -> Law:
        """One after the other, independently."""
        mass = self.mass * other.mass
        if mass == 0.0:
            return Law.none(self.lattice)
        moment = self.moment * other.mass + other.moment * self.mass
        if not (self.known and other.known):
            return Law.mean_only(self.lattice, moment / mass, mass)
        if self.constant and self.times[0] == 0.0:
            return other.scaled(self.mass)
        if other.constant and other.times[0] == 0.0:
            return self.scaled(other.mass)
        cells = _convolved(self.cells, other.cells) + _shifted(self, other) + _shifted(other, self)
        atoms = np.add.outer(self.times, other.times), np.multiply.outer(self.masses, other.masses)
        times, masses, spill = _merged(self.lattice, atoms[0].ravel(), atoms[1].ravel())
        return Law(self.lattice, times, masses, cells + spill, mass, moment)

    def before(self, end: float) -> Law:
        """The part before `end`, which may be infinite."""
        if isinf(end):
            return self
        self._require_shape()
        take = self.times < end
        times, masses = self.times[take], self.masses[take]
        edges = self.lattice.edges
        share = np.clip((end - edges[:-1]) / np.diff(edges), 0.0, 1.0)
        cells = self.cells * share
        middle = np.minimum(self.lattice.times, np.maximum(0.5 * (edges[:-1] + end), 0.0))
        moment = float(masses @ times + cells @ np.minimum(middle, end))
        return Law(self.lattice, times, masses, cells, float(masses.sum() + cells.sum()), moment)

    def minus(self, part: Law) -> Law:
        """What is left without a part of it."""
        if not (self.known and part.known):
            mass = self.mass - part.mass
            if mass <= 1e-15:
                return Law.none(self.lattice)
            return Law.mean_only(self.lattice, (self.moment - part.moment) / mass, mass)
        left = self.plus(part.scaled(-1.0))
        masses, cells = np.maximum(left.masses, 0.0), np.maximum(left.cells, 0.0)
        return Law(self.lattice, left.times, masses, cells, max(left.mass, 0.0), max(left.moment, 0.0))

    def _require_shape(self) -> None:
        if not self.known:
            raise ShapeUnknownError


def mixture(parts: Iterable[Law], lattice: Lattice) -> Law:
    """Any of several exclusive cases."""
    return reduce(Law.plus, parts, Law.none(lattice))


def maximum(laws: Sequence[Law]) -> Law:
    """All of several independent ones have happened; its mean takes their shapes."""
    if len(laws) == 1:
        return laws[0]
    masses = np.array([law.mass for law in laws])
    mass = float(masses.prod())
    if mass == 0.0:
        return Law.none(laws[0].lattice)
    if not all(law.known for law in laws):
        return Law.mean_only(laws[0].lattice, nan, mass)
    behind = sum(law.excess() / law.mass for law in laws) * mass
    return _combined(laws, np.multiply.reduce, mass, behind)


def minimum(laws: Sequence[Law]) -> Law:
    """The first of several independent ones, none of them defective."""
    return _combined(laws, lambda values: 1.0 - np.multiply.reduce([1.0 - each for each in values]))


def _combined(
    laws: Sequence[Law], combine: Callable[[list[Floats]], Floats], mass: float = 1.0, behind: float = 0.0
) -> Law:
    """The law whose distribution function is a function of several laws' at the same time."""
    lattice = laws[0].lattice
    groups = list({id(law): law for law in laws}.values())
    counts = [sum(other is law for other in laws) for law in groups]

    def joint(x: Floats, before: bool = False) -> Floats:
        values = [law.cdf(x, before=before) for law in groups]
        return combine([value for value, count in zip(values, counts, strict=True) for _ in range(count)])

    times = np.unique(np.concatenate([law.times for law in groups]))
    masses = joint(times) - joint(times, before=True) if len(times) else NO_TIMES
    total = joint(lattice.edges)
    atoms = np.concatenate([[0.0], np.cumsum(masses)])[np.searchsorted(times, lattice.edges, side="right")]
    cells = np.maximum(np.diff(total - atoms), 0.0)
    times, masses, spill = _merged(lattice, times, masses)
    inside = float(masses @ times + (cells + spill) @ lattice.times)
    beyond = max(mass - float(masses.sum() + cells.sum() + spill.sum()), 0.0)
    return Law(lattice, times, masses, cells + spill, mass, inside + beyond * lattice.horizon + behind)


def _convolved(a: Floats, b: Floats) -> Floats:
    if not a.any() or not b.any():
        return np.zeros(len(a))
    n = 2 * len(a)
    product = np.fft.irfft(np.fft.rfft(a, n) * np.fft.rfft(b, n), n)
    return np.maximum(product[: len(a)], 0.0)


def _shifted(atoms: Law, density: Law) -> Floats:
    """A density moved by each of some atoms."""
    out = np.zeros(density.lattice.size)
    if not density.cells.any():
        return out
    for time, mass in zip(atoms.times, atoms.masses, strict=True):
        for offset, share in _neighbours(density.lattice, time):
            out[offset:] += mass * share * density.cells[: len(out) - offset]
    return out


def _neighbours(lattice: Lattice, time: float) -> list[tuple[int, float]]:
    """The lattice points around a time, and the shares of a mass there that keep its mean."""
    place = time / lattice.step
    whole = int(place)
    both = (whole, 1.0 - place + whole), (whole + 1, place - whole)
    return [(cell, share) for cell, share in both if cell < lattice.size and share > 0.0]


def _merged(lattice: Lattice, times: Floats, masses: Floats) -> tuple[Floats, Floats, Floats]:
    """Atoms in order, equal times as one; the least of too many go to the lattice."""
    spill = np.zeros(lattice.size)
    keep = masses != 0.0
    times, masses = times[keep], masses[keep]
    if len(times) > 1:
        order = np.argsort(times)
        times, masses = times[order], masses[order]
        first = np.concatenate([[True], np.diff(times) > 1e-12 * np.maximum(times[1:], 1e-9)])
        masses = np.add.reduceat(masses, np.flatnonzero(first))
        times = times[first]
    if len(times) > ATOMS_MAX:
        least = np.argsort(np.abs(masses))[:-ATOMS_MAX]
        for index in least:
            for cell, share in _neighbours(lattice, times[index]):
                spill[cell] += masses[index] * share
        times, masses = np.delete(times, least), np.delete(masses, least)
    return times, masses, spill

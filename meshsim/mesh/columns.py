"""Columns of numbers: plain arrays, replaced by longer ones when full; the compiled engine fills them too."""

from __future__ import annotations

from array import array

from meshsim.random import Key


def floats(length: int) -> array[float]:
    """A column of zeros."""
    return array("d", (0.0,)) * length


def integers(length: int) -> array[int]:
    """A column of 64-bit zeros."""
    return array("q", (0,)) * length


def unsigned(length: int) -> array[Key]:
    """A column of unsigned 64-bit zeros."""
    return array("Q", (0,)) * length


def longer_floats(column: array[float], length: int) -> array[float]:
    """The column with zeros up to a new length."""
    longer: array[float] = floats(length)
    longer[: len(column)] = column
    return longer


def longer_integers(column: array[int], length: int) -> array[int]:
    """The column with zeros up to a new length."""
    longer: array[int] = integers(length)
    longer[: len(column)] = column
    return longer


def longer_unsigned(column: array[Key], length: int) -> array[Key]:
    """The column with zeros up to a new length."""
    longer: array[Key] = unsigned(length)
    longer[: len(column)] = column
    return longer

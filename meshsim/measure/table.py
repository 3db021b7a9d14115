"""Columns of equal length by name: what pandas and Parquet are fed with."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import fields
from typing import TYPE_CHECKING, Any, TypeVar, cast

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd
    from _typeshed import DataclassInstance

Table = dict[str, NDArray[Any]]
"""(n,) columns by name, in order."""
Rows = TypeVar("Rows")
KINDS: dict[str, tuple[type, object]] = {
    "Ints": (np.int64, 0),
    "Floats": (np.float64, np.nan),
    "Words": (np.str_, ""),
    "Truths": (np.bool_, False),
}
"""numpy's type of each type of column, and what stands in a column that a body of the mesh does not know."""


def meanings(kind: type) -> dict[str, str]:
    """The columns that a dataclass declares with a `meaning`: files have them too, under the same name."""
    places = fields(cast("type[DataclassInstance]", kind))
    return {place.name: place.metadata["meaning"] for place in places if "meaning" in place.metadata}


def table_of(kind: type[Rows], column: Callable[[str, type], Any], rows: int) -> Rows:
    """The table that a dataclass declares: its fields are the columns, of the types in `KINDS`.

    `column` gives the values of a column by its name and numpy's type; None where they are not known.
    """
    found: dict[str, Any] = {}
    for place in fields(cast("type[DataclassInstance]", kind)):
        dtype, unknown = KINDS[str(place.type)]
        values = column(place.name, dtype)
        if values is None:  # zeros need no writing
            values = np.full(rows, unknown, dtype) if unknown else np.zeros(rows, dtype)
        found[place.name] = np.asarray(values, dtype)
    return kind(**found)


def columns(rows: Sequence[Mapping[str, Any]], kinds: Mapping[str, type]) -> Table:
    """Columns of these types, of rows by column; a number that is None or missing is NaN."""
    return {name: np.array([row.get(name) for row in rows], dtype=kind) for name, kind in kinds.items()}


def frame(table: Table) -> pd.DataFrame:
    """A table as a pandas data frame (pandas is slow to import, so only who asks for a frame does)."""
    import pandas as pd  # noqa: PLC0415

    # from strings as Python objects pandas infers its own string type
    strings = {name: column.astype(object) for name, column in table.items() if column.dtype.kind == "U"}
    return pd.DataFrame(table | strings)

"""Columns of equal length by name: what pandas and Parquet are fed with."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from numpy.typing import NDArray

if TYPE_CHECKING:
    import pandas as pd

Table = dict[str, NDArray[Any]]
"""(n,) columns by name, in order."""


def frame(table: Table) -> pd.DataFrame:
    """A table as a pandas data frame (pandas is slow to import, so only who asks for a frame does)."""
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame({name: _plain(column) for name, column in table.items()})


def _plain(column: NDArray[Any]) -> Any:
    """Strings as Python objects, from which pandas infers its own string type."""
    return column.astype(object) if column.dtype.kind == "U" else column

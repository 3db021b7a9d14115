"""Spans as arrays, on their way from a process of the mesh to the launcher."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshsim.mesh.spans import Tracer

FIELDS = {
    "kind": np.int64, "half": np.uint64, "trace": np.uint64, "span": np.uint64, "parent": np.uint64,
    "route": np.int64, "replica": np.int64, "number": np.int64, "attempt_kind": np.int64, "extra": np.bool_,
    "start": np.float64, "end": np.float64, "status": np.int64, "flags": np.int64,
}  # fmt: skip
"""The columns of `Tracer.rows`, in order."""


def span_rows(tracer: Tracer) -> dict[str, NDArray[Any]]:
    """A tracer's rows, column by column."""
    columns = list(zip(*tracer.rows, strict=True)) or [() for _ in FIELDS]
    return {
        f"span_{name}": np.array(column, dtype=kind)
        for (name, kind), column in zip(FIELDS.items(), columns, strict=True)
    }


def unpacked(rows: Mapping[str, NDArray[Any]]) -> Iterator[tuple[Any, ...]]:
    """The rows of the tracer of which `span_rows` made these."""
    return zip(*(rows[f"span_{name}"].tolist() for name in FIELDS), strict=True)

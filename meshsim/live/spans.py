"""Spans as arrays, on their way from a process of the mesh to the launcher."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
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


HELD = 1 << 16
"""Rows that a process holds while the launcher takes none; more are dropped."""


class SpanFeed:
    """A process's spans: all of them at its end if they are `kept`, and as they come if they are `wanted`.

    Rows are in memory no longer than that asks for. `lost` have been dropped since they were last taken.
    """

    def __init__(self, *, kept: bool, wanted: bool) -> None:
        self.tracer = Tracer()
        self.lost = 0
        self._kept = kept
        self._wanted = wanted
        self._taken = 0

    def take(self) -> bytes:
        """The rows since the last time, as `read` reads them; none if they are not wanted."""
        rows = self.tracer.rows
        if not self._wanted:
            self._forget(len(rows))
            return b""
        new = rows[self._taken :]
        self._forget(len(rows))
        return b"".join(column.tobytes() for column in _columns(new).values()) if new else b""

    def hold(self) -> None:
        """Nobody takes rows now."""
        waiting = len(self.tracer.rows) - self._taken
        if not self._wanted:
            self._forget(len(self.tracer.rows))
        elif waiting > HELD:
            self.lost += waiting - HELD
            self._forget(self._taken + waiting - HELD)

    def _forget(self, until: int) -> None:
        """Rows up to there have been taken, or will not be."""
        if self._kept:
            self._taken = until
        else:
            del self.tracer.rows[:until]

    def rows(self) -> dict[str, NDArray[Any]]:
        """All that were kept, column by column."""
        return _columns(self.tracer.rows if self._kept else [])


def read(data: bytes) -> list[tuple[Any, ...]]:
    """The rows that `SpanFeed.take` packed."""
    count = len(data) // ROW_BYTES
    columns, begin = [], 0
    for kind in FIELDS.values():
        columns.append(np.frombuffer(data, kind, count, begin).tolist())
        begin += columns_bytes(kind, count)
    return list(zip(*columns, strict=True))


def columns_bytes(kind: type, count: int) -> int:
    """How long a column is, bytes."""
    return np.dtype(kind).itemsize * count


ROW_BYTES = sum(columns_bytes(kind, 1) for kind in FIELDS.values())


def _columns(rows: Sequence[tuple[Any, ...]]) -> dict[str, NDArray[Any]]:
    columns = list(zip(*rows, strict=True)) or [() for _ in FIELDS]
    return {
        f"span_{name}": np.array(column, dtype=kind)
        for (name, kind), column in zip(FIELDS.items(), columns, strict=True)
    }


def unpacked(rows: Mapping[str, NDArray[Any]]) -> Iterator[tuple[Any, ...]]:
    """The rows of the tracer of which `span_rows` made these."""
    return zip(*(rows[f"span_{name}"].tolist() for name in FIELDS), strict=True)

"""Spans on their way from a process of the mesh to the launcher."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

from meshsim.measure.spans import Spans
from meshsim.mesh.spans import Tracer

HELD = 1 << 16
"""Rows that a process holds while the launcher takes none; more are dropped."""


class SpanFeed:
    """A process's spans: all of them at its end if they are `kept`, and as they come if they are `wanted`.

    Rows are in memory no longer than that asks for. `lost` have been dropped since they were last taken. Of
    one `kind` only, unless that is None.
    """

    def __init__(self, *, kept: bool, wanted: bool, kind: int | None = None) -> None:
        self.tracer = Tracer()
        self.lost = 0
        self._kept = kept
        self._wanted = wanted
        self._kind = kind
        self._taken = 0

    def take(self) -> bytes:
        """The rows since the last time, as `Spans.read` reads them; none if they are not wanted."""
        packed = self._packed() if self._wanted else b""
        self._forget(self.tracer.spans)
        return packed

    def _packed(self) -> bytes:
        spans = Spans.of(self.tracer, self._taken)
        return spans.chosen(slice(None) if self._kind is None else spans.numbers[:, 0] == self._kind).packed()

    def hold(self) -> None:
        """Nobody takes rows now."""
        waiting = self.tracer.spans - self._taken
        if not self._wanted:
            self._forget(self.tracer.spans)
        elif waiting > HELD:
            self.lost += self._counted(waiting - HELD)
            self._forget(self._taken + waiting - HELD)

    def _counted(self, rows: int) -> int:
        """How many of the next rows would have been taken."""
        if self._kind is None:
            return rows
        return int((Spans.of(self.tracer, self._taken).numbers[:rows, 0] == self._kind).sum())

    def _forget(self, until: int) -> None:
        """Rows up to there have been taken, or will not be."""
        if self._kept:
            self._taken = until
        else:
            self.tracer.forget(until)

    def rows(self) -> dict[str, NDArray[Any]]:
        """All that were kept, as `kept_spans` takes them."""
        spans = Spans.of(self.tracer, 0 if self._kept else self.tracer.spans)
        return {"span_keys": spans.keys, "span_times": spans.times, "span_numbers": spans.numbers}


def kept_spans(rows: Mapping[str, NDArray[Any]]) -> Spans:
    """The spans that a process has kept."""
    return Spans(rows["span_keys"], rows["span_times"], rows["span_numbers"])

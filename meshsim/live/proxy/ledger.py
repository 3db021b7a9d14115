"""What a proxy writes down of every call and attempt, to be put together with what others wrote.

The rows are `RowRecorder`'s; keys by which those of a caller, its proxy and a replica match are beside them.
"""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from numpy.typing import NDArray

from meshsim.live.context import Context, attempt_key
from meshsim.live.visits import Visits
from meshsim.mesh.attempt import Attempt
from meshsim.mesh.rows import RowRecorder


class Ledger:
    """The rows of one proxy; of `visits` too, where the replica itself does not record what reaches it."""

    def __init__(self, duration: float, visits: bool) -> None:
        self.recorder = RowRecorder(duration)
        self.visits = visits
        self.attempt_key = array("Q")
        self.call_key = array("Q")
        self.call_sent = array("q")
        self.call_host = array("q")
        self.visited = Visits()

    def attempt(self, attempt: Attempt) -> None:
        """An attempt is sent."""
        _put(self.attempt_key, attempt.row, attempt.key)

    def call(
        self, row: int, key: int, now: float, status: int, flags: int, attempts: int, replica: int
    ) -> None:
        """A call's answer has passed.

        To the call it was over with the response's head; to its caller, as to Envoy, with the last byte.
        """
        self.recorder.call_end[row] = now
        if status > 0:
            self.recorder.call_flags[row] = flags
        _put(self.call_key, row, key)
        _put(self.call_sent, row, attempts)
        _put(self.call_host, row, replica + 1)

    def visit(self, context: Context, count: bytes, arrived: float, answered: float, status: int) -> None:
        """What reached the replica, as the try that its header counts, is answered."""
        key, _ = attempt_key(context, count)
        self.visited.add(key, arrived, answered, status or -1)

    def rows(self) -> dict[str, NDArray[Any]]:
        """All of it, as `meshsim.live.merge` takes it."""
        recorder, calls, attempts = self.recorder, self.recorder.calls, self.recorder.attempts
        for column in (self.call_key, self.call_sent, self.call_host):
            _put(column, calls - 1, 0)
        _put(self.attempt_key, attempts - 1, 0)
        ejections = np.array(recorder.ejections, dtype=np.float64).reshape(-1, 3)
        connections = np.array(recorder.connections, dtype=np.float64).reshape(-1, 3)

        def of(table: str, name: str, count: int) -> NDArray[Any]:
            return np.asarray(getattr(recorder, f"{table}_{name}"))[:count]

        keys = np.array(self.call_key, dtype=np.uint64)
        call = ("route", "request_start", "start", "status", "flags", "extra")
        attempt = (
            "route", "replica", "kind", "extra", "request_start", "sent", "ended", "arrived", "answered",
        )  # fmt: skip
        return {
            **{f"calls.{name}": of("call", name, calls) for name in call},
            "calls.end": np.where(keys == 0, np.nan, of("call", "end", calls)),  # 0: it is not over
            "calls.key": keys,
            "calls.sent": np.array(self.call_sent, dtype=np.int64),
            "calls.host": np.array(self.call_host, dtype=np.int64) - 1,
            **{f"attempts.{name}": of("attempt", name, attempts) for name in attempt},
            "attempts.answer_status": of("attempt", "status", attempts),
            "attempts.key": np.array(self.attempt_key, dtype=np.uint64),
            **self.visited.rows(),
            "ejections.time": ejections[:, 0],
            "ejections.edge": ejections[:, 1].astype(np.int64),
            "ejections.replica": ejections[:, 2].astype(np.int64),
            "connections.time": connections[:, 0],
            "connections.edge": connections[:, 1].astype(np.int64),
            "connections.what": connections[:, 2].astype(np.int64),
        }


def _put(column: array[int], row: int, value: int) -> None:
    """Puts a value in its row, which may be beyond the end; rows between are 0."""
    missing = row + 1 - len(column)
    if missing > 0:
        column.extend([0] * missing)
    if row >= 0 and value != 0:
        column[row] = value

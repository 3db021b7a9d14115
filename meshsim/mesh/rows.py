"""Keeps a row of every request, call and attempt; `meshsim.measure.records` says what each column means.

A row is written where its request, call or attempt begins, and filled in by its number as it goes on.
"""

from __future__ import annotations

from array import array
from math import nan
from typing import final

from meshsim.mesh.columns import floats, integers, longer_floats, longer_integers
from meshsim.mesh.recorder import Recorder

ROWS = 1024
"""Rows of a new table."""


@final
class RowRecorder(Recorder):
    """The tables of a run, column by column.

    Attributes:
        duration: how long rows are expected to come, s.
        requests, calls, attempts: rows so far.
        room_requests, room_calls, room_attempts: rows that there is room for.
        hosts: whether it is kept which replica answered a call: only versions ask for it.
        request_host, call_host: one more than the number of the replica that answered; 0 for none.
        connections: (time, edge, what) of each opening and end of a tracked connection.
        certificates: (time, proxy, what) of each that was signed, refused or expired.
    """

    hosts: bool
    connections: list[tuple[float, int, int]]
    certificates: list[tuple[float, int, int]]
    room_requests: int
    request_load: array[int]
    request_start: array[float]
    request_end: array[float]
    request_status: array[int]
    request_flags: array[int]
    request_attempts: array[int]
    request_host: array[int]
    room_calls: int
    call_route: array[int]
    call_request_start: array[float]
    call_start: array[float]
    call_end: array[float]
    call_status: array[int]
    call_flags: array[int]
    call_host: array[int]
    call_extra: array[int]
    room_attempts: int
    attempt_route: array[int]
    attempt_replica: array[int]
    attempt_kind: array[int]
    attempt_extra: array[int]
    attempt_request_start: array[float]
    attempt_sent: array[float]
    attempt_arrived: array[float]
    attempt_answered: array[float]
    attempt_status: array[int]
    attempt_ended: array[float]

    def __init__(self, duration: float, hosts: bool = True) -> None:
        super().__init__()
        self.duration = duration
        self.hosts = hosts
        self.connections = []
        self.certificates = []
        self.requests = 0
        self.room_requests = ROWS
        self.request_load = integers(ROWS)
        self.request_start = floats(ROWS)
        self.request_end = floats(ROWS)
        self.request_status = integers(ROWS)
        self.request_flags = integers(ROWS)
        self.request_attempts = integers(ROWS)
        self.request_host = integers(ROWS)
        self.calls = 0
        self.room_calls = ROWS
        self.call_route = integers(ROWS)
        self.call_request_start = floats(ROWS)
        self.call_start = floats(ROWS)
        self.call_end = floats(ROWS)
        self.call_status = integers(ROWS)
        self.call_flags = integers(ROWS)
        self.call_host = integers(ROWS)
        self.call_extra = integers(ROWS)
        self.attempts = 0
        self.room_attempts = ROWS
        self.attempt_route = integers(ROWS)
        self.attempt_replica = integers(ROWS)
        self.attempt_kind = integers(ROWS)
        self.attempt_extra = integers(ROWS)
        self.attempt_request_start = floats(ROWS)
        self.attempt_sent = floats(ROWS)
        self.attempt_arrived = floats(ROWS)
        self.attempt_answered = floats(ROWS)
        self.attempt_status = integers(ROWS)
        self.attempt_ended = floats(ROWS)

    def wider(self, rows: int, now: float) -> int:
        """How many rows a full table should have room for: what comes until `duration` at the pace so far.

        NOTE: at least twice and at most sixteen times what there is, whatever the pace: rows are copied
        seldom, and a burst in the first second does not cost the memory of a long one.
        """
        expected = 1.05 * self.duration / now if now > 0.0 else 2.0
        if expected < 2.0:
            expected = 2.0
        elif expected > 16.0:
            expected = 16.0
        return int(rows * expected)

    def request(self, load: int, now: float) -> int:
        row = self.requests
        if row == self.room_requests:
            self.grow_requests(self.wider(row, now))
        self.requests = row + 1
        self.request_load[row] = load
        self.request_start[row] = now
        self.request_end[row] = nan
        return row

    def request_ended(
        self, row: int, load: int, start: float, status: int, flags: int, attempts: int, host: int, now: float
    ) -> None:
        self.request_end[row] = now
        self.request_status[row] = status
        self.request_flags[row] = flags
        self.request_attempts[row] = attempts
        self.request_host[row] = host + 1

    def call(self, route: int, request_start: float, extra: bool, now: float) -> int:
        row = self.calls
        if row == self.room_calls:
            self.grow_calls(self.wider(row, now))
        self.calls = row + 1
        self.call_route[row] = route
        self.call_request_start[row] = request_start
        self.call_start[row] = now
        self.call_end[row] = nan
        self.call_extra[row] = extra
        return row

    def call_ended(
        self, row: int, route: int, request_start: float, start: float, status: int, flags: int, host: int,
        now: float,
    ) -> None:  # fmt: skip
        self.call_end[row] = now
        self.call_status[row] = status
        self.call_flags[row] = flags
        if self.hosts:
            self.call_host[row] = host + 1

    def attempt(
        self, route: int, replica: int, kind: int, extra: bool, request_start: float, now: float
    ) -> int:
        row = self.attempts
        if row == self.room_attempts:
            self.grow_attempts(self.wider(row, now))
        self.attempts = row + 1
        self.attempt_route[row] = route
        self.attempt_replica[row] = replica
        self.attempt_kind[row] = kind
        self.attempt_extra[row] = extra
        self.attempt_request_start[row] = request_start
        self.attempt_sent[row] = now
        self.attempt_arrived[row] = nan
        self.attempt_answered[row] = nan
        self.attempt_ended[row] = nan
        return row

    def attempt_at_replica(
        self, row: int, place: int, kind: int, extra: bool, request_start: float, now: float
    ) -> None:
        self.attempt_arrived[row] = now

    def attempt_answer(
        self, row: int, place: int, request_start: float, arrived: float, status: int, now: float
    ) -> None:
        self.attempt_answered[row] = now
        self.attempt_status[row] = status

    def attempt_over(self, row: int, now: float) -> None:
        self.attempt_ended[row] = now

    def connection(self, edge: int, what: int, now: float) -> None:
        self.connections.append((now, edge, what))

    def certificate(self, proxy: int, what: int, now: float) -> None:
        self.certificates.append((now, proxy, what))

    def grow_requests(self, room: int) -> None:
        """Makes room for so many requests."""
        self.request_load = longer_integers(self.request_load, room)
        self.request_start = longer_floats(self.request_start, room)
        self.request_end = longer_floats(self.request_end, room)
        self.request_status = longer_integers(self.request_status, room)
        self.request_flags = longer_integers(self.request_flags, room)
        self.request_attempts = longer_integers(self.request_attempts, room)
        self.request_host = longer_integers(self.request_host, room)
        self.room_requests = room

    def grow_calls(self, room: int) -> None:
        """Makes room for so many calls."""
        self.call_route = longer_integers(self.call_route, room)
        self.call_request_start = longer_floats(self.call_request_start, room)
        self.call_start = longer_floats(self.call_start, room)
        self.call_end = longer_floats(self.call_end, room)
        self.call_status = longer_integers(self.call_status, room)
        self.call_flags = longer_integers(self.call_flags, room)
        if self.hosts:
            self.call_host = longer_integers(self.call_host, room)
        self.call_extra = longer_integers(self.call_extra, room)
        self.room_calls = room

    def grow_attempts(self, room: int) -> None:
        """Makes room for so many attempts."""
        self.attempt_route = longer_integers(self.attempt_route, room)
        self.attempt_replica = longer_integers(self.attempt_replica, room)
        self.attempt_kind = longer_integers(self.attempt_kind, room)
        self.attempt_extra = longer_integers(self.attempt_extra, room)
        self.attempt_request_start = longer_floats(self.attempt_request_start, room)
        self.attempt_sent = longer_floats(self.attempt_sent, room)
        self.attempt_arrived = longer_floats(self.attempt_arrived, room)
        self.attempt_answered = longer_floats(self.attempt_answered, room)
        self.attempt_status = longer_integers(self.attempt_status, room)
        self.attempt_ended = longer_floats(self.attempt_ended, room)
        self.room_attempts = room

"""A request of the client, for which all calls and attempts below it are made."""

from __future__ import annotations

from typing import final

from meshsim.random import Key


@final
class Request:
    """What a client wants.

    Attributes:
        row: its number in the recorder.
        key: its key, and the lower half of its trace's id.
        half: the upper half of that: 0 where nobody has said otherwise.
        start: when it was sent, s.
        priority: of its work in queues that look at it.
        sampled: whether its spans are kept.
    """

    half: Key

    def __init__(self, row: int, key: Key, start: float, priority: int, sampled: bool) -> None:
        self.row = row
        self.key = key
        self.half = 0
        self.start = start
        self.priority = priority
        self.sampled = sampled

"""Waiting rooms: which of those that wait is served next.

First in, first out is fair and, beyond saturation, useless: everyone waits until nobody is interested any
more. Last in, first out serves those who still wait for an answer. Priority serves the most urgent, first
come first served among equals.
"""

from __future__ import annotations

from typing import final

from meshsim.mesh.call import Owner
from meshsim.mesh.work import Work
from meshsim.random import Key

# Steps of work at a replica that the replica itself sets; `visit.py` has the others
QUEUED = 4
SERVING = 5


class Waiting(Owner):
    """Work as a replica sees it: it can wait, linked to its neighbours in the room.

    Attributes:
        ahead, behind: its neighbours in the room.
        held: whether the replica holds it: it has arrived, and has no answer.
        elder, younger: its neighbours among those.
        priority: higher is served first, where that counts.
        key: of the attempt.
        step: where it is.
        work: what is to be done, once it has arrived.
    """

    ahead: Waiting | None
    behind: Waiting | None
    held: bool
    elder: Waiting | None
    younger: Waiting | None
    priority: int
    key: Key
    step: int
    work: Work

    def answer(self, status: int, now: float) -> None:
        """The replica has its answer."""
        raise NotImplementedError

    def lose(self, now: float) -> None:
        """The replica has gone down with it."""
        raise NotImplementedError


class Queue:
    """First in, first out: a linked list, so that whoever gives up can leave from anywhere.

    Attributes:
        length: how many wait.
        head: the next to be served.
    """

    head: Waiting | None
    tail: Waiting | None

    def __init__(self) -> None:
        self.head = None
        self.tail = None
        self.length = 0

    def push(self, one: Waiting) -> None:
        """Lets one in, at its place."""
        self.insert(one, self.tail)

    def insert(self, one: Waiting, ahead: Waiting | None) -> None:
        """Lets one in behind `ahead`; at the head where that is None."""
        behind = self.head if ahead is None else ahead.behind
        one.ahead = ahead
        one.behind = behind
        if ahead is None:
            self.head = one
        else:
            ahead.behind = one
        if behind is None:
            self.tail = one
        else:
            behind.ahead = one
        self.length += 1

    def remove(self, one: Waiting) -> None:
        """Lets one go."""
        if one.ahead is None:
            self.head = one.behind
        else:
            one.ahead.behind = one.behind
        if one.behind is None:
            self.tail = one.ahead
        else:
            one.behind.ahead = one.ahead
        one.ahead = None
        one.behind = None
        self.length -= 1

    def pop(self) -> Waiting:
        """Takes the next to be served out; there must be one."""
        one = self.head
        assert one is not None, "the queue is not empty"
        self.remove(one)
        return one


@final
class Lifo(Queue):
    """Last in, first out."""

    def push(self, one: Waiting) -> None:
        self.insert(one, None)


@final
class Priority(Queue):
    """The highest priority first; first in, first out among equals.

    Attributes:
        levels: the priorities that have been seen, the highest first.
        rooms: a queue for each.
    """

    levels: list[int]
    rooms: list[Queue]

    def __init__(self) -> None:
        super().__init__()
        self.levels = []
        self.rooms = []

    def place(self, priority: int) -> int:
        """The index of a priority's level; makes one where there is none."""
        i = 0
        while i < len(self.levels) and self.levels[i] > priority:
            i += 1
        if i == len(self.levels) or self.levels[i] != priority:
            self.levels.insert(i, priority)
            self.rooms.insert(i, Queue())
        return i

    def push(self, one: Waiting) -> None:
        self.rooms[self.place(one.priority)].push(one)
        self.length += 1

    def remove(self, one: Waiting) -> None:
        self.rooms[self.place(one.priority)].remove(one)
        self.length -= 1

    def pop(self) -> Waiting:
        i = 0
        while self.rooms[i].length == 0:
            i += 1
        self.length -= 1
        return self.rooms[i].pop()

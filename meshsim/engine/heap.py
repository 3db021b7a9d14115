"""The fast engine's clock: events on a heap of its own.

A heap of four children a node, on plain columns: half as deep as a binary one, and a node's children lie side
by side. What moves in it are a time and a tie; the slot that the tie names holds the event, and stays.

Order is SimPy's: by time, and at the same time in order of scheduling.
"""

from __future__ import annotations

from array import array
from typing import final

from meshsim.errors import MeshsimError
from meshsim.mesh.clock import Clock, Event
from meshsim.mesh.columns import floats, integers, longer_floats, longer_integers

ROOM = 1024
"""Slots of a new clock; a full one doubles."""
SLOT_BITS = 27
MOST = 1 << 27
"""Occurrences that may wait at once: what memory bears."""
SLOT = MOST - 1
NUMBERS = 1 << 35
"""Occurrences that may be scheduled in all; looked at between chunks, and there is room for twice as many."""


@final
class HeapClock(Clock):
    """A clock that runs by itself.

    A place of the heap holds a time, and a tie: the number of the occurrence, and in its last bits its slot.

    NOTE: while an event is being fired, its place at the root is a hole. Most events schedule one other,
    which then takes the hole, at the cost of one way down the heap instead of one down and one up.

    Attributes:
        now: the time that has been reached, s.
        events: fired so far.
        pending: places in use, the hole among them.
        room: places in all.
        stopped: whether there is nothing left to do.
        most: occurrences that may wait at once.
        numbers: given out so far.
        hole: whether the root is one.
        vacant: the slot of the event that is being fired.
        times, ties: the heap.
        _slot_event, slot_step: what is to be fired, by slot.
    """

    most: int
    room: int
    times: array[float]
    ties: array[int]
    _slot_event: list[Event | None]
    slot_step: array[int]

    def __init__(self) -> None:
        self.now = 0.0
        self.events = 0
        self.pending = 0
        self.stopped = False
        self.most = MOST
        self.numbers = 0
        self.hole = False
        self.vacant = 0
        self.room = ROOM
        self.times = floats(ROOM)
        self.ties = integers(ROOM)
        self.slot_step = integers(ROOM)
        self._slot_event = [None] * ROOM
        for i in range(ROOM):
            self.ties[i] = i

    def at(self, time: float, event: Event, step: int) -> None:
        number = self.numbers
        self.numbers = number + 1
        self.push(time, event, step, number)

    def number(self) -> int:
        number = self.numbers
        self.numbers = number + 1
        return number

    def at_number(self, time: float, event: Event, step: int, number: int) -> None:
        self.push(time, event, step, number)

    def stop(self) -> None:
        self.stopped = True

    def push(self, time: float, event: Event, step: int, number: int) -> None:
        """Puts an occurrence on the heap.

        NOTE: the ties beyond the heap hold the free slots, so heap and free slots are always all the slots.
        """
        if self.hole:
            self.hole = False
            slot = self.vacant
            self._slot_event[slot] = event
            self.slot_step[slot] = step
            self.settle(time, (number << SLOT_BITS) | slot)
            return
        place = self.pending
        if place == self.room:
            self.grow()
        self.pending = place + 1
        slot = self.ties[place]
        self._slot_event[slot] = event
        self.slot_step[slot] = step
        tie = (number << SLOT_BITS) | slot
        while place > 0:
            parent = (place - 1) >> 2
            other = self.times[parent]
            if other < time or (other == time and self.ties[parent] < tie):
                break
            self.times[place] = other
            self.ties[place] = self.ties[parent]
            place = parent
        self.times[place] = time
        self.ties[place] = tie

    def grow(self) -> None:
        """Doubles the room."""
        room = self.room
        if 2 * room > self.most:
            raise MeshsimError(
                f"{room} events are waiting at {self.now:.6g} s, which is all that a run can hold: work "
                "piles up without end; look at a shorter duration for the service that can't keep up"
            )
        self.times = longer_floats(self.times, 2 * room)
        self.ties = longer_integers(self.ties, 2 * room)
        self.slot_step = longer_integers(self.slot_step, 2 * room)
        self._slot_event = self._slot_event + [None] * room
        for i in range(room, 2 * room):
            self.ties[i] = i
        self.room = 2 * room  # last: no column is shorter, even if there is no memory for one

    def settle(self, time: float, tie: int) -> None:
        """Finds an occurrence its place, from the root down."""
        count = self.pending
        place = 0
        child = 1
        while child < count:
            least = child
            soonest = self.times[child]
            last = child + 4 if child + 4 < count else count
            child += 1
            while child < last:
                other = self.times[child]
                if other < soonest or (other == soonest and self.ties[child] < self.ties[least]):
                    least = child
                    soonest = other
                child += 1
            least_tie = self.ties[least]
            if time < soonest or (time == soonest and tie < least_tie):
                break
            self.times[place] = soonest
            self.ties[place] = least_tie
            place = least
            child = 4 * place + 1
        self.times[place] = time
        self.ties[place] = tie

    def close(self) -> None:
        """Fills the hole with the last occurrence."""
        self.hole = False
        self._slot_event[self.vacant] = None
        last = self.pending - 1
        self.pending = last
        if last > 0:
            self.settle(self.times[last], self.ties[last])
        self.ties[last] = self.vacant

    def clear(self) -> list[Event | None]:
        """Lets nothing that waits be fired; what it was."""
        waiting: list[Event | None] = [event for event in self._slot_event if event is not None]
        self._slot_event = [None] * self.room
        return waiting

    def run(self, until: float, most: int) -> int:
        """Fires what is due before `until`, at most so many events; how many were fired."""
        if self.hole:
            self.close()  # the last event that was fired has raised an exception
        if self.numbers > NUMBERS:
            raise MeshsimError(
                f"{self.numbers} events were scheduled by {self.now:.6g} s, which is all that a run can "
                "have; split it into replications"
            )
        fired = 0
        while fired < most and self.pending > 0 and self.times[0] < until and not self.stopped:
            fired += 1
            self.events += 1
            self.now = self.times[0]
            slot = self.ties[0] & SLOT
            self.vacant = slot
            self.hole = True
            event = self._slot_event[slot]
            if event is not None:
                event.fire(self.slot_step[slot], self.now)
            if self.hole:
                self.close()
        if fired < most and not self.stopped:
            self.now = until  # nothing is left before it
        return fired

"""The fast engine's clock: events on a heap of its own.

A heap of four children a node, on plain columns: half as deep as a binary one, and a node's children lie side by
side. What moves in it are a time, a number and the index of a slot; the slot holds the event, and stays where it is.

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
MOST = 1 << 27
"""Occurrences that may wait at once: what memory bears."""


@final
class HeapClock(Clock):
    """A clock that runs by itself.

    Attributes:
        now: the time that has been reached, s.
        events: fired so far.
        pending: occurrences that wait.
        stopped: whether there is nothing left to do.
        most: occurrences that may wait at once.
    """

    now: float
    events: int
    pending: int
    stopped: bool
    most: int
    numbers: int
    free: int
    times: array[float]
    order: array[int]
    slots: array[int]
    slot_event: list[Event | None]
    slot_step: array[int]

    def __init__(self) -> None:
        self.now = 0.0
        self.events = 0
        self.pending = 0
        self.stopped = False
        self.most = MOST
        self.numbers = 0
        self.free = 0
        self.times = floats(ROOM)
        self.order = integers(ROOM)
        self.slots = integers(ROOM)
        self.slot_step = integers(ROOM)
        self.slot_event = [None] * ROOM
        for i in range(ROOM):
            self.slots[i] = i

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

        NOTE: the columns `slots` beyond the heap hold the free slots, so that heap and free slots together are
        always a permutation of all.
        """
        place = self.pending
        if place == len(self.times):
            self.grow()
        self.pending = place + 1
        slot = self.slots[place]
        self.slot_event[slot] = event
        self.slot_step[slot] = step
        while place > 0:
            parent = (place - 1) >> 2
            if self.times[parent] < time or (self.times[parent] == time and self.order[parent] < number):
                break
            self.times[place] = self.times[parent]
            self.order[place] = self.order[parent]
            self.slots[place] = self.slots[parent]
            place = parent
        self.times[place] = time
        self.order[place] = number
        self.slots[place] = slot

    def grow(self) -> None:
        """Doubles the room."""
        room = len(self.times)
        if 2 * room > self.most:
            raise MeshsimError(
                f"{room} events are waiting at {self.now:.6g} s, which is all that this engine holds: work piles up "
                "without end; look at the summary of a shorter duration for the service that can't keep up"
            )
        self.times = longer_floats(self.times, 2 * room)
        self.order = longer_integers(self.order, 2 * room)
        self.slots = longer_integers(self.slots, 2 * room)
        self.slot_step = longer_integers(self.slot_step, 2 * room)
        self.slot_event = self.slot_event + [None] * room
        for i in range(room, 2 * room):
            self.slots[i] = i

    def settle(self, time: float, number: int, slot: int) -> None:
        """Finds the place of what was the last occurrence, from the root down."""
        count = self.pending
        place = 0
        while True:
            child = 4 * place + 1
            if child >= count:
                break
            least = child
            last = child + 4 if child + 4 < count else count
            child += 1
            while child < last:
                if self.times[child] < self.times[least] or (
                    self.times[child] == self.times[least] and self.order[child] < self.order[least]
                ):
                    least = child
                child += 1
            if time < self.times[least] or (time == self.times[least] and number < self.order[least]):
                break
            self.times[place] = self.times[least]
            self.order[place] = self.order[least]
            self.slots[place] = self.slots[least]
            place = least
        self.times[place] = time
        self.order[place] = number
        self.slots[place] = slot

    def run(self, until: float, most: int) -> int:
        """Fires what is due before `until`, at most so many events; how many were fired."""
        fired = 0
        while fired < most and self.pending > 0 and self.times[0] < until and not self.stopped:
            fired += 1
            self.now = self.times[0]
            slot = self.slots[0]
            last = self.pending - 1
            self.pending = last
            if last > 0:
                self.settle(self.times[last], self.order[last], self.slots[last])
            self.slots[last] = slot
            event = self.slot_event[slot]
            self.slot_event[slot] = None
            if event is not None:
                event.fire(self.slot_step[slot], self.now)
        self.events += fired
        if fired < most and not self.stopped:
            self.now = until  # nothing is left before it
        return fired

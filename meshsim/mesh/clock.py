"""Time: events, and time-outs that cost nothing while they do not fire.

The clock is the first of the two seams between the mesh and the body it lives in: SimPy's Environment, an
event heap, or an asyncio loop. It only has to call `fire` at the right time, same times in order of
scheduling.

NOTE: most time-outs are cancelled. All timers of one configured duration end in the order in which they
began, so a linked list with one armed event serves them all, and a cancelled one leaves no event behind.
Each keeps the place in the order of events that it had when it began, as if its event had been on the clock
all the time.
"""

from __future__ import annotations

from typing import final


class Event:
    """Something that happens later.

    An occurrence that is no longer wanted is not taken off the clock: `fire` sees by its own state that
    `step` is stale, and does nothing.
    """

    def fire(self, step: int, now: float) -> None:
        """What happens at `now`; `step` is what `at` was given."""
        raise NotImplementedError

    def unlink(self) -> Event | None:
        """Forgets all objects of requests, in a run that nobody wants; returns the one that waits for it."""
        return None


class Clock:
    """Calls events at their times."""

    def at(self, time: float, event: Event, step: int) -> None:
        """Has `event.fire(step, time)` called at an absolute time, s, after all that is already due then."""
        raise NotImplementedError

    def number(self) -> int:
        """A place in the order of what is due at the same instant, for an event to be scheduled later."""
        raise NotImplementedError

    def at_number(self, time: float, event: Event, step: int, number: int) -> None:
        """As `at`, but in the place that `number` has given."""
        raise NotImplementedError

    def stop(self) -> None:
        """There is nothing left to do."""
        raise NotImplementedError


class Timer(Event):
    """What has a time-out, and is in at most one list of deadlines: a call, an attempt.

    Attributes:
        due: when it expires, s.
        turn: its place among what is due at the same instant.
        sooner, later: its neighbours in the list.
        deadlines: the list; None while no time-out is running.
    """

    sooner: Timer | None
    later: Timer | None
    deadlines: Deadlines | None

    def __init__(self) -> None:
        self.due = 0.0
        self.turn = 0
        self.sooner = None
        self.later = None
        self.deadlines = None

    def expire(self, now: float) -> None:
        """What happens when the time-out was not stopped in time."""
        raise NotImplementedError

    def stop_timer(self) -> None:
        """It does not expire any more."""
        if self.deadlines is not None:
            self.deadlines.remove(self)

    def unlink(self) -> Event | None:
        if self.deadlines is not None:
            self.deadlines.head = None
            self.deadlines.tail = None
        self.sooner = None
        self.later = None
        self.deadlines = None
        return None


@final
class Deadlines(Event):
    """The running timers of one duration, the soonest first.

    Attributes:
        duration: of each timer, s.
        armed: turn of the timer whose event is on the clock; -1 for none.
    """

    head: Timer | None
    tail: Timer | None

    def __init__(self, clock: Clock, duration: float) -> None:
        self.clock = clock
        self.duration = duration
        self.armed = -1
        self.head = None
        self.tail = None

    def start(self, timer: Timer, now: float) -> None:
        """Starts a timer that is not running."""
        timer.due = now + self.duration
        timer.turn = self.clock.number()
        timer.deadlines = self
        timer.sooner = self.tail
        if self.tail is None:
            self.head = timer
        else:
            self.tail.later = timer
        self.tail = timer
        if self.armed < 0:
            self.arm()

    def remove(self, timer: Timer) -> None:
        """Takes a running timer out."""
        sooner = timer.sooner
        later = timer.later
        if sooner is None:
            self.head = later
        else:
            sooner.later = later
        if later is None:
            self.tail = sooner
        else:
            later.sooner = sooner
        timer.sooner = None
        timer.later = None
        timer.deadlines = None

    def fire(self, step: int, now: float) -> None:
        """Expires the timer whose event this is, if it still runs, and arms the event of the next."""
        timer = self.head
        if timer is not None and timer.turn == self.armed:
            self.remove(timer)
            timer.expire(now)
        self.armed = -1
        self.arm()

    def arm(self) -> None:
        """Puts the event of the soonest timer on the clock."""
        if self.head is not None:
            self.armed = self.head.turn
            self.clock.at_number(self.head.due, self, 0, self.armed)

"""One try of a call: to a host, through its connection pool, and to its end.

    launched -> (pending in a pool) -> sent -> ended: answered | per-try time-out | abandoned
             or rejected (no host, or a breaker's limit)

Each attempt that is sent ends exactly once, whatever happens.
"""

from __future__ import annotations

from typing import final

from meshsim.mesh.clock import Event, Timer
from meshsim.mesh.cluster import Cluster
from meshsim.mesh.hosts import Host, Stream
from meshsim.mesh.policy import Policy
from meshsim.mesh.proxy import Route
from meshsim.mesh.request import Request
from meshsim.mesh.spans import ATTEMPT_SPAN
from meshsim.policies.outcome import (
    NC,
    NO_FLAG,
    RATE_LIMITED,
    REFUSED,
    REJECTED,
    RESPONSE,
    TRY_TIMEOUT,
    UF,
    UH,
    UO,
    UT,
)
from meshsim.random import Key, derive

# Steps of an attempt
NEW = 0
WAITING = 1  # out its back-off
PENDING = 2  # in a pool's queue
REFUSED_HERE = 3  # by the breaker, or for want of a host
SENT = 4
OVER = 5

# Kinds of attempt
FIRST = 0
RETRY = 1
HEDGE = 2

# What the end of an attempt means for its call
WIN = 0
AGAIN = 1
DROP = 2


class Caller(Timer):
    """A call as its attempts see it.

    Attributes:
        route, policy, request, key: of the call.
        extra: whether the call exists only because of a retry or a hedge above it.
        cluster: where its attempts go; None before it is routed.
        eldest, youngest: ends of the list of its tries, the attempts that may still bring the answer.
        launched, sent: attempts so far, and those of them that got a connection (or were refused one).
        tried: the hosts of those that need not wait for a connection any more; None if nobody asks.
        replayable: whether the request can be sent again.
        uploading: whether the request is still coming in: no time-out runs yet.
    """

    route: Route
    policy: Policy
    request: Request
    key: Key
    extra: bool
    cluster: Cluster | None
    eldest: Attempt | None
    youngest: Attempt | None
    launched: int
    sent: int
    tried: list[Host] | None
    replayable: bool
    uploading: bool

    def add_try(self, attempt: Attempt) -> None:
        """One more attempt may bring the answer."""
        attempt.elder = self.youngest
        if self.youngest is None:
            self.eldest = attempt
        else:
            self.youngest.younger = attempt
        self.youngest = attempt

    def remove_try(self, attempt: Attempt) -> None:
        """An attempt will not bring the answer any more."""
        elder = attempt.elder
        younger = attempt.younger
        if elder is None:
            self.eldest = younger
        else:
            elder.younger = younger
        if younger is None:
            self.youngest = elder
        else:
            younger.elder = elder
        attempt.elder = None
        attempt.younger = None

    def judge(self, attempt: Attempt, status: int, cause: int, now: float) -> int:
        """What the end of an attempt means: WIN, AGAIN or DROP. May take a retry slot."""
        raise NotImplementedError

    def settle(self, verdict: int, status: int, flag: int, host: Host | None, now: float) -> None:
        """Acts on the end of an attempt, which is no longer among the tries."""
        raise NotImplementedError

    def give_up(self, now: float) -> None:
        """Stops the timers and abandons the tries."""
        raise NotImplementedError


@final
class Attempt(Stream):
    """One try of a call, and its own per-try time-out.

    Attributes:
        step: where it is.
        kind: FIRST, RETRY or HEDGE.
        extra: whether it, or a try above it, is a retry or a hedge.
        elder, younger: its neighbours among the tries of its call.
        slot: whether it holds a retry slot.
        key: once launched.
        row: its number in the recorder, once sent.
        bound_at: when it was bound to its host, s.
        attached: whether it has a connection of its host.
        closing: whether that connection is closed after the response (the transport says so).
        lasting: whether the response goes on after its end for the call: the transport then calls `detach`
            when it is over.
        exchange: the transport's own.
    """

    cluster: Cluster
    step: int
    extra: bool
    elder: Attempt | None
    younger: Attempt | None
    key: Key
    flag: int
    exchange: object

    def __init__(self, call: Caller, kind: int, slot: bool) -> None:
        super().__init__()
        cluster = call.cluster
        assert cluster is not None, "a call has its cluster before its attempts"
        self.call = call
        self.cluster = cluster
        self.step = NEW
        self.kind = kind
        self.extra = kind != FIRST or call.extra
        self.elder = None
        self.younger = None
        self.slot = slot
        self.number = -1
        self.key = 0
        self.row = -1
        self.flag = NO_FLAG
        self.bound_at = 0.0
        self.sent_at = 0.0
        self.attached = False
        self.closing = False
        self.lasting = False
        self.exchange = None
        self.host = None
        self.drains = 0
        self.ahead = None
        self.behind = None
        self.waiting = False
        self.connection = None

    def host_sent(self) -> Host:
        """The host it was sent to."""
        assert self.host is not None, "a sent attempt has a host"
        return self.host

    def fire(self, step: int, now: float) -> None:
        if step != self.step:
            return
        if step == WAITING:
            self.call.remove_try(
                self
            )  # tries stand in the order in which they are launched: now it is the last
            self.call.add_try(self)
            self.launch(now)
        else:
            self.finish(503, self.flag, REJECTED, now)

    # ---- to a host ------------------------------------------------------------------------------------

    def launch(self, now: float) -> None:
        """Goes for a host and a connection to it."""
        call = self.call
        self.number = call.launched
        call.launched += 1
        self.key = derive(call.key, self.number)
        host = self.cluster.pick(self.key, now)
        if call.tried is not None:
            host = self.cluster.pick_again(self.key, host, call.tried, call.policy.repicks, now)
        if host is None:
            self.refuse(UH if self.cluster.configured else NC, now)
        else:
            self.step = PENDING
            self.bound_at = now
            if self.cluster.detection.probes:
                self.cluster.picked(host, self.key, now)
            self.cluster.connect(self, host, now)

    def refuse(self, flag: int, now: float) -> None:
        """This proxy does not send it, and says so in an event of its own."""
        self.free_slot()
        self.step = REFUSED_HERE
        self.flag = flag
        self.call.route.clock.at(now, self, REFUSED_HERE)

    def overflowed(self, now: float) -> None:
        if self.call.tried is not None:
            self.call.tried.append(self.host_sent())
        self.free_probe(now)
        self.refuse(UO, now)

    def connected(self, now: float) -> None:
        call = self.call
        self.attached = True
        self.count(now)
        if call.policy.try_timeouts is not None and not call.uploading:
            call.policy.try_timeouts.start(self, now)
        call.route.transport.send(self, now)

    def refused(self, now: float) -> None:
        self.count(now)
        self.finish(503, UF, REFUSED, now)

    def count(self, now: float) -> None:
        """It is on its way, or would be if its host could be reached."""
        call = self.call
        route = call.route
        self.row = route.recorder.attempt(
            route.number, self.host_sent().replica, self.kind, self.extra, call.request.start, now
        )
        self.step = SENT
        self.sent_at = now
        call.sent += 1
        if call.tried is not None:
            call.tried.append(self.host_sent())

    # ---- its end --------------------------------------------------------------------------------------

    def respond(self, status: int, flag: int, cause: int, now: float) -> None:
        """The transport brings its end: a response, or the word that there will be none."""
        if self.step == SENT:
            self.finish(status, flag, cause, now)

    def expire(self, now: float) -> None:
        """The per-try time-out: the caller resets the stream."""
        self.finish(504, UT, TRY_TIMEOUT, now)

    def finish(self, status: int, flag: int, cause: int, now: float) -> None:
        """Ends for its call, in the order of docs/background/model.md, step 5."""
        call = self.call
        host = self.host
        sent = self.step == SENT
        self.free_slot()
        if sent and self.cluster.detection.detects:
            self.cluster.record(self.host_sent(), status, self.key, now)
        verdict = call.judge(self, status, cause, now)
        call.remove_try(self)
        if verdict == WIN:
            call.give_up(now)  # before its connection is free: none of the others is to get it
        if sent:
            self.end_stream(cause, status, flag, now)
        self.step = OVER
        call.settle(verdict, status, flag, host if cause not in (TRY_TIMEOUT, REJECTED) else None, now)

    def abandon(self, now: float) -> None:
        """Its call does not want it any longer."""
        self.free_slot()
        self.free_probe(now)
        if self.step == SENT:
            self.end_stream(TRY_TIMEOUT, 0, NO_FLAG, now)
        elif self.step == PENDING and self.host is not None and self.waiting:
            self.observe(now)
            self.cluster.leave(self, self.host)
        self.step = OVER

    def free_probe(self, now: float) -> None:
        """Lets another attempt be its host's probe, if it is one."""
        if self.cluster.detection.probes and self.host is not None:
            self.cluster.gave_up(self.host, self.key, now)

    def end_stream(self, cause: int, status: int, flag: int, now: float) -> None:
        """Ends what was sent; after anything but a response the connection is closed."""
        self.step = OVER
        route = self.call.route
        route.recorder.attempt_over(self.row, now)
        if self.call.request.sampled:
            call = self.call
            route.tracer.add(
                ATTEMPT_SPAN, call.request, self.key, call.key, route.number, self.host_sent().replica,
                self.number, self.kind, self.extra, self.sent_at, now, status, flag,
            )  # fmt: skip
        self.stop_timer()
        self.observe(now)
        if cause == TRY_TIMEOUT:  # the word of it goes out before the next request
            route.transport.abandon(self, now)
        if not self.lasting:
            self.detach(cause in (RESPONSE, RATE_LIMITED) and not self.closing, now)

    def observe(self, now: float) -> None:
        """Lets the balancer hear that it is over."""
        if self.cluster.observer is not None:
            self.cluster.observer.ended(self.host_sent(), self.bound_at, now)

    def detach(self, reusable: bool, now: float) -> None:
        """Gives the connection back, if it has one."""
        if self.attached:
            self.attached = False
            self.cluster.release(self, self.host_sent(), reusable, now)

    def outdated(self) -> bool:
        """Whether its host's pool was drained since it got its connection, which then is not used again."""
        return self.drains != self.host_sent().drains

    def free_slot(self) -> None:
        """Gives its retry slot back, if it holds one."""
        if self.slot:
            self.slot = False
            self.cluster.free_retry()

    def unlink(self) -> Event | None:
        super().unlink()
        self.elder = None
        self.younger = None
        self.ahead = None
        self.behind = None
        self.exchange = None
        if self.connection is not None:
            self.connection.stream = None
        return self.call

"""The caller's side: a call, and what becomes of it.

This is the router of a proxy. It knows a clock and a transport, and nothing of queues, workers, links or
sockets; so it drives the simulated mesh and the live one alike.

A call goes through its caller's sidecar, the filters (fault, rate limit) and the route, then launches
attempts and judges how each of them ends, until it has an answer. See docs/background/model.md, "The life
of a call".
"""

from __future__ import annotations

from math import inf
from typing import final

from meshsim.errors import MeshsimError
from meshsim.mesh.attempt import (
    AGAIN,
    DROP,
    FIRST,
    HEDGE,
    PENDING,
    RETRY,
    SENT,
    WAITING,
    WIN,
    Attempt,
    Caller,
)
from meshsim.mesh.clock import Event, Timer
from meshsim.mesh.hosts import Host
from meshsim.mesh.proxy import Route
from meshsim.mesh.request import Request
from meshsim.mesh.spans import CALL_SPAN
from meshsim.policies.outcome import DI, FI, NC, NO_FLAG, REJECTED, RL, UH, UO, URX, UT, add_flag
from meshsim.random import BACKOFF, PROXY_BACK, PROXY_OUT, ROUTE, Key, derive, u01

RETRIES_AT_ONCE = 10_000
"""So many retries of one call at one instant are a scenario in which time does not pass."""

# Steps of a call
FILTER = 1
ADMIT = 2
ANSWER = 3
DONE = 4
ENDED = 5


class Owner(Event):
    """Who makes calls: the client's requests, and work at a replica.

    Attributes:
        span: key of the span that the calls belong to; 0 for the client.
    """

    span: Key

    def answered(self, call: Call, now: float) -> None:
        """A call has its answer, in `call.status` and `call.flags`."""
        raise NotImplementedError


@final
class HedgeTimer(Timer):
    """The next opportunity of a call to hedge."""

    def __init__(self, call: Call) -> None:
        super().__init__()
        self.call = call

    def expire(self, now: float) -> None:
        self.call.hedge(now)

    def unlink(self) -> Event | None:
        super().unlink()
        return self.call


@final
class Call(Caller):
    """One call, from its caller to the caller's answer; and its own route time-out.

    Attributes:
        step: where it is.
        extra: whether it exists only because of a retry or a hedge above it.
        status, flags: of its answer.
        optional: whether its caller carries on when it fails.
        sibling: the next call of the same stage of a script.
        host: whose response the answer is; None for one that a proxy made.
        launched, sent, retried, hedged: how many so far.
    """

    owner: Owner | None
    row: int
    step: int
    flags: int
    sibling: Call | None
    host: Host | None
    hedging: HedgeTimer | None
    span: Key

    def __init__(
        self, route: Route, owner: Owner, request: Request, key: Key, extra: bool, now: float
    ) -> None:
        super().__init__()
        self.route = route
        self.policy = route.policy
        self.owner = owner
        self.request = request
        self.key = key
        self.extra = extra
        self.row = route.recorder.call(route.number, request.start, extra, now)
        self.status = 0
        self.flags = NO_FLAG
        self.optional = False
        self.sibling = None
        self.host = None
        self.cluster = None
        self.eldest = None
        self.youngest = None
        self.launched = 0
        self.sent = 0
        self.tried = None
        self.replayable = True
        self.uploading = False
        self.retried = 0
        self.hedged = 0
        self.hedging = None
        self.span = owner.span
        self.start = now
        self.step = FILTER

    def begin(self, now: float) -> None:
        """Leaves the caller, through its sidecar."""
        station = self.route.station
        if station.free:
            self.filter(now)
        else:
            station.enter(self, FILTER, self.key, PROXY_OUT, now)

    def fire(self, step: int, now: float) -> None:
        if step != self.step:
            return
        if step == FILTER:
            self.filter(now)
        elif step == ADMIT:
            self.admit(now)
        elif step == ANSWER:
            station = self.route.station
            if station.free:
                self.deliver(now)
            else:
                self.step = DONE
                station.enter(self, DONE, self.key, PROXY_BACK, now)
        else:
            self.deliver(now)

    # ---- filters, and the route ---------------------------------------------------------------------

    def filter(self, now: float) -> None:
        """Injects a delay, if one is due."""
        self.policy = self.route.policy
        self.step = ADMIT
        fault = self.policy.fault
        if fault.delays(self.key):
            self.flags = add_flag(self.flags, DI)
            self.route.clock.at(now + fault.delay_time(self.key), self, ADMIT)
        else:
            self.admit(now)

    def admit(self, now: float) -> None:
        """Aborts, or limits the rate, or routes."""
        fault = self.policy.fault
        bucket = self.route.bucket
        if fault.aborts(self.key):
            self.reply(fault.status, FI, now)
        elif bucket is not None and not bucket.take(now):
            self.reply(429, RL, now)
        else:
            self.begin_route(now)

    def begin_route(self, now: float) -> None:
        """Chooses the cluster, starts the timers and launches the first attempt."""
        policy = self.policy
        self.step = ANSWER
        self.cluster = policy.clusters[
            policy.split.choose(u01(self.key, ROUTE)) if len(policy.clusters) > 1 else 0
        ]
        if policy.repicks > 0:
            self.tried = []
        if not self.uploading:
            self.start_timers(now)
        first = Attempt(self, FIRST, False)
        self.add_try(first)
        first.launch(now)

    def start_timers(self, now: float) -> None:
        """The route's time-out and the wait for a hedge begin."""
        policy = self.policy
        if policy.timeouts is not None:
            policy.timeouts.start(self, now)
        if policy.hedges is not None:
            self.hedging = HedgeTimer(self)
            policy.hedges.start(self.hedging, now)

    def uploaded(self, now: float) -> None:
        """The request, which went on coming in while it was being sent, is whole: time-outs begin."""
        self.uploading = False
        attempt = self.eldest
        if attempt is None:  # it is not being sent yet, or any more
            return
        self.start_timers(now)
        tries = self.policy.try_timeouts
        while tries is not None and attempt is not None:
            if attempt.step == SENT:
                tries.start(attempt, now)
            attempt = attempt.younger

    def reply(self, status: int, flag: int, now: float) -> None:
        """The proxy answers by itself, in an event of its own."""
        self.status = status
        self.flags = add_flag(self.flags, flag)
        self.step = ANSWER
        self.route.clock.at(now, self, ANSWER)

    # ---- while attempts are under way ---------------------------------------------------------------

    def judge(self, attempt: Attempt, status: int, cause: int, now: float) -> int:
        """What the end of an attempt means: it wins, is tried again, or is dropped. May take a retry slot."""
        policy = self.policy
        cluster = attempt.cluster
        if cause == REJECTED:
            return DROP
        rule = policy.rule
        if rule is None or not self.replayable or not rule.retriable(status, cause, now):
            if rule is not None:
                cluster.budget.deposit(now)
            elif status >= 500 and policy.hedge.limit > 0:
                return DROP
            return WIN
        if self.retried >= rule.attempts:
            self.flags = add_flag(self.flags, URX)
            return DROP
        self.retried += 1
        if not cluster.grant_retry(now):
            self.flags = add_flag(self.flags, UO)
            return DROP
        return AGAIN

    def settle(self, verdict: int, status: int, flag: int, host: Host | None, now: float) -> None:
        """Acts on the end of an attempt, which is no longer among the tries."""
        if verdict == AGAIN:
            if self.retried >= RETRIES_AT_ONCE and now == self.start:
                raise MeshsimError(
                    f"a call was retried {RETRIES_AT_ONCE} times at the same instant ({now} s), so time "
                    "would never pass; give its retries a `backoff` or a number of `attempts`"
                )
            rule = self.policy.rule
            assert rule is not None, "what is tried again has a rule"
            wait = rule.wait(self.retried, u01(derive(self.key, self.launched), BACKOFF))
            if not 0.0 <= wait < inf:
                raise MeshsimError(
                    f"{type(rule).__name__}.wait must return seconds of at least 0, not {wait}"
                )
            again = Attempt(self, RETRY, True)
            again.step = WAITING
            self.add_try(again)
            self.route.clock.at(now + wait, again, WAITING)
        elif verdict == WIN or self.eldest is None:
            self.host = host
            self.conclude(status, flag, now)
        elif flag in (UH, NC):
            self.flags = add_flag(self.flags, flag)

    def hedge(self, now: float) -> None:
        """An opportunity to hedge: taken if a try is under way and a retry slot is to be had."""
        policy = self.policy
        self.hedged += 1
        under_way = False
        attempt = self.eldest
        while attempt is not None and self.replayable:
            if attempt.step == SENT or attempt.step == PENDING:
                under_way = True
            attempt = attempt.younger
        if under_way and self.cluster is not None and self.cluster.grant_retry(now):
            hedge = Attempt(self, HEDGE, True)
            self.add_try(hedge)
            hedge.launch(now)
        if self.hedged < policy.hedge.limit and policy.hedges is not None and self.hedging is not None:
            policy.hedges.start(self.hedging, now)

    def expire(self, now: float) -> None:
        """The route's time-out: no try is waited for any longer."""
        attempt = self.eldest
        while attempt is not None:
            if attempt.step == SENT:
                attempt.cluster.record(attempt.host_sent(), 504, attempt.key, now)
            attempt = attempt.younger
        self.conclude(504, UT, now)

    # ---- the end ------------------------------------------------------------------------------------

    def conclude(self, status: int, flag: int, now: float) -> None:
        """The call has its answer: whatever else is under way is given up."""
        self.status = status
        self.flags = add_flag(self.flags, flag)
        self.give_up(now)
        self.fire(ANSWER, now)

    def give_up(self, now: float) -> None:
        """Stops timers and abandons tries: first those that have not been sent."""
        self.stop_timer()
        if self.hedging is not None:
            self.hedging.stop_timer()
            self.hedging = None
        if self.eldest is not None:
            self.abandon_tries(False, now)
            self.abandon_tries(True, now)

    def abandon_tries(self, sent: bool, now: float) -> None:
        """Abandons the tries that have been sent, or those that have not."""
        attempt = self.eldest
        while attempt is not None:
            younger = attempt.younger
            if (attempt.step == SENT) == sent:
                self.remove_try(attempt)
                attempt.abandon(now)
            attempt = younger

    def deliver(self, now: float) -> None:
        """The caller has its answer."""
        self.step = ENDED
        owner = self.owner
        self.owner = None
        self.route.recorder.call_ended(
            self.row, self.route.number, self.request.start, self.start, self.status, self.flags,
            -1 if self.host is None else self.host.replica, now,
        )  # fmt: skip
        if self.request.sampled:
            self.trace(self.status, now)
        if owner is not None:
            owner.answered(self, now)

    def trace(self, status: int, now: float) -> None:
        """Keeps the span of a call for a sampled request."""
        self.route.tracer.add(
            CALL_SPAN, self.request, self.key, self.span, self.route.number, -1, self.sent, FIRST,
            self.extra, self.start, now, status, self.flags,
        )  # fmt: skip

    def cancel(self, now: float) -> None:
        """Who made the call is gone: it ends without an answer."""
        if self.step == ENDED:
            return
        self.step = ENDED
        self.owner = None
        self.give_up(now)
        self.route.recorder.call_ended(
            self.row, self.route.number, self.request.start, self.start, -1, self.flags, -1, now
        )
        if self.request.sampled:
            self.trace(-1, now)

    def unlink(self) -> Event | None:
        super().unlink()
        attempt = self.eldest
        while attempt is not None:
            younger = attempt.younger
            attempt.unlink()
            attempt = younger
        self.eldest = None
        self.youngest = None
        if self.hedging is not None:
            self.hedging.unlink()
            self.hedging = None
        return self.owner

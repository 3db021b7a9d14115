"""The tries of one call: launched, retried, hedged, until one of them has the answer.

This is Envoy's router filter, and the one place where the order of things within an instant decides (a retry
budget counts the failed try as active; its connection is handed on before the retry is made). So here are no
processes, but what happens at an event, as plain calls in that order:

    ended -> slot back -> charge the host -> judge -> (win: drop the others) -> connection to the next
                                                                             -> win:   the call's answer
                                                                             -> retry: back-off, launch
                                                                             -> fail:  answer, if none is left
"""

from __future__ import annotations

from typing import Literal

import simpy

from meshsim.random import BACKOFF, REPICK, Key, derive, u01
from meshsim.reference.attempt import FIRST, HEDGE, RETRY, Answer, Attempt, Host
from meshsim.reference.run import Run
from meshsim.reference.tables import AttemptRow, CallRow
from meshsim.reference.upstream import Upstream
from meshsim.scenario.model import Policy, Retries

Verdict = Literal["win", "retry", "fail"]

DOUBLINGS_MAX = 1000  # of the back-off, which is then far above any maximum; more would overflow

RETRIED = {
    "UF": {"connect-failure", "5xx", "gateway-error", "reset", "reset-before-request"},
    "UC": {"5xx", "gateway-error", "reset"},
    "UT": {"5xx", "gateway-error", "reset", "per-try-timeout"},
}
"""Under which conditions what a proxy saw is retried, by its flag."""


def retriable(retries: Retries, status: int, flag: str) -> bool:
    """Whether `on` or `statuses` ask for a retry of this outcome; the latter know responses only."""
    if flag:
        return not RETRIED[flag].isdisjoint(retries.on)
    return (
        ("5xx" in retries.on and status >= 500)
        or ("gateway-error" in retries.on and 502 <= status <= 504)
        or ("retriable-4xx" in retries.on and status == 409)
        or status in retries.statuses
    )


class Tries:
    """The tries of a call, in the order of their launch. `answer` happens with the call's :class:`Answer`."""

    def __init__(
        self, run: Run, upstream: Upstream, version: str | None, policy: Policy, key: Key, row: CallRow
    ) -> None:
        self.run = run
        self.clock = run.clock
        self.did = run.did
        self.upstream = upstream
        self.link = upstream.link
        self.version = version
        self.cluster = upstream.cluster(version)
        self.policy = policy
        self.key = key
        self.row = row
        self.answer: simpy.Event = self.clock.event()
        self.open: list[Attempt] = []  # pending in a pool, or sent, and not over
        self.tried: set[Host] = set()  # where tries went, or would have if the breaker had let them
        self.backing_off = 0  # retries that wait for their back-off
        self.refused_now = 0  # tries without a host or a connection, whose failure is about to be known
        self.launched = self.retried = self.hedged = 0  # how many times (a hedge may have been refused)
        self.over = False  # the call has its answer, or is cancelled

    def start(self) -> None:
        """Set the timers, the route's first; launch the first try."""
        if self.policy.timeout > 0.0:
            self.clock.after(self.policy.timeout, self._time_out)
        if self.policy.hedge is not None:
            self.clock.after(self.policy.hedge.after, self._hedge)
        self._launch(FIRST)

    def _launch(self, kind: int, *, slot: bool = False) -> None:
        """Make a try: a host, a connection, off. Each of these may be refused, or may take time."""
        attempt = Attempt(self, self.launched, kind, slot=slot)
        self.launched += 1
        host = self._pick(attempt.key)
        if host is None:
            self.refused(attempt, "UH" if self.version in self.upstream.told else "NC")
            return
        attempt.host, attempt.bound = host, self.clock.now
        self.open.append(attempt)
        self.cluster.connect(attempt, host)

    def _pick(self, key: Key) -> Host | None:
        """A host for a try; with `previous_hosts`, another than those tried, if a few more picks find one."""
        host = self.cluster.pick(key)
        retries = self.policy.retries
        most = retries.host_attempts if retries is not None and retries.previous_hosts else 0
        for again in range(most):
            if host is None or host not in self.tried:
                break
            self.did["host picked again"] += 1
            host = self.cluster.pick(derive(key, REPICK + again))
        return host

    def sent(self, attempt: Attempt) -> AttemptRow:
        """A try got its connection. Its time-out counts from here, unless the route's is as short."""
        limit = self.policy.retries.per_try_timeout if self.policy.retries is not None else 0.0
        if limit > 0.0 and (self.policy.timeout == 0.0 or limit < self.policy.timeout):
            self.clock.after(limit, lambda: self._per_try_time_out(attempt))
        return self._count(attempt)

    def _count(self, attempt: Attempt) -> AttemptRow:
        self.did["sent: " + ("first", "retry", "hedge")[attempt.kind]] += 1
        self.tried.add(attempt.host)
        call, replica = self.row, attempt.host.replica.index
        row = AttemptRow(
            call.edge, call.endpoint, replica, attempt.kind, call.request.start, self.clock.now, attempt.extra
        )
        self.run.attempts.append(row)
        call.attempts += 1
        return row

    def unreachable(self, attempt: Attempt) -> None:
        """No connection to a try's host could be opened. It counts as sent, but nothing is on its way."""
        attempt.row = self._count(attempt)
        attempt.end(503, "UF")

    def refused(self, attempt: Attempt, flag: str) -> None:
        """A try got no host or no connection; the consequences are an event of their own."""
        self.did[flag] += 1
        if attempt in self.open:
            self.open.remove(attempt)
            self.tried.add(attempt.host)
            self.cluster.dismiss(attempt)
        self._release_slot(attempt)
        self.refused_now += 1
        self.clock.after(0.0, lambda: self._refused(flag))

    def _refused(self, flag: str) -> None:
        self.refused_now -= 1
        if not self.over:
            if flag != "UO":
                self.row.add_flag(flag)
            self._fail(Answer(503, flag))

    def ended(self, attempt: Attempt, status: int, flag: str) -> None:
        """A sent try is over, by a response or by its time-out (`UT`)."""
        self.open.remove(attempt)
        self._release_slot(attempt)
        self.cluster.charge(attempt, status)
        verdict = self._judge(status, flag)
        if flag == "UT":
            attempt.abandon()
        if verdict == "win":
            self.drop()  # before the connection is free: none of the others is to get it
        if flag in ("UF", "UC"):
            self.did[flag] += 1
        self.cluster.release(attempt, attempt.host, broken=bool(flag))
        version = "" if flag == "UT" else attempt.host.replica.version
        self._apply(verdict, Answer(status, flag, version))

    def _judge(self, status: int, flag: str) -> Verdict:
        """What the end of a try means: it takes effect after the connection was handed on."""
        retries = self.policy.retries
        if retries is None:
            return "fail" if self.policy.hedge is not None and status >= 500 else "win"
        if not retriable(retries, status, flag):
            if self.upstream.budget is not None:
                self.upstream.budget.deposit(self.clock.now)
            return "win"
        self.did["retriable status"] += not flag and status in retries.statuses
        if self.retried >= retries.attempts:
            self.row.add_flag("URX")
            self.did["URX"] += 1
            return "fail"
        self.retried += 1
        if not self._grant_slot():
            self.row.add_flag("UO")
            self.did["UO: no retry"] += 1
            return "fail"
        return "retry"

    def _apply(self, verdict: Verdict, answer: Answer) -> None:
        if verdict == "win":
            self._conclude(answer)
        elif verdict == "fail":
            self._fail(answer)
        else:
            self._back_off()

    def _fail(self, answer: Answer) -> None:
        """A failure that is not retried is forgotten while there are other tries, else it is the answer."""
        if self.open or self.backing_off or self.refused_now:
            self.did["failure dropped"] += 1
        else:
            self._conclude(answer)

    def _conclude(self, answer: Answer) -> None:
        self.row.add_flag(answer.flag)
        self.drop()
        self.answer.succeed(answer)

    def drop(self) -> None:
        """The call needs no tries any more. Pending ones leave first, or they'd get what the others free."""
        self.over = True
        dropped, self.open = self.open, []
        self.cluster.slots -= self.backing_off
        self.backing_off = 0
        for attempt in dropped:
            self._release_slot(attempt)
            self.cluster.dismiss(attempt)
            if not attempt.sent:
                self.did["left pending"] += 1
                self.cluster.leave(attempt, attempt.host)
        for attempt in dropped:
            if attempt.sent:
                attempt.abandon()
                self.cluster.release(attempt, attempt.host, broken=True)

    def _back_off(self) -> None:
        """Wait at random, longer each time, so that the failed do not come back together."""
        assert self.policy.retries is not None
        backoff = self.policy.retries.backoff
        u = u01(derive(self.key, self.launched), BACKOFF)
        self.backing_off += 1
        bound = min(backoff.base * 2.0 ** min(self.retried - 1, DOUBLINGS_MAX), backoff.ceiling)
        if backoff.jitter is None:
            wait = u * bound
        else:
            wait = min(bound + u * backoff.jitter * bound, backoff.ceiling)
            self.did["back-off cut" if wait == backoff.ceiling else "back-off with jitter added"] += 1
        self.clock.after(wait, self._retry)

    def _retry(self) -> None:
        if not self.over:
            self.did["retry"] += 1
            self.backing_off -= 1
            self._launch(RETRY, slot=True)

    def _hedge(self) -> None:
        """The first try is slow: make another one beside it, if a retry would be allowed now."""
        hedge = self.policy.hedge
        if self.over or hedge is None:
            return
        self.hedged += 1
        if self.open and self._grant_slot():
            self.did["hedge"] += 1
            self._launch(HEDGE, slot=True)
        if self.hedged < hedge.max:
            self.clock.after(hedge.after, self._hedge)

    def _grant_slot(self) -> bool:
        """Ask the budget in force for a retry slot; it is taken if granted."""
        budget = self.upstream.budget
        if budget is not None:
            granted = budget.withdraw(self.clock.now)
            self.did["refused: linkerd budget"] += not granted
        else:
            granted = self.cluster.allows_retry()
        self.cluster.slots += granted
        return granted

    def _release_slot(self, attempt: Attempt) -> None:
        self.cluster.slots -= attempt.slot
        attempt.slot = False

    def _per_try_time_out(self, attempt: Attempt) -> None:
        if not attempt.over:
            self.did["per-try timeout"] += 1
            attempt.end(504, "UT")

    def _time_out(self) -> None:
        """The call took too long; every try that is out there is to blame."""
        if self.over:
            return
        self.did["route timeout"] += 1
        for attempt in self.open:
            if attempt.sent:
                self.cluster.charge(attempt, 504)
        self._conclude(Answer(504, "UT"))

"""The life of a call, as a process: out through the sidecar, the filters, the route, and back.

sidecar -> fault: delay -> fault: abort -> rate limit -> route: tries -> sidecar -> the caller has its answer
                               | answered      | 429                       ^
                               +---------------+---------------------------+
"""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

import simpy

from meshsim.random import FAULT_ABORT, FAULT_DELAY, FAULT_TIME, PROXY_BACK, PROXY_OUT, ROUTE, Key, u01
from meshsim.reference.clock import Clock, Steps
from meshsim.reference.tables import AttemptRow, CallRow, RequestRow, Tables
from meshsim.reference.tries import Outcome, Tries
from meshsim.reference.upstream import Upstream
from meshsim.scenario.model import Policy

if TYPE_CHECKING:
    from meshsim.reference.caller import Caller


class Call:
    """A caller's wish, whatever number of tries it takes.

    Attributes:
        request: the client's request that it serves.
        extra: whether a retry or a hedge is among its ancestors.
        policy: of its caller's proxy when it came to the filters; it keeps that.
        tries: None before the route.
        over: whether the caller has its answer, or wants none any more.
    """

    policy: Policy

    def __init__(
        self,
        caller: Caller,
        upstream: Upstream,
        key: Key,
        request: RequestRow,
        tables: Tables,
        *,
        extra: bool,
    ) -> None:
        self.caller = caller
        self.upstream = upstream
        self.key = key
        self.request = request
        self.extra = extra
        self.clock: Clock = caller.clock
        self.did: Counter[str] = caller.did
        self.tables = tables
        self.row = CallRow(upstream.edge, request.start, self.clock.now, extra)
        self.tables.calls.append(self.row)
        self.flags: list[str] = []
        self.tries: Tries | None = None
        self.over = False
        self.process = self.clock.work(self.life())

    @property
    def failed(self) -> bool:
        """Whether it ended with an error."""
        return self.row.status >= 400

    def life(self) -> Steps[None]:
        """All the steps; an interrupt means that nobody wants the answer any more."""
        sidecar = self.caller.sidecar
        try:
            yield from sidecar.cross(self.key, PROXY_OUT)
            self.policy = self.upstream.policy
            outcome = yield from self._filters()
            if outcome is None:
                self.tries = Tries(self, self.upstream.cluster(self._version()))
                self.tries.start()
                outcome = yield self.tries.answer
            else:
                yield self.clock.timeout(0.0)
            yield from sidecar.cross(self.key, PROXY_BACK)
        except simpy.Interrupt:
            return
        self._finish(outcome)

    def _filters(self) -> Steps[Outcome | None]:
        """What comes before the route; an outcome if that is the end already."""
        fault = self.policy.fault
        if fault.delay is not None and u01(self.key, FAULT_DELAY) < fault.delay.percent:
            self.did["fault delay"] += 1
            self.add_flag("DI")
            yield self.clock.timeout(fault.delay.time.build().draw(self.key, FAULT_TIME))
        if fault.abort is not None and u01(self.key, FAULT_ABORT) < fault.abort.percent:
            self.did["fault abort"] += 1
            self.add_flag("FI")
            return Outcome(fault.abort.status)
        bucket = self.upstream.bucket
        if bucket is not None and not bucket.take(self.clock.now):
            self.did["rate limited"] += 1
            self.add_flag("RL")
            return Outcome(429)
        return None

    def _version(self) -> str | None:
        """The version that the split sends it to; None without a split, for all versions together."""
        split = self.policy.split
        total = sum(split.values())
        below = 0.0
        for version, weight in split.items():
            below += weight
            if below / total > u01(self.key, ROUTE):
                return version
        return next(reversed(split), None)

    def add_flag(self, flag: str) -> None:
        """Say what a proxy did, once."""
        if flag and flag not in self.flags:
            self.flags.append(flag)

    def sent(self, replica: int, kind: int, *, extra: bool) -> AttemptRow:
        """Note that a try was sent."""
        row = AttemptRow(self.upstream.edge, replica, kind, self.request.start, self.clock.now, extra)
        self.tables.attempts.append(row)
        if self.caller.is_client:
            self.request.attempts += 1
        return row

    def cancel(self) -> None:
        """The work that made this call has stopped: end, wherever it is, without an answer."""
        if self.over:
            return
        self.did["cancelled call"] += 1
        self.over = True
        self.row.status = -1
        self.row.end = self.clock.now
        self.row.flag = ",".join(self.flags)
        if self.tries is not None:
            self.tries.drop()
        self.process.interrupt()

    def _finish(self, outcome: Outcome) -> None:
        """The caller has its answer."""
        self.over = True
        self.row.status = outcome.status
        self.row.end = self.clock.now
        self.row.flag = ",".join(self.flags)
        if self.caller.is_client:
            request = self.request
            request.end, request.status, request.flag = self.row.end, outcome.status, self.row.flag
            request.version = outcome.version

"""The life of a call, as a process: out through the sidecar, the filters, the route, and back.

sidecar -> fault: delay -> fault: abort -> rate limit -> route: tries -> sidecar -> the caller has its answer
                               | answered      | 429                       ^
                               +---------------+---------------------------+
"""

from __future__ import annotations

import simpy

from meshsim.random import FAULT_ABORT, FAULT_DELAY, FAULT_TIME, PROXY_BACK, PROXY_OUT, ROUTE, Key, u01
from meshsim.reference.attempt import Answer
from meshsim.reference.balance import weighted
from meshsim.reference.clock import Steps
from meshsim.reference.run import Run
from meshsim.reference.station import Sidecar
from meshsim.reference.tables import CallRow
from meshsim.reference.tries import Tries
from meshsim.reference.upstream import Route
from meshsim.scenario.model import Policy


class Call:
    """A call by a proxy, `sidecar`, whatever number of tries it takes."""

    policy: Policy  # of its caller's proxy when it came to the filters; it keeps that

    def __init__(
        self, run: Run, sidecar: Sidecar, route: Route, key: Key, row: CallRow, *, by_client: bool
    ) -> None:
        self.run = run
        self.clock = run.clock
        self.did = run.did
        self.sidecar = sidecar
        self.route = route
        self.key = key
        self.row = row
        self.by_client = by_client  # then its answer is that of the request
        self.tries: Tries | None = None  # None before the route
        run.calls.append(row)
        self.process = run.clock.work(self.life())

    @property
    def failed(self) -> bool:
        """Whether it ended with an error."""
        return self.row.status >= 400

    def life(self) -> Steps[None]:
        """All the steps; an interrupt means that nobody wants the answer any more."""
        try:
            yield from self.sidecar.cross(self.key, PROXY_OUT)
            self.policy = self.route.policy
            self.did["endpoint"] += bool(self.route.endpoint)
            answer = yield from self._filters()
            if answer is None:
                upstream = self.route.upstream
                self.tries = Tries(self.run, upstream, self._version(), self.policy, self.key, self.row)
                self.tries.start()
                answer = yield self.tries.answer
            else:
                yield self.clock.timeout(0.0)
            yield from self.sidecar.cross(self.key, PROXY_BACK)
        except simpy.Interrupt:
            return
        self._finish(answer)

    def _filters(self) -> Steps[Answer | None]:
        """What comes before the route; an answer if that is the end already."""
        fault = self.policy.fault
        if fault.delay is not None and u01(self.key, FAULT_DELAY) < fault.delay.percent:
            self.did["fault delay"] += 1
            self.row.add_flag("DI")
            yield self.clock.timeout(fault.delay.time.build().draw(self.key, FAULT_TIME))
        if fault.abort is not None and u01(self.key, FAULT_ABORT) < fault.abort.percent:
            self.did["fault abort"] += 1
            self.row.add_flag("FI")
            return Answer(fault.abort.status)
        bucket = self.route.bucket
        if bucket is not None and not bucket.take(self.clock.now):
            self.did["rate limited"] += 1
            self.did["rate limited by its own"] += self.route.limited
            self.row.add_flag("RL")
            return Answer(429)
        return None

    def _version(self) -> str | None:
        """The version that the split sends it to; None without a split, for all versions together."""
        split = self.policy.split
        return weighted(split, u01(self.key, ROUTE)) if split else None

    def cancel(self) -> None:
        """The work that made this call has stopped: end, wherever it is, without an answer."""
        if self.row.ended:
            return
        self.did["cancelled call"] += 1
        self.row.status, self.row.end = -1, self.clock.now
        if self.tries is not None:
            self.tries.drop()
        self.process.interrupt()

    def _finish(self, answer: Answer) -> None:
        """The caller has its answer."""
        row = self.row
        row.status, row.end, row.version = answer.status, self.clock.now, answer.version
        if self.by_client:
            request = row.request
            request.end, request.status, request.flag = row.end, row.status, row.flag
            request.attempts, request.version = row.attempts, answer.version

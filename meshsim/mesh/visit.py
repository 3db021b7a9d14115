"""The visit of an attempt to a replica: the upstream's half of it.

Through the upstream's sidecar, into the queue, through service and script, and out again. How it came and how
its answer travels is its body's: over a simulated link (`Journey`), or a connection. It goes on without its
attempt when the caller has given up, as far as `when_abandoned` says.
"""

from __future__ import annotations

from typing import final

from meshsim.mesh.call import Call, Owner
from meshsim.mesh.clock import Event
from meshsim.mesh.queue import QUEUED, SERVING, Waiting
from meshsim.mesh.replica import Replica
from meshsim.mesh.request import Request
from meshsim.mesh.spans import SERVER_SPAN, server_span
from meshsim.mesh.work import FINISH, STOP, ScriptStep
from meshsim.policies.outcome import NO_FLAG, REFUSED, RESET, RESPONSE, UC, UF
from meshsim.random import ERROR, PROXY_IN, PROXY_RESPONSE, REPEAT, SCRIPT, SLEEP, TAKEN, Key, derive, u01

# Steps of a visit, which only go forward; QUEUED = 4 and SERVING = 5 are the replica's
OUTWARD = 1  # on the link to the replica
RESENDING = 2  # lost, to be sent again
ENTERING = 3  # in the upstream's sidecar
WORKING = 6  # its script runs
LEAVING = 7  # in the upstream's sidecar
HOMEWARD = 8  # on the link back
RESENDING_HOME = 9
DOOMED = 10  # on a connection that was closed before it arrived
GONE = 11


class Visit(Waiting):
    """An attempt's stay at a replica.

    Attributes:
        replica: where.
        endpoint: number of the one that is asked for.
        request: the client's, for which it is made.
        row, number, kind, extra: of the attempt, which may be gone; its row is -1 where another process keeps
            it, its number where nobody waits any more.
        arrived: when it reached the replica, s.
        status, flag, cause: of the answer.
        abandoned: whether the replica knows that the caller has given up.
        stage: of the script, the next to run.
        flat: steps of the script that have been reached.
        running: steps of the current stage that have not ended.
        failed: whether a required call of the current stage has.
        child: the first call of the current stage; `Call.sibling` leads to the others.
    """

    flag: int
    cause: int
    child: Call | None

    def __init__(
        self, replica: Replica, endpoint: int, request: Request, key: Key, row: int, number: int, kind: int,
        extra: bool,
    ) -> None:  # fmt: skip
        self.ahead = None
        self.behind = None
        self.held = False
        self.elder = None
        self.younger = None
        self.replica = replica
        self.endpoint = endpoint
        self.request = request
        self.priority = request.priority
        self.key = key
        self.row = row
        self.number = number
        self.kind = kind
        self.extra = extra
        self.span = 0
        self.step = OUTWARD
        self.arrived = 0.0
        self.status = 0
        self.flag = NO_FLAG
        self.cause = RESPONSE
        self.abandoned = False
        self.stage = 0
        self.flat = 0
        self.running = 0
        self.failed = False
        self.child = None

    def fire(self, step: int, now: float) -> None:
        if step != self.step:
            return
        if step == SERVING:
            self.served(now)
        elif step == ENTERING:
            self.enter(now)
        elif step == LEAVING:
            self.leave(now)

    # ---- its body's -----------------------------------------------------------------------------------

    def go_home(self, status: int, flag: int, cause: int, now: float) -> None:
        """The answer leaves the replica's side."""
        raise NotImplementedError

    def vanish(self, now: float) -> None:
        """There will be no answer, and nobody waits for one."""
        raise NotImplementedError

    def denied(self) -> bool:
        """Whether access rules deny it; where a proxy asks them before it comes here, they have."""
        return False

    # ---- at the replica -----------------------------------------------------------------------------

    def arrive(self, now: float) -> None:
        """Reaches the replica's side, which may not be there."""
        replica = self.replica
        replica.recorder.attempt_at_replica(
            self.row, replica.place + self.endpoint, self.kind, self.extra, self.request.start, now
        )
        self.arrived = now
        if replica.downs > 0:
            self.refuse(now)
        else:
            self.work = replica.workload.works[self.endpoint]
            replica.hold(self)
            self.step = ENTERING
            if replica.proxy.station.free:
                self.enter(now)
            else:
                replica.proxy.station.enter(self, ENTERING, self.key, PROXY_IN, now)

    def refuse(self, now: float) -> None:
        """The replica is down: no connection."""
        self.record(503, now)
        self.go_home(503, UF, REFUSED, now)

    def record(self, status: int, now: float) -> None:
        """Tells the recorder how the replica's side ends it."""
        replica = self.replica
        replica.recorder.attempt_answer(
            self.row, replica.place + self.endpoint, self.request.start, self.arrived, status, now
        )

    def parent(self) -> Key:
        """The parent of the server's span: that of the attempt."""
        return self.key

    def trace(self, status: int, flag: int, now: float) -> None:
        """Keeps the server's span of a sampled request."""
        if self.request.sampled:
            self.replica.tracer.add(
                SERVER_SPAN, self.request, server_span(self.key), self.parent(), self.endpoint,
                self.replica.number, self.number, self.kind, self.extra, self.arrived, now, status, flag,
            )  # fmt: skip

    def enter(self, now: float) -> None:
        """Through the sidecar; whoever has given up meanwhile is not served, unless all work is finished."""
        if self.abandoned and self.replica.workload.when_abandoned != FINISH:
            self.drop(now)
        elif self.replica.proxy.guarded and self.denied():
            self.answer(403, now)
        else:
            self.replica.admit(self, now)

    def served(self, now: float) -> None:
        """The replica's own time is over."""
        replica = self.replica
        self.step = WORKING
        if not replica.workload.holds_worker:
            replica.release(now)
        error_ratio = replica.error_ratio if replica.error_ratio >= 0.0 else self.work.error_ratio
        if error_ratio > 0.0 and u01(self.key, ERROR) < error_ratio:
            self.work_ended(500, now)
        else:
            self.run_script(now)

    def run_script(self, now: float) -> None:
        """Starts the next stage that has anything to wait for."""
        stages = self.work.stages
        while self.stage < len(stages):
            self.start_stage(stages[self.stage], now)
            self.stage += 1
            if self.running > 0:
                return
        self.work_ended(200, now)

    def start_stage(self, steps: list[ScriptStep], now: float) -> None:
        """Starts all steps of a stage, in order."""
        self.child = None
        last: Call | None = None
        for step in steps:
            key = derive(self.key, SCRIPT + self.flat)
            self.flat += 1
            if step.sleep is not None:
                self.running += 1
                nap = Nap(self)
                self.replica.clock.at(now + step.sleep.draw(key, SLEEP), nap, 0)
            elif step.probability >= 1.0 or u01(key, TAKEN) < step.probability:
                self.running += 1
                self.span = server_span(self.key) if self.request.sampled else 0
                owner: Owner = self
                if step.repeat > 1:
                    owner = Repeats(self, step, key)
                call = Call(self.replica.proxy.routes[step.route], owner, self.request, key, self.extra, now)
                call.optional = step.optional
                if last is None:
                    self.child = call
                else:
                    last.sibling = call
                last = call
                call.begin(now)

    def answered(self, call: Call, now: float) -> None:
        if call.status >= 400 and not call.optional:
            self.failed = True
        self.step_ended(now)

    def step_ended(self, now: float) -> None:
        """One step of the stage less to wait for."""
        if self.step != WORKING:
            return
        self.running -= 1
        if self.running == 0:
            if self.failed:
                self.work_ended(500, now)
            else:
                self.run_script(now)

    def work_ended(self, status: int, now: float) -> None:
        """The replica has its answer."""
        if self.replica.workload.holds_worker:
            self.replica.release(now)
        self.answer(status, now)

    def answer(self, status: int, now: float) -> None:
        """Sends the answer off, through the sidecar; or throws it away, if nobody waits."""
        if self.abandoned:
            self.drop(now)
        else:
            self.status = status
            self.step = LEAVING
            if self.replica.proxy.station.free:
                self.leave(now)
            else:
                self.replica.proxy.station.enter(self, LEAVING, self.key, PROXY_RESPONSE, now)

    def leave(self, now: float) -> None:
        """The answer is through the sidecar."""
        self.replica.let_go(self)
        self.record(self.status, now)
        self.go_home(self.status, NO_FLAG, RESPONSE, now)

    # ---- cut short ----------------------------------------------------------------------------------

    def drop(self, now: float) -> None:
        """The replica does no more for it."""
        self.replica.let_go(self)
        self.record(-1, now)
        self.trace(0, NO_FLAG, now)
        self.vanish(now)

    def learn(self, now: float) -> None:
        """The replica learns that the caller has given up."""
        if self.step >= LEAVING:
            return
        self.abandoned = True
        replica = self.replica
        policy = replica.workload.when_abandoned
        if self.step == QUEUED and policy != FINISH:
            replica.leave_queue(self, now)
            self.drop(now)
        elif self.step in (SERVING, WORKING) and policy == STOP:
            self.stop(now)

    def stop(self, now: float) -> None:
        """Service or script end at once."""
        child = self.child
        holds = self.step == SERVING or self.replica.workload.holds_worker
        self.drop(now)
        if holds:
            self.replica.release(now)
        cancel_all(child, now)

    def lose(self, now: float) -> None:
        """The replica has gone down with it."""
        child = self.child
        self.child = None
        if self.abandoned:
            self.drop(now)
        else:
            self.record(503, now)
            self.go_home(503, UC, RESET, now)
        cancel_all(child, now)

    def unlink(self) -> Event | None:
        self.ahead = None
        self.behind = None
        self.elder = None
        self.younger = None
        self.child = None
        return None


def cancel_all(child: Call | None, now: float) -> None:
    """Cancels a call and its siblings."""
    while child is not None:
        child.cancel(now)
        child = child.sibling


@final
class Repeats(Owner):
    """A call step that is made several times, one after the other; one that fails and is required ends it.

    Attributes:
        key: of the step, and of its first call.
        done: how many have been answered.
    """

    key: Key

    def __init__(self, visit: Visit, step: ScriptStep, key: Key) -> None:
        self.visit = visit
        self.step = step
        self.key = key
        self.span = visit.span
        self.done = 0

    def answered(self, call: Call, now: float) -> None:
        visit = self.visit
        self.done += 1
        if self.done == self.step.repeat or (call.status >= 400 and not call.optional):
            visit.answered(call, now)
        elif visit.step == WORKING:
            key = derive(self.key, REPEAT + self.done)
            again = Call(call.route, self, visit.request, key, visit.extra, now)
            again.optional = call.optional
            last = call
            while last.sibling is not None:
                last = last.sibling
            last.sibling = again  # calls are cancelled in the order in which they began
            again.begin(now)

    def unlink(self) -> Event | None:
        return self.visit


@final
class Nap(Event):
    """A sleep of a script."""

    def __init__(self, visit: Visit) -> None:
        self.visit = visit

    def fire(self, step: int, now: float) -> None:
        self.visit.step_ended(now)

    def unlink(self) -> Event | None:
        return self.visit

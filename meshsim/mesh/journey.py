"""The simulated transport: a message over the link, and its answer back.

Steps of a journey go forward (but for what is sent again), so an occurrence left on the clock by a step that
was cut short finds another step and does nothing.
"""

from __future__ import annotations

from meshsim.mesh.attempt import Attempt
from meshsim.mesh.clock import Event
from meshsim.mesh.link import TRANSMISSIONS, Link
from meshsim.mesh.queue import Waiting
from meshsim.mesh.replica import Replica
from meshsim.mesh.route import Request, Transport
from meshsim.mesh.spans import SERVER_SPAN, server_span
from meshsim.policies.outcome import NO_FLAG, RESET, RESPONSE, UC
from meshsim.random import (
    LINK_BACK,
    LINK_OUT,
    LOSS_BACK,
    LOSS_OUT,
)

# Steps of a visit; QUEUED = 4 and SERVING = 5 are the replica's
OUTWARD = 1  # on the link to the replica
RESENDING = 2  # lost, to be sent again
ENTERING = 3  # in the upstream's sidecar
WORKING = 6  # its script runs
LEAVING = 7  # in the upstream's sidecar
HOMEWARD = 8  # on the link back
RESENDING_HOME = 9
GONE = 10


class Transit(Transport):
    """A transport that counts what is under way.

    Attributes:
        visits: under way.
        watch: told when there are none left.
    """

    visits: int
    watch: Event | None

    def __init__(self) -> None:
        self.visits = 0
        self.watch = None

    def ended(self, now: float) -> None:
        """A visit is over."""
        self.visits -= 1
        if self.visits == 0 and self.watch is not None:
            self.watch.fire(0, now)


class Journey(Waiting):
    """An attempt on its way to a replica, there, and back.

    Attributes:
        attempt: whose journey it is; None once its caller does not wait any longer.
        network: the transport that counts it.
        row, kind, extra: of the attempt, which may be gone.
        step: where it is.
        arrives: when the message under way reaches its end, s.
        arrived: when the request reached the replica, s.
        transmissions: of the message under way, so far.
        travel: the latency of the message under way, s.
        status, flag, cause: of the answer.
    """

    attempt: Attempt | None
    network: Transit
    replica: Replica
    link: Link
    request: Request
    row: int
    kind: int
    extra: bool
    arrives: float
    arrived: float
    transmissions: int
    travel: float
    status: int
    flag: int
    cause: int

    def __init__(self, attempt: Attempt, network: Transit, replica: Replica, link: Link) -> None:
        self.ahead = None
        self.behind = None
        self.held = False
        self.elder = None
        self.younger = None
        self.attempt = attempt
        self.network = network
        self.replica = replica
        self.link = link
        self.request = attempt.call.request
        self.priority = self.request.priority
        self.key = attempt.key
        self.row = attempt.row
        self.kind = attempt.kind
        self.span = 0
        self.extra = attempt.extra
        self.step = OUTWARD
        self.arrives = 0.0
        self.arrived = 0.0
        self.transmissions = 0
        self.travel = 0.0
        self.status = 0
        self.flag = NO_FLAG
        self.cause = RESPONSE

    def depart(self, now: float) -> None:
        """Leaves the caller's proxy."""
        self.travel = self.link.travel(self.key, LINK_OUT)
        self.transmit(OUTWARD, LOSS_OUT, now)

    def transmit(self, step: int, purpose: int, now: float) -> None:
        """Sends the message, again if need be, until the connection is given up."""
        clock = self.replica.clock
        if not self.link.loses(self.key, purpose, self.transmissions):
            self.step = step
            self.arrives = now + self.travel
            clock.at(self.arrives, self, step)
            return
        self.transmissions += 1
        if self.transmissions < TRANSMISSIONS:
            self.step = step + 1  # RESENDING or RESENDING_HOME
            clock.at(now + self.link.retransmission(self.transmissions), self, self.step)
        else:
            self.status, self.flag, self.cause = 503, UC, RESET
            self.come_home(now)

    def go_home(self, status: int, flag: int, cause: int, now: float) -> None:
        """The answer takes the link back."""
        self.status = status
        self.flag = flag
        self.cause = cause
        self.transmissions = 0
        self.trace(status, flag, now)
        self.travel = self.link.travel(self.key, LINK_BACK)
        self.transmit(HOMEWARD, LOSS_BACK, now)

    def trace(self, status: int, flag: int, now: float) -> None:
        """Keeps the server's span of a sampled request."""
        attempt = self.attempt
        if self.request.sampled:
            number = -1 if attempt is None else attempt.number
            self.replica.tracer.add(
                SERVER_SPAN, self.request.key, server_span(self.key), self.key, -1, self.replica.number,
                number, self.kind, self.extra, self.arrived, now, status, flag,
            )  # fmt: skip

    def come_home(self, now: float) -> None:
        """The answer is at the caller's proxy, which may have given up on it."""
        attempt = self.attempt
        self.end()
        if attempt is not None:
            attempt.exchange = None
            attempt.respond(self.status, self.flag, self.cause, now)
        self.network.ended(now)

    def end(self) -> None:
        """Nothing more happens to it."""
        self.step = GONE
        self.attempt = None

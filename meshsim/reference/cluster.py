"""A caller's view of a set of hosts: whom to pick, and the connections to them.

HTTP/1.1 carries one request a connection at a time. An attempt takes an idle connection, or waits in *its
host's* queue for one; a new one opens as long as the breaker allows. Envoy's breaker is four gauges and four
thresholds: what would pass one is refused on the spot with `UO`. There is no open or half-open state in it.

    connect -> idle connection? ----------------------yes---> attach -> active < max_requests? -yes-> send
                     | no                                                      | no
               pending < max_pending? -no-> UO                                 UO
                     | yes
               wait at the host (and open connections, as far as that is allowed)

A host that is ejected, or goes down, loses its connections: idle ones at once, busy ones when they are free.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import floor

from meshsim.random import CONNECTIONS, Key, derive
from meshsim.reference.accrual import Accrual
from meshsim.reference.attempt import Attempt, Carrier, Host, Server
from meshsim.reference.balance import PeakEwma, balancer
from meshsim.reference.connection import Connection
from meshsim.reference.handshake import End
from meshsim.reference.link import Link
from meshsim.reference.outlier import Outliers
from meshsim.reference.run import Run
from meshsim.scenario.model import Policy

MIN_CONCURRENCY = 3


class Cluster:
    """A set of hosts that one caller balances over, with the gauges of its breaker over all of them."""

    def __init__(
        self,
        run: Run,
        caller: Key,
        edge: int,
        link: Link,
        policy: Policy,
        replicas: Sequence[Server],
        end: End,
        *,
        version: bool,
        secure: bool,
    ) -> None:
        self.run = run
        self.end = end
        self.secure = secure  # whether connections that begin to open now use mTLS
        self.did = run.did
        self.caller = caller
        self.edge = edge
        self.link = link
        self.policy = policy
        self.version = version
        self.hosts: dict[int, Host] = {}  # all that ever were, by the number of their replica
        self.there = [self._host(replica) for replica in replicas]
        self.balancer = balancer(run, policy.balance, caller, len(replicas))
        self.detection = self._detection()
        self.active = self.pending = 0
        self.slots = 0  # retries and hedges that are waited for or under way
        self.broken = 0  # connections that broke at this instant: Envoy still counts their attempts as active

    def _host(self, replica: Server) -> Host:
        """A replica as a host; fresh if it never was one."""
        number = replica.index
        if number not in self.hosts:
            own = derive(derive(self.caller, CONNECTIONS), self.edge)
            self.hosts[number] = Host(number, replica, derive(own, 2 * number + self.version))
        return self.hosts[number]

    def meet(self, replicas: Sequence[Server]) -> None:
        """These hosts are there, which may be others than before."""
        before = self.there
        if [host.replica for host in before] == replicas:
            return
        fresh = [replica.index for replica in replicas if replica.index not in self.hosts]
        self.there = [self._host(replica) for replica in replicas]
        if isinstance(self.balancer, PeakEwma):
            for number in fresh:
                self.balancer.meet(self.hosts[number])
        self.did["host met"] += len(fresh)
        self.detection.meet([host.number for host in self.there])
        for host in before:
            if host not in self.there:
                self.did["host left"] += 1
                self._drain(host)

    def push(self, policy: Policy) -> None:
        """Take a new policy: thresholds act from now on, gauges and ejections stay."""
        if policy.balance != self.policy.balance:
            self.balancer = balancer(self.run, policy.balance, self.caller, len(self.hosts))
        before, self.policy = self.policy, policy
        if policy.detection != before.detection:
            if isinstance(self.detection, Outliers) and policy.failure_accrual is None:
                self.detection.configure(policy.outlier_detection)
            else:
                self.detection = self._detection()

    def use_mtls(self, *, secure: bool) -> None:
        """Use mTLS from now on, or no more; what is open carries its last."""
        self.secure = secure
        for host in self.hosts.values():
            self._drain(host)

    def _detection(self) -> Outliers | Accrual:
        """What detects failing hosts, and has seen none yet."""
        policy, hosts = self.policy, [host.number for host in self.there]
        if policy.failure_accrual is not None:
            return Accrual(self.run, policy.failure_accrual, hosts)
        return Outliers(self.run, policy.outlier_detection, hosts)

    def pick(self, key: Key) -> Host | None:
        """The balancer's choice for an attempt; None when no host is available."""
        available = [self.hosts[number] for number in self.detection.available]
        if not available:
            return None
        self.did["panic pick"] += self.detection.panic
        self.did["stale pick"] += self.detection.update is not None
        return self.balancer(key, available)

    def charge(self, attempt: Attempt, status: int) -> None:
        """Tell outlier detection, or failure accrual, how an attempt ended."""
        host = attempt.host
        if isinstance(self.detection, Accrual):
            if self.detection.record(host.number, status, attempt.key):
                self.did["shut"] += 1
                self._note_ejection(host)
        elif self.detection.record(host.number, status):
            self._leave_out(host)

    def dismiss(self, attempt: Attempt) -> None:
        """Nobody will tell how an attempt ended."""
        if isinstance(self.detection, Accrual):
            self.detection.lose(attempt.host.number, attempt.key)

    def tick(self) -> None:
        """On outlier detection's grid: hosts come back, are judged by their success rates, then forgiven."""
        outliers = self.detection
        assert isinstance(outliers, Outliers), "failure accrual has no grid"
        self.did["let back"] += outliers.let_back()
        for number in outliers.unsuccessful():
            if outliers.eject(outliers.health[number]):
                self.did["success-rate ejection"] += 1
                self._leave_out(self.hosts[number])
        outliers.forgive()

    def _leave_out(self, host: Host) -> None:
        self.did["ejection"] += 1
        self._note_ejection(host)
        self._drain(host)

    def _note_ejection(self, host: Host) -> None:
        self.run.ejections.append((self.run.clock.now, self.edge, host.replica.index))

    def lose(self, replica: Server) -> None:
        """A replica went down: its connections are no more."""
        for host in self.hosts.values():
            if host.replica is replica:
                self._drain(host)

    def connect(self, attempt: Attempt, host: Host) -> None:
        """Get the attempt a connection to its host: at once, later, or never (`UO`, `UF`)."""
        if isinstance(self.detection, Accrual):
            self.detection.bind(host.number, attempt.key)
        if host.idle:
            self._attach(attempt, host)
        elif self.pending >= self.policy.circuit_breaker.max_pending:
            attempt.tries.refused(attempt, "UO")
        else:
            host.pending.append(attempt)
            self.pending += 1
            self._open(host)
            self.did["pending"] += not attempt.sent

    def leave(self, attempt: Attempt, host: Host) -> None:
        """The attempt waits for a connection no more."""
        self._time(attempt)
        host.pending.remove(attempt)
        self.pending -= 1

    def release(self, attempt: Attempt, host: Host, *, broken: bool) -> None:
        """An attempt is over; its connection serves the next of this host, or is closed."""
        self._time(attempt)
        if attempt not in host.busy:
            return
        self.active -= 1
        connection = host.busy.pop(attempt)
        if broken:
            if self.broken == 0:
                self.run.clock.after(0.0, self._forget)
            self.broken += 1
        if broken or connection.ends:
            connection.part(broken=broken)
        else:
            self._make_idle(connection)
        self._open(host)

    def _time(self, attempt: Attempt) -> None:
        """How long the attempt took, for a balancer that wants to know."""
        if isinstance(self.balancer, PeakEwma):
            self.balancer.ended(attempt.host, attempt.bound)

    def _forget(self) -> None:
        """The instant is over."""
        self.broken = 0

    def _drain(self, host: Host) -> None:
        """Close what nobody uses or waits for; what is busy carries its last."""
        host.drains += 1
        busy = [connection for connection in host.busy.values() if "drained" not in connection.ends]
        self.did["idle connection closed"] += len(host.idle)
        self.did["busy connection closed"] += len(busy)
        for connection in busy:
            connection.ends.add("drained")
        for connection in host.idle:
            connection.close()
        host.idle.clear()
        self._give_up(host)

    def _give_up(self, host: Host) -> None:
        """Connections that nobody waits for open in vain."""
        if not host.pending:
            self.did["opening given up"] += len(host.opening)
            for connection in host.opening:
                connection.close()
            host.opening.clear()

    def _open(self, host: Host) -> None:
        """Open connections for those who wait, as far as the breaker allows it; a host's first is free."""
        limit = self.policy.circuit_breaker.max_connections
        while len(host.pending) > len(host.opening) and (self.connections < limit or host.connections == 0):
            connection = Connection(self, host, derive(host.key, host.opened), self.policy.connection)
            host.opened += 1
            host.opening.append(connection)
            connection.open()

    def opened(self, connection: Carrier) -> None:
        """A connection can be used."""
        connection.host.opening.remove(connection)
        self._make_idle(connection)

    def failed(self, connection: Carrier) -> None:
        """A connection could not be opened, and who waits for its host has failed with it, oldest first."""
        host = connection.host
        host.opening.remove(connection)
        drains = host.drains
        self.did["several failed to connect"] += len(host.pending) > 1
        for attempt in list(host.pending):
            if attempt in host.pending:  # else it left, because of another's end
                host.pending.remove(attempt)
                attempt.tries.unreachable(attempt)
                self.pending -= 1  # a budget has counted it till now
        if host.drains > drains:
            self._give_up(host)

    def closed(self, connection: Carrier) -> None:
        """An idle connection is no more."""
        connection.host.idle.remove(connection)
        self._open(connection.host)

    def _make_idle(self, connection: Carrier) -> None:
        """A connection can carry the next."""
        host = connection.host
        host.idle.append(connection)
        while host.idle and host.pending:
            attempt = host.pending.popleft()
            self.pending -= 1
            self._attach(attempt, host)
        if connection in host.idle:
            connection.rest()

    def _attach(self, attempt: Attempt, host: Host) -> None:
        if self.active >= self.policy.circuit_breaker.max_requests:
            attempt.tries.refused(attempt, "UO")
            return
        self.active += 1
        connection = host.busy[attempt] = host.idle.pop()
        connection.carry(attempt)
        attempt.send(connection)

    @property
    def connections(self) -> int:
        """To all hosts."""
        return sum(host.connections for host in self.hosts.values())

    def allows_retry(self) -> bool:
        """Whether Envoy's budget, or `max_retries` where there is none, has room for one more try."""
        retries = self.policy.retries
        budget = retries.budget if retries is not None else None
        if budget is None or budget.kind != "envoy":
            limit, name = self.policy.circuit_breaker.max_retries, "max_retries"
        else:
            in_flight = self.active + self.broken + self.pending
            least = MIN_CONCURRENCY if budget.min_concurrency is None else budget.min_concurrency
            limit, name = max(floor(budget.ratio * in_flight), least), "envoy budget"
        self.did[f"refused: {name}"] += self.slots >= limit
        return self.slots < limit

"""All proxies of a live mesh as real Envoys: started, connected, pushed to, read and ended together.

The launcher drives it as it drives meshsim's own proxies, but for one thing: an Envoy knows nothing of
scenario time, so what happens to it at a time (updates, replicas that are down) happens in `tick`.
"""

from __future__ import annotations

import contextlib
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from meshsim.errors import MeshsimError
from meshsim.live import Address, Message
from meshsim.live.envoy.accesslog import CallRow, Log
from meshsim.live.envoy.agents import Agents
from meshsim.live.envoy.configured import ConfiguredEnvoy
from meshsim.live.envoy.connections import ConnectionCounts, Reading, without_rejected
from meshsim.live.envoy.member import EnvoyMember, Says
from meshsim.live.envoy.process import Envoy, binary
from meshsim.live.envoy.proxy import INBOUND
from meshsim.live.envoy.refusals import refuse
from meshsim.live.envoy.resources import CLUSTER_OF
from meshsim.live.envoy.rows import rows
from meshsim.live.envoy.tracing import COUNTS, FLUSH, LOST, TIMEOUT, cluster, pending
from meshsim.live.envoy.watches import check
from meshsim.live.launcher import TickClock
from meshsim.live.merge import hedged
from meshsim.live.options import Options, TraceReceiver
from meshsim.live.processes import Member
from meshsim.live.proxies import Heard, Listeners, Ports, Proxies
from meshsim.live.proxy.route import Passed
from meshsim.live.referral import Referral
from meshsim.live.servers import schedule_outages
from meshsim.live.stats import edge_report
from meshsim.live.troubles import troubles
from meshsim.scenario.model import Scenario
from meshsim.scenario.names import file_name
from meshsim.scenario.topology import Proxy, Topology

AGENTS = "the agents of the Envoys"
STUCK = "it did not end when asked to and was killed; what it had not recorded is missing"

GAUGES = {
    "active": "upstream_rq_active",
    "pending": "upstream_rq_pending_active",
    "ejected": "outlier_detection.ejections_active",
    "ejections": "outlier_detection.ejections_enforced_total",
}
"""What only Envoy itself counts, by the name that `EdgeCounts` has for it."""


HOLDS = f"^http\\.{INBOUND}\\.downstream_rq_active$"
"""A pattern for the statistic of requests that an Envoy has under way for its replica."""


class ReplicaPod:
    """The pod of a replica: with mTLS, its Envoy is back when its agent has a certificate again.

    `coming`: it waits for that. `over`: the replica has gone for good.
    """

    def __init__(self, id_: str, envoy: Envoy, agents: Agents | None) -> None:
        self.id = id_
        self.envoy = envoy
        self.agents = agents
        self.coming = self.over = False

    def go(self) -> None:
        """It is gone."""
        if self.over:
            return
        self.coming = False
        self.envoy.take_down()
        if self.agents is not None:
            self.agents.take_down(self.id)

    def come(self) -> None:
        """It would be up."""
        if self.over:
            return
        if self.agents is None:
            self.envoy.bring_up()
        else:
            self.coming = True
            self.agents.bring_up(self.id)

    def certified(self) -> None:
        """Its agent has a certificate, unless it is gone again."""
        if self.coming:
            self.coming = False
            self.envoy.bring_up()


def refuse_unable(scenario: Scenario, receiver: TraceReceiver | None) -> None:
    """MeshsimError: Envoys can't run the scenario, can't send spans to the receiver, or are not installed."""
    refuse(scenario)
    binary()
    if receiver is not None:
        cluster(receiver)


class Envoys(Proxies):
    """One Envoy for each replica and the client; a MeshsimError with every key that they can't do.

    Each has its own folder in `folder`; access logs are copied from there in the end, if `options` say so;
    `context` is the header that says whose a call is. `topology` is the mesh's, as it is by now; `says` takes
    what a member says that a new replica's Envoy has.
    """

    def __init__(
        self, scenario: Scenario, seed: int, options: Options, folder: Path, context: str = "x-meshsim",
        topology: Callable[[], Topology] | None = None, says: Says = lambda member, id_, message: None,
    ) -> None:  # fmt: skip
        super().__init__()
        refuse_unable(scenario, options.receiver)
        self.options = options
        self.scenario = scenario
        start = Topology(scenario)
        self._topology = topology or (lambda: start)
        self._says = says
        self._seed, self._folder, self._context = seed, folder, context
        self._present = [proxy for proxy in start.proxies if not any(each.added for each in proxy.replicas)]
        self._envoys = {proxy.name: self._envoy(proxy) for proxy in self._present}
        check(each.proxy.watched for each in self._envoys.values())
        self._clock = TickClock()
        self._earlier = Counter(troubles)  # of other runs in this process
        self._identified = [proxy for proxy in self._present if proxy.identified]
        self._agents = Agents(scenario, seed, folder)
        self._following: Callable[[str], Referral] | None = None
        self._pods: dict[str, ReplicaPod] = {}
        self._configured: dict[str, ConfiguredEnvoy] = {}
        self._joining: dict[str, EnvoyMember] = {}
        self._now = 0.0
        self._schedule()
        self._connections = {id_: ConnectionCounts(envoy, start) for id_, envoy in self._envoys.items()}
        Reading(self._clock, self._connections.values(), scenario)
        self._gone: set[str] = set()
        self._logs: dict[str, Log[CallRow]] = {}
        self._hedged = hedged(scenario)
        self._passed = {
            id_: {service: Passed() for service in envoy.proxy.upstreams}
            for id_, envoy in self._envoys.items()
        }

    def _envoy(self, proxy: Proxy) -> Envoy:
        folder, host, extra = self._folder / file_name(proxy.name), self.options.host, self._topology().extra
        return Envoy(self.scenario, proxy.name, folder, host, self._context, extra, self.options.receiver)

    def _schedule(self) -> None:
        """Puts what will happen to each replica on the clock."""
        for proxy in self._present:
            envoy = self._envoys[proxy.name]
            self._configured[proxy.name] = ConfiguredEnvoy(envoy, self._seed, proxy, self._agents.answer)
            self._schedule_outages(proxy)

    def _schedule_outages(self, proxy: Proxy) -> None:
        pod = ReplicaPod(proxy.name, self._envoys[proxy.name], self._agents if proxy.identified else None)
        self._pods[proxy.name] = pod
        for replica in proxy.replicas if proxy.in_path else ():
            schedule_outages(self._clock, self.scenario, replica, self._now, pod.go, pod.come)

    def begin(self) -> Sequence[Member]:
        self._agents.begin()
        if not self._identified:
            self._start_all()
        return []

    def _start_all(self) -> None:
        for envoy in self._envoys.values():
            envoy.start()

    def enrol(self, enrolments: Mapping[str, Referral]) -> None:
        self.enrolments = enrolments
        if self._identified:  # no listener opens without a certificate
            self._agents.enrol(self._identified, enrolments)
            self._start_all()

    def open(self, heard: Heard) -> dict[str, Listeners]:
        return {id_: envoy.listen().on(envoy.proxy.host) for id_, envoy in self._envoys.items()}

    def connect(self, apps: Mapping[str, Address], replicas: Mapping[str, Address]) -> None:
        for id_, envoy in self._envoys.items():
            envoy.connect(replicas, apps.get(id_))
        self._settle()
        self._logs = {id_: envoy.call_log() for id_, envoy in self._envoys.items()}

    def _settle(self) -> None:
        for id_ in self._configured:
            self._envoys[id_].settle()

    def follow(self, following: Callable[[str], Referral]) -> None:
        self._following = following

    def start(self, base: float) -> None:
        self._agents.start(base)
        if self._following is not None:
            for proxy in self._present:
                self._agents.follow(proxy, self._following(proxy.name), 0)

    # ---- replicas that come and go -------------------------------------------------------------------

    def add(self, id_: str) -> Member:
        proxy = self._topology().proxy(id_)
        envoy = self._envoys[id_] = self._envoy(proxy)
        self._connections[id_] = ConnectionCounts(envoy, self._topology(), self._now)
        self._passed[id_] = {service: Passed() for service in envoy.proxy.upstreams}
        member = EnvoyMember(id_, envoy.folder, self._says, self._told, certified=not proxy.identified)
        self._joining[id_] = member
        with self._joins(id_):
            envoy.folder.mkdir(parents=True, exist_ok=True)
            if proxy.identified:
                self._agents.join(proxy, self.enrolments[id_])
        return member

    def _join(self, id_: str, member: EnvoyMember) -> None:
        """Goes on with an Envoy that was added."""
        envoy, configured = self._envoys[id_], self._configured.get(id_)
        if not envoy.started:
            if member.certified:
                check([envoy.proxy.watched])
                envoy.start()
        elif configured is not None:
            if configured.joined:
                del self._joining[id_]
                self._schedule_outages(self._topology().proxy(id_))
                member.says({"ready": True})
        elif id_ not in self._logs and envoy.settled():
            self._logs[id_] = envoy.call_log()
            member.says({"listening": asdict(envoy.listen())})

    def _told(self, id_: str, message: Message) -> None:
        """The Envoy of a new replica is told where its application and the control plane are, or to end."""
        following = Referral.of(message.get("following"))
        if following is not None:
            envoy, proxy = self._envoys[id_], self._topology().proxy(id_)
            host, port = message["app"]
            envoy.connect({}, (host, port))
            self._configured[id_] = ConfiguredEnvoy(envoy, self._seed, proxy, self._agents.answer)
            self._agents.follow(proxy, following, -1)
        elif "stop" in message:
            self.remove(id_)

    def opened(self, id_: str, said: Message) -> Listeners:
        return Ports(**said).on(self.options.host)

    def remove(self, id_: str) -> None:
        self._joining.pop(id_, None)
        if id_ in self._gone:
            return
        self._gone.add(id_)
        self._connections[id_].read(self._now)
        self._envoys[id_].terminate()
        self._configured.pop(id_, None)
        if (pod := self._pods.pop(id_, None)) is not None:
            pod.over = True
        self._agents.leave(id_)

    def quiet(self, id_: str) -> bool:
        try:
            return not any(self._envoys[id_].stats(HOLDS).values())
        except OSError:
            return False

    # ---- while it runs -------------------------------------------------------------------------------

    def tick(self, now: float) -> None:
        self._now = now
        while self._agents.restarted:
            id_ = self._agents.restarted.popleft()
            if id_ in self._joining:
                self._joining[id_].certified = True
            elif id_ in self._pods:
                self._pods[id_].certified()
        while self._agents.inbox:
            follower, stream, update = self._agents.inbox.popleft()
            if follower.proxy in self._configured:
                self._configured[follower.proxy].receive(follower, stream, update)
        for id_, configured in list(self._configured.items()):
            with self._joins(id_):
                configured.tick()
        for id_, member in list(self._joining.items()):
            with self._joins(id_):
                self._join(id_, member)
        self._clock.advance(now)

    @contextlib.contextmanager
    def _joins(self, id_: str) -> Iterator[None]:
        """Of an Envoy that was added and can't start, whoever wanted it is told."""
        try:
            yield
        except (MeshsimError, OSError) as error:
            if id_ not in self._joining:
                raise
            self._joining[id_].fail(str(error))

    def snapshot(self) -> dict[str, Message]:
        there = (pair for pair in self._envoys.items() if pair[0] in self._configured)
        return {id_: self._stats(id_, envoy) for id_, envoy in there}

    def _stats(self, id_: str, envoy: Envoy) -> Message:
        """What has passed on each edge since the start, and what is under way."""
        passed = self._passed[id_]
        for call in self._logs[id_].more() if id_ in self._logs else []:
            if call.listener != INBOUND and call.service in passed:
                hedges = (call.caller, call.service, call.endpoint) in self._hedged
                passed[call.service].answered(call.status, call.end - call.start, call.attempts, hedges)
        edges = {f"{envoy.proxy.caller} -> {service}": each.counts() for service, each in passed.items()}
        with contextlib.suppress(OSError):  # it has ended, or is stuck: whoever settles or stops it says so
            for service, counts in zip(passed, edges.values(), strict=True):
                for name, value in envoy.stats(CLUSTER_OF.format(service)).items():
                    for own, its in GAUGES.items():
                        if name.endswith(f".{its}"):
                            setattr(counts, own, getattr(counts, own) + value)
        follower = self._agents.followers.get(id_)
        report = edge_report(edges)
        return report if follower is None else {**report, "configuration": follower.report()}

    # ---- the end -------------------------------------------------------------------------------------

    def finish(self) -> None:
        self._agents.close()

    def collect(self, base: float) -> dict[str, dict[str, NDArray[Any]]]:
        wall_start = time.time() - time.monotonic() + base
        self._settle()
        if self.options.receiver is not None:
            self._export()
        for counts in self._connections.values():
            counts.read(time.monotonic() - base)
        without_rejected(self._connections.values())
        self.close()
        if not self.options.keep:
            return {}
        return {id_: self._recorded(id_, envoy, wall_start) for id_, envoy in self._envoys.items()}

    def _export(self) -> None:
        """Waits until spans have been sent, and says where some were lost."""
        time.sleep(2 * FLUSH)
        deadline = time.monotonic() + TIMEOUT
        for id_ in self._configured:
            while (under_way := pending(self._envoys[id_].stats(COUNTS)))[0] and time.monotonic() < deadline:
                time.sleep(FLUSH)
            if any(under_way):
                self.troubles[f"the Envoy of {id_}"] = {LOST: 1}

    def _recorded(self, id_: str, envoy: Envoy, wall_start: float) -> dict[str, NDArray[Any]]:
        found = rows(
            self.scenario, envoy.proxy.caller, envoy.calls(wall_start), envoy.tries(wall_start),
            envoy.ejections(wall_start), self._connections[id_].rows, self._topology(),
        )  # fmt: skip
        identity = self._agents.identities.get(id_)
        return found if identity is None else found | identity.rows()

    def close(self) -> None:
        """Ends them, if they have not ended."""
        self._agents.close()
        if found := troubles - self._earlier:
            self.troubles[AGENTS] = dict(found)
        for id_, envoy in self._envoys.items():
            if not envoy.stop():
                self.troubles[f"the Envoy of {id_}"] = {STUCK: 1}
            log = envoy.folder / "access.log"
            if self.options.access_log is not None and log.exists():
                shutil.copyfile(log, self.options.access_log / f"{file_name(id_)}.jsonl")

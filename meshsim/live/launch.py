"""Starts a live mesh in phases, watches it, and ends it.

    bind        every process listens on ports of the system's choice and says which
    open        proxies listen; programs of the user's own are started, now that there are URLs to give them
    connect     everybody learns where everybody is, and says that it is ready
    start       everybody learns when scenario time 0 is
    stop        everybody hands over what it has recorded, and exits

Each phase has a limit. Whoever dies before the end ends the mesh, with its last output in the message.
"""

from __future__ import annotations

import os
import queue
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack, closing
from functools import partial
from typing import Any

from meshsim.errors import MeshsimError
from meshsim.live import Address, Message, commands
from meshsim.live.child import ROLES, STATS_INTERVAL
from meshsim.live.control.process import SILENCE, ControlProcess
from meshsim.live.intercept.plan import PodPlan
from meshsim.live.launcher import CONTROL_PLANE, HUNG, NAMES, THE_MESH, late
from meshsim.live.options import Options, Progress
from meshsim.live.pods import Cluster
from meshsim.live.ports import free_ports
from meshsim.live.processes import Keeper, Member, Process, Rows
from meshsim.live.proxies import Listeners, MeshsimProxies, Proxies
from meshsim.live.referral import Referral
from meshsim.scenario import config
from meshsim.scenario.model import Scenario
from meshsim.scenario.names import file_name
from meshsim.scenario.topology import CLIENT_PROXY, Replica, Topology

PHASE_LIMIT, MEMBER_LIMIT = 30.0, 0.1
"""How long binding, opening or connecting may take, s, and how much longer for each process of ours."""
PROGRESS_EVERY = 100
"""So many processes further, progress is reported again."""
LEAD = 0.25
"""From announcing the start to scenario time 0, s: everybody has heard of it by then."""
TICK = 0.01
PROBE_INTERVAL = 0.05


class LiveMesh:
    """The processes of one run; a context manager, with whose end they end.

    Attributes:
        listeners: of every proxy, by id; ``client/0`` is the client's.
        apps: where every replica's application listens, by id.
        base: scenario time 0 on the monotonic clock, s; `began` is the same, s since 1970.
        stats: what each process has last reported, by (role, id).
        cpu: what each process has used of a core while the mesh ran, s, once it is stopped.
        troubles: what went wrong in processes, and how often, by their names; once they are stopped.
        control: the control plane; `cluster`: replicas that come and go; `pods`: which processes are in pods.
    """

    control: ControlProcess
    cluster: Cluster

    def __init__(
        self, scenario: Scenario, seed: int, options: Options, on_progress: Progress | None = None
    ) -> None:
        self.scenario = scenario
        self.seed = seed
        self.options = options
        self.topology = Topology(scenario)
        self.listeners: dict[str, Listeners] = {}
        self.apps: dict[str, Address] = {}
        self.base = 0.0
        self.began = 0.0
        self.stats: dict[tuple[str, str], Message] = {}
        self.done = False
        self.cpu: dict[tuple[str, str], float] = {}
        self.troubles: dict[str, dict[str, int]] = {}
        self._roles = {**ROLES, **options.roles}
        self._rows: dict[tuple[str, str], Rows] = {}  # of those that have gone before the end
        self._heard_at: dict[tuple[str, str], float] = {}  # when its `stats` came
        self._progress = on_progress or (lambda words: None)
        self._text, self._files = config.text_and_files(scenario)
        self._context = f"x-meshsim-{secrets.token_hex(16)}"
        self._members: dict[Member, tuple[str, str]] = {}
        self._lost: set[Process] = set()
        self._proxies: Proxies | None = None
        self._parts = ExitStack()  # with whose end they end
        self.pods = PodPlan(scenario, options.intercept)

    def __enter__(self) -> LiveMesh:
        self._progress("starting")
        self.keeper = self._parts.enter_context(closing(Keeper()))
        return self

    def __exit__(self, *_: object) -> None:
        self._parts.close()

    @property
    def proxies(self) -> Proxies:
        """Its proxies, once it is launched."""
        assert self._proxies is not None, "launch it first"
        return self._proxies

    @property
    def enrolments(self) -> Mapping[str, Referral]:
        """How to ask the authority for a certificate, by proxy; `OUTSIDER` is one more client."""
        return self.control.enrolments

    # ---- starting -----------------------------------------------------------------------------------

    def launch(self) -> None:
        """Starts everything, till all is ready; MeshsimError if a process ended or was not ready in time."""
        places = [place for place in self.topology.replicas if not place.added]
        own = [place for place in places if place.deployment.live is None]
        self._progress(f"starting {len(places)} replicas with their proxies")
        self.pods.prepare(self.keeper)
        for name, content in self._files.items():
            (self.keeper.folder / name).write_text(content, encoding="utf-8")
        self.keeper.warm(self._roles, self._text, str(self.keeper.folder))
        self._proxies = self._parts.enter_context(closing(self._chosen_proxies()))
        fork, ours = partial(self.fork, CONTROL_PLANE, THE_MESH), self.options.proxy == "meshsim"
        control = ControlProcess(self.topology, self.keeper.folder, fork, inclusive=ours)
        self.control = self._parts.enter_context(closing(control))
        self.cluster = Cluster(self)
        members = [self.control.start()]
        members += [*self._proxies.begin(), *(self.fork("service", place.name) for place in own)]
        if self.options.load:
            members.append(self.fork("load", CLIENT_PROXY))
        heard = self._await("listening", members)
        self.control.listens(heard[members[0]])
        self.proxies.enrol(self.enrolments)
        self.listeners = self.proxies.open(heard)
        self.apps = self._find_apps(heard)
        self.cluster.run_programs(PHASE_LIMIT, self._wait)
        self._progress("connecting them")
        self._connect()

    def _chosen_proxies(self) -> Proxies:
        if self.options.proxy == "meshsim":
            return MeshsimProxies(self.topology, self.options.host, self.fork)
        if self.options.proxy == "envoy":
            from meshsim.live.envoy.mesh import Envoys  # noqa: PLC0415 - an extra

            rest = self.keeper.folder / "envoy", self._context, lambda: self.topology, self._hear_envoy
            return Envoys(self.scenario, self.seed, self.options, *rest)
        raise MeshsimError(f"no proxy {self.options.proxy!r}; choose meshsim or envoy")

    def _hear_envoy(self, member: Member, id_: str, message: Message) -> None:
        self._members.setdefault(member, ("proxy", id_))
        self.keeper.events.put((member, message))

    def fork(self, role: str, id_: str, more: Mapping[str, Any] | None = None) -> Member:
        """One of our own processes, with what it is."""
        place = self.pods.place(role, id_)
        member = self.keeper.fork(f"the {NAMES[role]} of {id_}", self._roles, place)
        self._members[member] = role, id_
        log = self.options.access_log if role == "proxy" else None
        spec = {"role": role, "id": id_, "scenario": self._text, "seed": self.seed, "host": self.options.host}
        spec |= {"folder": str(self.keeper.folder), "keep": self.options.keep, "context": self._context}
        rooted = role != "load" or self.options.proxy == "envoy"  # a proxy of ours has the client's calls
        spec["spans"] = self.options.spans is not None and rooted
        spec["access_log"] = None if log is None else str(log.absolute() / f"{file_name(id_)}.jsonl")
        spec |= {"extra": list(self.topology.extra), "services": self.pods.services(role, id_)}
        member.send(spec | dict(more or {}))
        return member

    def members_of(self, id_: str) -> list[Member]:
        """The processes of a replica that are ours."""
        return [member for member, (role, each) in self._members.items() if each == id_ and role != "load"]

    def quiet(self, id_: str, since: float) -> bool:
        """Whether the processes of a replica hold nothing, as they say well after `since`, monotonic, s."""
        keys = [self._members[member] for member in self.members_of(id_) if member.reports]
        late = since + STATS_INTERVAL  # what was on its way then has arrived
        free = all(self._heard_at.get(key, 0.0) > late and not self.stats[key].get("held") for key in keys)
        return free and time.monotonic() > late and self.proxies.quiet(id_)

    def _find_apps(self, heard: Mapping[Process, Message]) -> dict[str, Address]:
        """Where each replica's application listens, or shall."""
        places = [place for place in self.topology.replicas if not place.added]
        programs = [place.name for place in places if place.deployment.live is not None]
        ports = dict(zip(programs, free_ports(self.options.host, len(programs)), strict=True))
        ports |= {
            id_: heard[each]["port"] for each, (role, id_) in self._members.items() if role == "service"
        }
        names = [place.name for place in places]
        return {name: self.pods.app(name, (self.options.host, ports[name])) for name in names}

    def run_program(self, place: Replica) -> Process:
        """Starts a program of the user's own."""
        live = place.deployment.live
        assert live is not None, "it is one"
        services = list(self.scenario.services)
        known = self.pods.listeners(place.name, self.listeners[place.name])
        env = commands.environment(place, self.apps[place.name], known, services)
        name, pod = f"the program of {place.name}", self.pods.place("program", place.name)
        return self.keeper.run(name, live.command, env, self.scenario.folder, pod)

    def _wait(self, words: str) -> None:
        """Waits for something a little."""
        self._progress(words)
        self.handle(PROBE_INTERVAL)

    def reached_at(self) -> dict[str, Address]:
        """Where callers reach each replica that there is, or was."""
        return {name: self.listeners[name].inbound or app for name, app in self.apps.items()}

    def addresses(self, role: str, id_: str) -> Message:
        """What a process has to know of where the others are."""
        urls = self.listeners[id_].urls if id_ in self.listeners else {}
        urls = self.pods.urls(role, id_, urls)
        message = {"addresses": self.reached_at(), "app": self.apps.get(id_), "urls": urls}
        if role == CONTROL_PLANE:
            message["control"] = self.control.everything(self.cluster.described())
        elif role == "proxy":
            enrolment = self.enrolments.get(id_)
            message["enrolment"] = None if enrolment is None else enrolment.message()
            message["following"] = self.control.following(id_).message()
        return message

    def _connect(self) -> None:
        """Tells everybody where everybody is, and waits until all are ready."""
        for member, (role, id_) in self._members.items():
            if role == CONTROL_PLANE:
                self.control.tell_everything(self.addresses(role, id_))
            else:
                member.send(self.addresses(role, id_))
        self.proxies.follow(self.control.following)
        self.proxies.connect(self.apps, self.reached_at())
        self._await("ready", list(self._members))

    def start(self) -> None:
        """Scenario time begins; returns when it has."""
        self.base = time.monotonic() + LEAD
        if self.enrolments:  # the times of certificates are whole seconds
            self.base += -(time.time() + LEAD) % 1.0
        self.began = time.time() + self.base - time.monotonic()
        self.proxies.start(self.base)
        self.cluster.begin()
        for member in self._members:
            if member is not self.control.member:
                member.send({"start": self.base})
        self.control.begin(self.base)
        self.control.announce({"scenario": self.scenario.name, "pid": os.getpid()})
        while self.now < 0.0:
            self.handle(-self.now)

    # ---- running ------------------------------------------------------------------------------------

    @property
    def now(self) -> float:
        """Scenario time, s."""
        return time.monotonic() - self.base

    def run(self, seconds: float) -> None:
        """Watches for so long, s, or until the load is done; MeshsimError if a process has ended."""
        until = time.monotonic() + seconds
        while not self.done and (left := until - time.monotonic()) > 0.0:
            self._turn(min(left, TICK))

    def _turn(self, timeout: float) -> None:
        self.handle(timeout)
        self.proxies.tick(self.now)
        self.cluster.tick()
        if words := self.control.look():
            self._progress(words)

    def reports(self) -> list[Message]:
        """What each proxy counts by now."""
        members = [stats for (role, _), stats in self.stats.items() if role == "proxy"]
        return [*members, *self.proxies.snapshot().values()]

    def settle(self, seconds: float, enough: Callable[[], bool] = lambda: False) -> bool:
        """Waits, for `seconds` or until `enough`, for all work to be over; whether it is. As `run` raises."""
        began = time.monotonic()
        while time.monotonic() - began < seconds and not enough():
            self._turn(TICK)
            there = set(self._members.values())
            heard = [(key, self.stats[key]) for key in there & self.stats.keys() if key[0] != CONTROL_PLANE]
            if all(self._heard_at[key] > began and not stats.get("active", 0) for key, stats in heard):
                return True
        return False

    def handle(self, timeout: float) -> None:
        """Handles the next message that comes within `timeout` s, if any. As `run` raises."""
        try:
            process, message = self.keeper.events.get(timeout=max(timeout, 0.0))
        except queue.Empty:
            return
        self._note(process, message)

    def _note(self, process: Process, message: Message) -> None:
        if "ended" in message:
            self._lose(process)
            return
        assert isinstance(process, Member), "only members are listened to"
        key, control = self._members[process], process is self.control.member
        if "error" in message and not control:
            raise process.error(message["error"])
        if "stats" in message:
            self.stats[key] = message["stats"]
            self._heard_at[key] = time.monotonic()
        if "spans" in message and self.options.spans is not None:
            self.options.spans(key[1], message["spans"], message["lost"])
        if "done" in message:
            self.done = True
        if "cpu" in message:
            self.cpu[key] = self.cpu.get(key, 0.0) + message["cpu"]
        if message.get("troubles"):
            self.troubles[process.name] = message["troubles"]
        if control:
            self._hear_control_plane(message)
        elif self.cluster.heard(process, message) and "rows" in message:
            self._rows[key] = process.rows(message["rows"])

    def _hear_control_plane(self, message: Message) -> None:
        """A control plane that takes over is told all; and what it wants of the cluster is done."""
        self.control.heard()
        if "listening" in message:
            self.control.tell_everything(self.addresses(CONTROL_PLANE, THE_MESH))
        elif "ready" in message:
            self.control.begin(self.base)
        else:
            self.cluster.asked(message)

    def _lose(self, process: Process) -> None:
        """A process has ended: so does the mesh, unless it was to end, or can be replaced."""
        control = process is self.control.member
        if not self.base or not (control or self.cluster.ended(process)):
            raise self.keeper.loss(process)
        if isinstance(process, Member):
            key = self._members.pop(process)
            self._lost.add(process)
            if control:
                self.keeper.loss(process)  # its code is known
                self.control.died()
                self.cluster.forget_orders()
            else:
                self._heard_at.pop(key, None)

    def _await(self, word: str, members: Sequence[Process]) -> dict[Process, Any]:
        """What each of some members says of a phase."""
        heard: dict[Process, Any] = {}
        missing = set(members) - self._lost
        limit = PHASE_LIMIT + MEMBER_LIMIT * len(members)
        deadline = time.monotonic() + limit
        while missing:
            left = deadline - time.monotonic()
            needless = word == "rows" and missing == {self.control.member}  # what it knows is in its journal
            try:
                wait = min(left, SILENCE) if needless else left
                process, message = self.keeper.events.get(timeout=max(0.0, wait))
            except queue.Empty:
                if needless:
                    self.control.troubles[HUNG] += 1
                    return heard
                raise late(word, missing, limit) from None
            if word in message and process in missing:
                heard[process] = message[word]
                missing.remove(process)
                if len(heard) % PROGRESS_EVERY == 0:
                    self._progress(f"heard from {len(heard):,} of {len(members):,} processes")
            elif process in missing or "ended" not in message or word != "rows":
                self._note(process, message)
                missing -= self._lost
        return heard

    # ---- ending -------------------------------------------------------------------------------------

    def stop(self) -> dict[tuple[str, str], Rows]:
        """Ends every process; what each has recorded, by (role, id). MeshsimError if one has ended before."""
        self._progress("collecting")
        self.proxies.finish()
        keepers = self.control, self.cluster
        members = {
            each: key for each, key in self._members.items() if all(one.has_rows(each) for one in keepers)
        }
        for member in members:
            member.send({"stop": True})
        heard = self._await("rows", list(members))
        rows = self._rows | {key: each.rows(heard[each]) for each, key in members.items() if each in heard}
        rows |= {("proxy", id_): each for id_, each in self.proxies.collect(self.base).items()}
        rows |= {(CONTROL_PLANE, THE_MESH): self.control.rows()} if self.options.keep else {}
        if lives := self.cluster.rows():
            rows["cluster", THE_MESH] = lives
        self.troubles |= self.proxies.troubles
        self.control.report(self.troubles)
        self.keeper.insist()  # with its folder Envoys' logs go, which then read as empty
        return rows

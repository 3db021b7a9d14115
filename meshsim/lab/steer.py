"""Changes a mesh that runs: finds it, asks its control plane, and waits until all have what is wanted."""

from __future__ import annotations

import http.client
import json
import re
import time
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from meshsim.errors import MeshsimError, shown
from meshsim.live import Message
from meshsim.live.control.orders import TIMEOUT_MOST
from meshsim.live.folders import notes
from meshsim.measure.result import LEFT_OUT, Result
from meshsim.scenario.document import parse_value
from meshsim.scenario.overrides import plain

MARGIN = 2.0
"""How much longer than an order may take its answer is waited for, s."""
AGAIN = 0.1
"""Until a control plane that was not there is asked again, s."""
TIMEOUT = 10.0
PAGE = re.compile(r"http://(?:127\.0\.0\.1|localhost):([0-9]+)(?:/.*)?", re.ASCII)
"""Of a control plane, as somebody may have it from a browser."""


class UnansweredError(MeshsimError):
    """An order was sent, and nobody has said what became of it: it may still be applied."""

    code = 1


@dataclass(frozen=True, slots=True)
class Mesh:
    """A mesh that runs: the `url` of its control plane, the name of its `scenario`, its launcher's `pid`."""

    url: str
    scenario: str
    pid: int
    token: str = field(repr=False)


@dataclass(frozen=True)
class Steered(Result):
    """What became of a change.

    Attributes:
        version: of the configuration that brings it; None if it has not got so far.
        proxies: so many have it in force.
        missing: by proxy, why it has not.
        replicas: the replicas that there are by now, where they were scaled.
        pods: the id of a process in the pod of each, where they have pods (`live --intercept`).
    """

    version: int | None
    proxies: int
    missing: dict[str, str]
    replicas: list[str] | None = None
    pods: dict[str, int] | None = field(default=None, metadata=LEFT_OUT)


def running() -> list[Mesh]:
    """This user's meshes that run."""
    return [Mesh(note["url"], note["scenario"], note["pid"], note["token"]) for note in notes()]


def find(which: str | None = None) -> Mesh:
    """The one mesh that is meant: by the URL of its control plane, or its scenario's name; or the only one.

    MeshsimError: there is none, or several.
    """
    meshes = running()
    wanted = "" if which is None else PAGE.sub(r"http://127.0.0.1:\1", which)
    found = [each for each in meshes if which is None or wanted in (each.url, each.scenario)]
    if len(found) == 1:
        return found[0]
    listed = ", ".join(f"{each.scenario or 'mesh'} at {each.url}" for each in meshes)
    if not meshes:
        raise MeshsimError("no mesh of yours runs; start one with meshsim live SCENARIO, in another terminal")
    if not found:
        raise MeshsimError(f"no mesh of yours is called {shown(which)}, or has that URL; there are {listed}")
    raise MeshsimError(f"several meshes run: {listed}; choose one with --mesh and its URL")


def set_live(
    settings: Mapping[str, object] | list[str], *, mesh: str | None = None, timeout: float = TIMEOUT
) -> Steered:
    """Sets values in a mesh that runs, as a `set` event of its scenario would.

    Args:
        settings: values by dotted key, or ``"key=value"`` texts, whose values are read as YAML.
        mesh: the URL of its control plane, or its scenario's name; None: the only one.
        timeout: how long it may take until every proxy has answered, s.

    Raises:
        UnansweredError: the control plane has heard of it, but does not answer: it may still be applied.
        MeshsimError: there is no such mesh; the keys can't be set, or not so, and nothing has changed.
    """
    pairs: Mapping[str, object] = settings if isinstance(settings, Mapping) else _pairs(settings)
    if not pairs:
        raise MeshsimError("nothing to set; write KEY=VALUE, such as policies.cart.timeout=300ms")
    values = {
        key: parse_value(value, key) if isinstance(value, str) else value for key, value in pairs.items()
    }
    return _order(find(mesh), "/set", {"set": {key: plain(value) for key, value in values.items()}}, timeout)


def _pairs(texts: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in map(_pair, texts):
        if key in found:
            raise MeshsimError(f"{shown(key)} is set twice; write it once")
        found[key] = value
    return found


def _pair(text: str) -> tuple[str, str]:
    key, equals, value = text.partition("=")
    if not equals:
        raise MeshsimError(f"{shown(text)} has no =; write KEY=VALUE, such as policies.cart.timeout=1s")
    return key.strip(), value


def scale_live(
    service: str, replicas: int, *, version: str | None = None, mesh: str | None = None,
    timeout: float = TIMEOUT,
) -> Steered:  # fmt: skip
    """Has a service, or one version of it, have so many replicas from now on.

    Returns when those that come are ready, and every proxy knows who is there; those that leave may still
    drain. Arguments and errors are otherwise those of `set_live`.
    """
    order = {"service": service, "replicas": replicas, "version": version}
    return _order(find(mesh), "/scale", order, timeout)


def _order(mesh: Mesh, page: str, order: Message, timeout: float) -> Steered:
    """Asks the control plane, again if it dies meanwhile: what is asked for twice is the same."""
    if not 0 < timeout <= TIMEOUT_MOST:
        raise MeshsimError(f"timeout: {timeout:g} is not from 0 to {TIMEOUT_MOST:g} s; wait again if need be")
    deadline, sent = time.monotonic() + timeout, False
    while True:
        left = deadline - time.monotonic()
        try:
            with closing(_connected(mesh, max(left, 0.0) + MARGIN)) as line:
                sent = True
                status, answer = _ask(line, mesh, page, {**order, "timeout": max(left, AGAIN)})
            break
        except (OSError, http.client.HTTPException) as error:
            if mesh not in running():
                raise MeshsimError(f"the mesh whose control plane was at {mesh.url} has ended") from None
            if time.monotonic() >= deadline:
                why = f"the control plane at {mesh.url} does not answer: {error or type(error).__name__}"
                if sent:
                    later = f"what was asked for may still be applied: look at {mesh.url}/status"
                    raise UnansweredError(f"{why}; {later}") from None
                raise MeshsimError(why) from None
            time.sleep(AGAIN)
    if "error" in answer:
        raise MeshsimError(str(answer["error"]))
    if status not in (200, 409, 504):
        raise MeshsimError(f"what answers at {mesh.url} is no control plane of meshsim (status {status})")
    more = answer.get("replicas"), answer.get("pods")
    return Steered(answer["version"], answer["proxies"], answer["missing"], *more)


def _connected(mesh: Mesh, patience: float) -> http.client.HTTPConnection:
    where = urlsplit(mesh.url)
    line = http.client.HTTPConnection(where.hostname or "", where.port, timeout=patience)
    line.connect()
    return line


def _ask(line: http.client.HTTPConnection, mesh: Mesh, page: str, order: Message) -> tuple[int, Message]:
    headers = {"authorization": f"Bearer {mesh.token}", "content-type": "application/json"}
    line.request("POST", page, json.dumps(order), headers)
    response = line.getresponse()
    data = response.read()
    try:
        answer = json.loads(data)
    except ValueError:
        answer = {}
    return response.status, answer if isinstance(answer, dict) else {}

"""Programs of the user's own as services: their environment, and how it is known that they serve.

A program needs no change: it listens on PORT, and calls others by the URLs that it finds in its environment,
or by their names through the HTTP proxy that is found there too, as twelve-factor applications do.

Source: https://12factor.net/config, https://12factor.net/port-binding
"""

from __future__ import annotations

import os
import re
import time
from collections.abc import Callable, Mapping

from meshsim.errors import MeshsimError
from meshsim.live import Address
from meshsim.live.processes import Process
from meshsim.live.proxies import Listeners, url
from meshsim.scenario.topology import Replica


def environment(
    place: Replica, app: Address, listeners: Listeners | None, services: list[str]
) -> dict[str, str]:
    """The environment of a replica's program at `app`; by HTTP proxy it may call `services` by name.

    Without `listeners` it is in a pod, where names lead to its sidecar by themselves.
    """
    live = place.deployment.live
    assert live is not None, "a place with a program"
    given = {"HOST": app[0], "PORT": str(app[1]), "MESHSIM_REPLICA": place.name}
    if listeners is not None:
        given |= {f"{variable(service)}_URL": found for service, found in listeners.urls.items()}
        proxy = {"HTTP_PROXY": url(*listeners.outbound), "NO_PROXY": no_proxy(services)}
        given |= proxy | {name.lower(): value for name, value in proxy.items()}
    inherited = {name: value for name, value in os.environ.items() if name.lower() not in PROXIES}
    return {**inherited, **given, **live.env}


PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
"""Of our own environment, those would lead a program past its sidecar."""


def no_proxy(services: list[str]) -> str:
    """Hosts that are reached directly: the upstreams' URLs are this machine's already."""
    return ",".join(host for host in ("127.0.0.1", "localhost", "::1") if host not in services)


def variable(service: str) -> str:
    """A service's name as that of an environment variable: ``cart-v2`` is CART_V2."""
    return re.sub(r"\W", "_", service).upper()


def await_all(
    silent: Mapping[Process, Address], serves: Callable[[Process, Address], bool], limit: float,
    wait: Callable[[str], object],
) -> None:  # fmt: skip
    """Waits until programs serve, by `wait`, which is told for whom; MeshsimError after `limit`, s."""
    deadline = time.monotonic() + limit
    while silent := {each: app for each, app in silent.items() if not serves(each, app)}:
        if time.monotonic() > deadline:
            raise silence(*next(iter(silent.items())), limit)
        wait(f"waiting for {', '.join(program.name for program in silent)}")


def silence(program: Process, address: Address, limit: float) -> MeshsimError:
    """The message that a program does not listen where it should."""
    tail = program.tail()
    output = f"; its last output:\n{tail}" if tail else ""
    return MeshsimError(
        f"{program.name} does not listen on port {address[1]} after {limit:g} s; a program must listen on the"
        f" port in its environment variable PORT{output}"
    )

"""The addresses of services in pods, and the files by which programs find them by name.

Addresses are of class E, which is nobody's, so none hides a real one: as Istio's for services without one.

Source: Istio, ServiceEntry, address auto allocation (240.240.0.0/16).
"""

from __future__ import annotations

import re
import socket
from collections.abc import Sequence
from ipaddress import IPv4Address

BASE = IPv4Address("240.240.0.0")
POD = "240.241.0.1"
"""What a pod calls itself; nobody else can hear it."""
POD_HOST = "127.0.0.1"
"""What programs listen on in their pods, and sidecars for their calls."""
LOCAL = ("127.0.0.1 localhost", "::1 localhost ip6-localhost ip6-loopback")


def addresses(services: Sequence[str]) -> dict[str, str]:
    """The address of each service, by name, in this order."""
    return {service: str(BASE + number) for number, service in enumerate(services, 1)}


def hosts(found: dict[str, str], own: str) -> str:
    """A pod's ``/etc/hosts``: services by name, and of this machine's `own` what names no service."""
    lines = [line.partition("#")[0].split() for line in own.splitlines()]
    kept = [" ".join(words) for words in lines if words and found.keys().isdisjoint(words[1:])]
    services = [f"{address} {service}" for service, address in found.items()]
    return "\n".join([*services, *(kept or [*LOCAL, f"127.0.0.1 {socket.gethostname()}"])]) + "\n"


def name_service(own: str) -> str:
    """A pod's ``/etc/nsswitch.conf``: hosts are looked up in files alone.

    NOTE: resolvers that are asked over a socket of the file system (systemd-resolved) are outside the pod.
    """
    return re.sub(r"^hosts:.*\n?", "", own, flags=re.MULTILINE) + "hosts: files\n"

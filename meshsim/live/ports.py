"""Addresses and ports of this machine."""

from __future__ import annotations

import contextlib
import secrets
import socket
from contextlib import ExitStack
from itertools import chain, repeat
from pathlib import Path

from meshsim.errors import MeshsimError, shown
from meshsim.live import Address

HTTP = 80
LISTENS = "0A"
"""The state of a socket that listens, in /proc/net/tcp."""
LOWEST = 16384
"""The first port for a program: below it are most that are well known."""
PROBE_TIMEOUT = 0.5
"""Of one attempt to connect, s."""

NO_DOMAIN = r"(?:localhost|[0-9.]+|\[[0-9A-Fa-f:.]+\])(?::[0-9]+)?"
"""A Host that is no name of a domain: that of a web page may be made to stand for this machine (DNS
rebinding), so what a page must not read is given under an address only."""


def own_address(host: str) -> str:
    """The numeric address to listen on (a name may have several); MeshsimError if none is this machine's."""
    reason: Exception | None = None
    try:
        for family, kind, protocol, _, address in socket.getaddrinfo(host, 0, type=socket.SOCK_STREAM):
            try:
                with socket.socket(family, kind, protocol) as probe:
                    probe.bind(address)
                return str(address[0])
            except OSError as error:  # such as ::1 on a machine without IPv6
                reason = error
    except (OSError, UnicodeError) as error:
        reason = error
    why = getattr(reason, "strerror", None) or reason
    raise MeshsimError(
        f"can't listen on {shown(host)}: {why}; give an address of this machine, such as 127.0.0.1"
    )


def free_ports(host: str, count: int) -> list[int]:
    """So many different ports that nobody listens on.

    NOTE: a program binds its port itself, so until it has, somebody else might. So these are none that the
    system gives to whoever asks for any, as long as there are others, from a random one on.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    others = range(LOWEST, own_range()[0])
    begin = secrets.randbelow(max(len(others), 1))
    with ExitStack() as held:
        found: list[int] = []
        for port in chain(others[begin:], others[:begin], repeat(0)):
            if len(found) == count:
                break
            probe = held.enter_context(socket.socket(family))
            try:
                probe.bind((host, port))
                found.append(probe.getsockname()[1])
            except OSError:
                if port == 0:
                    raise
        return found


def own_range() -> tuple[int, int]:
    """The first and the last port that the system gives to whoever asks for any. Source: ip(7)."""
    try:
        first, last = Path("/proc/sys/net/ipv4/ip_local_port_range").read_text(encoding="ascii").split()
        return int(first), int(last)
    except OSError:  # not Linux: as IANA has it (RFC 6335)
        return 49152, 65535


def accepts(address: Address) -> bool:
    """Whether somebody accepts connections there."""
    try:
        with socket.create_connection(address, PROBE_TIMEOUT):
            return True
    except OSError:
        return False


def listens(process: int, port: int) -> bool:
    """Whether somebody listens on a port in the network of a process (Linux). Source: proc_net_tcp(5)."""
    for table in ("tcp", "tcp6"):
        with contextlib.suppress(OSError):
            lines = Path(f"/proc/{process}/net/{table}").read_text(encoding="ascii").splitlines()
            for _, local, _, state, *_ in map(str.split, lines[1:]):
                if state == LISTENS and int(local.rpartition(":")[2], 16) == port:
                    return True
    return False

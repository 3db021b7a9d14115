"""The network of a pod: one interface, all addresses on it, and nft's rules.

NOTE: the interface is set up by ioctl, so that of programs only nft is needed.

Source: netdevice(7), rtnetlink's forerunner; nft(8); Istio's rules (istio-iptables).
"""

from __future__ import annotations

import ctypes
import fcntl
import socket
import struct
import subprocess

from meshsim.errors import MeshsimError
from meshsim.live.intercept import addresses, namespaces
from meshsim.live.intercept.lacking import RULES, needed

OUTBOUND_PORT = 15001
"""Where a pod's calls are redirected to: Istio's."""
SIOCADDRT, SIOCSIFFLAGS, SIOCSIFADDR = 0x890B, 0x8914, 0x8916
UP, ROUTE_UP = 0x1, 0x1
LOOPBACK, ALIAS = b"lo", b"lo:1"
LIMIT = 10.0
"""How long nft may take, s."""
WORDS = 300
"""Characters of what it says, at most."""

RULESET = f"""
table ip meshsim {{
  chain calls {{
    type nat hook output priority -100;
    ip daddr != 127.0.0.0/8 ip daddr != {addresses.POD} ip protocol tcp redirect to :{OUTBOUND_PORT}
  }}
  chain others {{
    type filter hook output priority 0;
    ip daddr != 127.0.0.0/8 ip daddr != {addresses.POD} ip protocol != tcp reject
  }}
}}
"""
"""All TCP that leaves the program goes to the sidecar; what is not TCP is refused at once, DNS too."""


def set_up(nft: str) -> None:
    """Sets up the network that this process is in; MeshsimError with what is lacking."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asked:
        fcntl.ioctl(asked, SIOCSIFFLAGS, struct.pack("16sH14x", LOOPBACK, UP))
        fcntl.ioctl(asked, SIOCSIFADDR, struct.pack("16s16s8x", ALIAS, _address(addresses.POD)))
        fcntl.ioctl(asked, SIOCADDRT, _default_route())
    namespaces.lend(namespaces.NET_ADMIN)
    with needed("nft can't be run", "reinstall the package nftables"):
        try:
            done = subprocess.run(
                [nft, "-f", "-"], input=RULESET.encode(), capture_output=True, timeout=LIMIT, check=False
            )
        except subprocess.TimeoutExpired:
            raise MeshsimError(
                f"--intercept: {nft} has not ended after {LIMIT:g} s; see whether nft list ruleset does"
            ) from None
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines() or [f"code {done.returncode}"]
        raise MeshsimError(f"--intercept: nft's rules are refused: {lines[0][:WORDS]}; {RULES}")


def _address(text: str) -> bytes:
    """As `struct sockaddr`."""
    return struct.pack("H2x4s8x", socket.AF_INET, socket.inet_aton(text))


def _default_route() -> bytes:
    """`struct rtentry`: every address is on the loopback interface, whose second one calls come from."""
    everything = _address("0.0.0.0")
    name = ctypes.cast(ctypes.c_char_p(ALIAS), ctypes.c_void_p).value  # ALIAS lives as long as the module
    return struct.pack(
        "L16s16s16sHhLPhPLLH", 0, everything, everything, everything, ROUTE_UP, 0, 0, 0, 0, name, 0, 0, 0
    )

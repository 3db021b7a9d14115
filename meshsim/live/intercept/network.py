"""The network of a pod: one interface, all addresses on it, and the rules of nftables.

As nft would show them:

    table ip meshsim {
      chain calls  { type nat hook output priority -100; OUTSIDE meta l4proto tcp redirect to :15001 }
      chain others { type filter hook output priority 0; OUTSIDE meta l4proto != tcp reject }
    }

where OUTSIDE is ``ip daddr != 127.0.0.0/8 ip daddr != 240.241.0.1``: all TCP that leaves the program goes to
the sidecar; what is not TCP is refused at once, DNS too. The kernel is told over netlink, so no program is
needed.

Source: Istio's rules (istio-iptables); nft(8); Linux, nf_tables.h; rtnetlink(7).
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import Any

from meshsim.errors import MeshsimError
from meshsim.live.intercept.addresses import POD
from meshsim.live.intercept.lacking import RULES, needed

OUTBOUND_PORT = 15001
"""Where a pod's calls are redirected to: Istio's."""
TABLE = "meshsim"
LOOPBACK = 1
"""The index of the one interface."""
REGISTER = 1
EQUAL, DIFFERENT = 0, 1
NETWORK_HEADER, DESTINATION = 1, 16
META_L4PROTO = 16
ICMP_PORT_UNREACHABLE = 3

Expression = Mapping[str, Any]


def set_up() -> None:
    """Sets up the network that this process is in.

    Raises:
        OSError: it may not do that here.
        MeshsimError: the kernel does not know the rules.
    """
    from pyroute2 import IPRoute, NetlinkError  # noqa: PLC0415 - the keeper loads it, where it is wanted
    from pyroute2.nftables.main import NFTables  # noqa: PLC0415

    try:
        with IPRoute() as routes:
            routes.link("set", index=LOOPBACK, state="up")
            routes.addr("add", index=LOOPBACK, address=POD, prefixlen=32)
            routes.route("add", family=socket.AF_INET, dst="default", oif=LOOPBACK, prefsrc=POD)
    except NetlinkError as error:
        raise OSError(*error.args) from None
    try:
        with (
            needed("the rules of nftables are refused", RULES),
            NFTables(nfgen_family=socket.AF_INET) as tables,
        ):
            tables.table("add", name=TABLE)
            for name, kind, priority, rule in (
                ("calls", "nat", -100, _calls()),
                ("others", "filter", 0, _others()),
            ):
                tables.chain("add", table=TABLE, name=name, hook="output", type=kind, priority=priority)
                tables.rule("add", table=TABLE, chain=name, expressions=[rule])
    except NetlinkError as error:
        raise MeshsimError(
            f"--intercept: the rules of nftables are refused: {error.args[-1]}; {RULES}"
        ) from None


def _calls() -> list[Expression]:
    """TCP that leaves the program is redirected."""
    specified = ("NF_NAT_RANGE_PROTO_SPECIFIED",)
    port = {"attrs": [("NFTA_DATA_VALUE", OUTBOUND_PORT.to_bytes(2))]}
    return [
        *_outside(),
        *_tcp(EQUAL),
        _expression("immediate", dreg=REGISTER, data=port),
        _expression("redir", reg_proto_min=REGISTER, flags=specified),
    ]


def _others() -> list[Expression]:
    """What is not TCP is refused."""
    return [*_outside(), *_tcp(DIFFERENT), _expression("reject", type=0, icmp_code=ICMP_PORT_UNREACHABLE)]


def _outside() -> list[Expression]:
    """What does not go to 127.0.0.0/8, nor to what the pod calls itself."""
    own = socket.inet_aton(POD)
    return [*_destination(DIFFERENT, b"\x7f"), *_destination(DIFFERENT, own)]


def _destination(how: int, beginning: bytes) -> list[Expression]:
    size = len(beginning)
    loaded = _expression("payload", dreg=REGISTER, base=NETWORK_HEADER, offset=DESTINATION, len=size)
    return [loaded, _compared(how, beginning)]


def _tcp(how: int) -> list[Expression]:
    return [_expression("meta", key=META_L4PROTO, dreg=REGISTER), _compared(how, bytes([socket.IPPROTO_TCP]))]


def _compared(how: int, data: bytes) -> Expression:
    return _expression("cmp", sreg=REGISTER, op=how, data={"attrs": [("NFTA_DATA_VALUE", data)]})


def _expression(name: str, **values: Any) -> Expression:
    """One of a rule, as pyroute2 sends it."""
    attributes = [(f"NFTA_{name.upper()}_{key.upper()}", value) for key, value in values.items()]
    return {"attrs": [("NFTA_EXPR_NAME", name), ("NFTA_EXPR_DATA", {"attrs": attributes})]}

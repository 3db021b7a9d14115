"""How a try ends: status, cause and Envoy's response flags.

Flags are kept in the order in which they were raised, as Envoy's access log prints them (`URX,UT`). A
sequence of flags is one integer, five bits a flag, so that it costs nothing to carry.

Source: Envoy, access log documentation, %RESPONSE_FLAGS%; the order was measured on Envoy 1.40.
"""

from __future__ import annotations

# Causes: what kind of end it was, which is what retry conditions look at.
RESPONSE = 0  # the upstream answered
REFUSED = 1  # no connection: the upstream is down
RESET = 2  # the connection broke after the request was sent
TRY_TIMEOUT = 3  # the per-try timer fired, and this proxy reset the stream
REJECTED = 4  # this proxy did not send it: breaker or no healthy host
RATE_LIMITED = 5  # the upstream answered `x-envoy-ratelimited`: a rate-limit service said no

# Flags
NO_FLAG = 0
UH = 1  # no healthy upstream host
UF = 2  # upstream connection failure
UC = 3  # upstream connection termination
UT = 4  # upstream request time-out
UO = 5  # upstream overflow: a circuit breaker's limit
URX = 6  # retry limit exceeded
DI = 7  # a delay was injected
FI = 8  # a fault was injected
RL = 9  # rate limited
UPE = 10  # upstream protocol error: what came back was no HTTP
NR = 11  # no route
DC = 12  # downstream connection termination: the client has gone
DPE = 13  # downstream protocol error: what came from the client was no HTTP
NC = 15  # no cluster: the route leads to one that this proxy has not been told of
SI = 14  # stream idle time-out: for too long nothing had come from either side

NAMES = ("", "UH", "UF", "UC", "UT", "UO", "URX", "DI", "FI", "RL", "UPE", "NR", "DC", "DPE", "SI", "NC")


def add_flag(flags: int, flag: int) -> int:
    """The flags with one more at the end; unchanged if it is among them, or is NO_FLAG."""
    rest = flags
    while rest > 0:
        if rest & 31 == flag:
            return flags
        rest >>= 5
    return (flags << 5) | flag if flag != NO_FLAG else flags


def flag_names(flags: int) -> str:
    """The flags as the access log prints them: ``"URX,UT"``; ``""`` for none."""
    names: list[str] = []
    while flags > 0:
        names.append(NAMES[flags & 31])
        flags >>= 5
    return ",".join(reversed(names))

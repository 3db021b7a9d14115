"""How far TRACE and OPTIONS go: Max-Forwards counts proxies, and the last one answers.

Source: RFC 9110, 7.6.2 (Max-Forwards), 9.3.7 (OPTIONS), 9.3.8 (TRACE: without what others must not read).
"""

from __future__ import annotations

from meshsim.live.context import FAMILY
from meshsim.live.wire.heads import Headers, RequestHead

COUNTED = frozenset([b"OPTIONS", b"TRACE"])
MAX_FORWARDS = b"max-forwards"
DIGITS = 9
"""Of a number of proxies; a longer one is cut to the greatest of these."""
PRIVATE = frozenset([b"authorization", b"cookie", b"proxy-authorization"])


def count_down(head: RequestHead) -> bool:
    """Counts this proxy in the head of an OPTIONS or a TRACE; whether the request goes no further."""
    headers: Headers = []
    for name, value in head.headers:
        counted = value
        if name == MAX_FORWARDS and value.isdigit():
            left = int(value) if len(value) <= DIGITS else 10**DIGITS
            if left == 0:
                return True  # with the head as it came, which a TRACE shows
            counted = b"%d" % (left - 1)
        headers.append((name, counted))
    head.headers = headers
    return False


def reply(head: RequestHead) -> tuple[Headers, bytes]:
    """Headers and body of the last proxy's answer: to TRACE, what has come."""
    if head.method == b"OPTIONS":
        return [], b""
    shown = [
        (name, value) for name, value in head.headers if name not in PRIVATE and not name.startswith(FAMILY)
    ]
    lines = [b"%b %b HTTP/1.%d" % (head.method, head.target, head.minor), b"host: " + head.host]
    lines += [name + b": " + value for name, value in shown]
    return [(b"content-type", b"message/http")], b"\r\n".join([*lines, b"", b""])

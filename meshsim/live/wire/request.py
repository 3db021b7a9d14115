"""Reading the head of a request.

| answer | to |
|---|---|
| 400 | a first line that is not `method SP target SP HTTP/1.x`; a method that llhttp does not know |
| 400 | bare CR or LF, control characters, folded lines, white space before a colon, a name that is no token |
| 400 | Content-Length with Transfer-Encoding; two Content-Lengths, equal or not; one that is not all digits |
| 400 | Transfer-Encoding in HTTP/1.0 |
| 501 | Transfer-Encoding other than exactly `chunked`, once (as Envoy; RFC 9112, 6.1) |
| 400 | no Host (in HTTP/1.1), several, or one that is no authority; an empty one is none |
| 400 | a target that is not a path, no `http(s)://...` and no `*` of OPTIONS; one with `#` or non-ASCII |
| 505 | another version of HTTP |
| 404 | CONNECT (as Envoy without a route for it) |
| 403 | Upgrade that `connection` names (as Envoy without `upgrade_configs`); `h2c` is ignored (as in Envoy) |
| 417 | an expectation other than 100-continue |
| 431 | a head of more than `Limits.head_bytes` or more headers than `Limits.headers`; trailers likewise |
| 408 | a head that is not whole after `Limits.header_timeout` |

Each of these closes the connection. Envoy is more lenient in places (bare LF, folded lines, several Hosts,
HTTP/2.0 in the first line); a proxy in front of other proxies should not be.
"""

from __future__ import annotations

import re

from meshsim.live.wire.framing import Framing, tokens
from meshsim.live.wire.heads import UNTIL_CLOSE, MalformedError, RequestHead

TOKEN = rb"[!#$%&'*+\-.^_`|~0-9A-Za-z]"
REQUEST_LINE = re.compile(rb"(?:\r\n)?(" + TOKEN + rb"++) ([!-\"$-~]++) HTTP/([0-9]\.[0-9])\r\n")
"""One empty line before it is let pass: RFC 9112, 2.2."""

_AUTHORITY = re.compile(rb"(?:[A-Za-z0-9\-._~!$&'()*+,;=%]++|\[[0-9A-Fa-f:.]++\])(?::[0-9]{0,5}+)?")
_ABSOLUTE = re.compile(rb"[Hh][Tt][Tt][Pp][Ss]?://([^/?]++)(.*+)")
_SLASH = 0x2F


def request_line(head: bytes) -> re.Match[bytes]:
    """Matches method, target and version; a MalformedError if it is no request line."""
    line = REQUEST_LINE.match(head)
    if line is None:
        raise MalformedError(400, "no request line")
    if line[3] != b"1.1" and line[3] != b"1.0":
        raise MalformedError(505, "another version of HTTP")
    if line[1] == b"CONNECT":
        raise MalformedError(404, "CONNECT")
    return line


def read_request(line: re.Match[bytes], message: Framing, known: bytes) -> RequestHead:
    """The head of a request, by what `request_line` found and llhttp has read.

    NOTE: `known` is a host found to be one, in lower case; requests of a connection mostly have the same, and
    to compare it is cheaper than to read it again.

    Raises:
        MalformedError: see above.
    """
    method: bytes
    target: bytes
    method, target, version = line.groups()
    minor = 1 if version == b"1.1" else 0
    host = b""
    hosts = 0
    expects = False
    name: bytes
    value: bytes
    for name, value in message.framing:
        if name == b"host":
            host = value
            hosts += 1
        elif name == b"expect":
            if value.lower() != b"100-continue":
                raise MalformedError(417, "an unknown expectation")
            expects = minor == 1
    length = message.read_framing(minor)
    if length == UNTIL_CLOSE:
        length = 0
    if message.upgrading:
        upgrades = [value for name, value in message.framing if name == b"upgrade"]
        if upgrades and tokens(b",".join(upgrades)) != [b"h2c"]:
            raise MalformedError(403, "an upgrade")
    if hosts != 1 and (minor or hosts):
        raise MalformedError(400, "no Host" if not hosts else "several Hosts")
    path = target
    if hosts and (host != known or not host) and not _AUTHORITY.fullmatch(host):
        raise MalformedError(400, "a Host that is no authority")
    if target[0] != _SLASH:
        path, host = _read_target(method, target, host)
    if host != known:
        host = host.lower()
    return RequestHead(method, target, path, host, message.headers, length, expects and length != 0, minor)


def _read_target(method: bytes, target: bytes, host: bytes) -> tuple[bytes, bytes]:
    """Path and authority of a target that is not a path."""
    if target == b"*" and method == b"OPTIONS":
        return target, host
    absolute = _ABSOLUTE.fullmatch(target)
    if absolute is None or not _AUTHORITY.fullmatch(absolute[1]):
        raise MalformedError(400, "a target that is neither a path nor a URL")
    path = absolute[2]
    if method == b"OPTIONS" and not path:  # asks about the server as a whole: RFC 9112, 3.2.4
        return b"*", absolute[1]
    return (path if path[:1] == b"/" else b"/" + path), absolute[1]

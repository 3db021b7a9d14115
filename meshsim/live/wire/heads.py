"""What a head says, once it has been read: of a request, of a response."""

from __future__ import annotations

from typing import final

CHUNKED = -1
"""A length: the body comes in chunks."""
UNTIL_CLOSE = -2
"""A length: the body ends with the connection. Of a response that has no body (to HEAD): none is known."""

Headers = list[tuple[bytes, bytes]]
"""Names in lower case and values without white space around them, as they came; names may repeat."""


@final
class RequestHead:
    """The validated head of one request.

    `method` (case-sensitive) and `target` are as sent; `path` is the target in origin form ("*" stays).
    `host` is, in lower case, the authority of an absolute-form target, else the Host header (RFC 9112,
    3.2.2), empty where an HTTP/1.0 client sent none. `headers` are end to end only, without `framing.FRAMING`
    and those that `connection` names. `length` is in bytes, or CHUNKED; one who `expects` waits for `100
    Continue` before the body.
    """

    def __init__(
        self, method: bytes, target: bytes, path: bytes, host: bytes, headers: Headers, length: int,
        expects: bool, minor: int,
    ) -> None:  # fmt: skip
        self.method = method
        self.target = target
        self.path = path
        self.host = host
        self.headers = headers
        self.length = length
        self.expects = expects
        self.minor = minor

    @property
    def page(self) -> bytes:
        """The path without a query."""
        return self.path.partition(b"?")[0]

    def get(self, name: bytes) -> bytes:
        """The value of the first header of this name (lower case), or nothing."""
        for key, value in self.headers:
            if key == name:
                return value
        return b""


@final
class ResponseHead:
    """The validated head of one response, status 200-999 (1xx are reported by `Reply.informed`).

    `headers` are as in `RequestHead`; `length` is in bytes, CHUNKED or UNTIL_CLOSE, and where there is no
    body although the head may speak of one (answers to HEAD, 304), what it speaks of.
    """

    def __init__(self, status: int, headers: Headers, length: int) -> None:
        self.status = status
        self.headers = headers
        self.length = length

    def has(self, name: bytes) -> bool:
        """Whether there is a header of this name (lower case)."""
        for key, _ in self.headers:  # noqa: SIM110 - Cython 3.2 compiles no generator in a method
            if key == name:
                return True
        return False


class MalformedError(Exception):
    """A message that is not what RFC 9112 says; a request is answered with `status`; `why` is for logs."""

    def __init__(self, status: int, why: str):
        super().__init__(why)
        self.status = status
        self.why = why

"""One-time tokens: how a proxy that asks the authority for a certificate shows who it is.

The launcher hands each proxy its first token. With each request a proxy says, by its hash, which token it
will use next, so no answer holds a secret, and one that gets lost locks nobody out. A token belongs to the
key and the next token with which it is first used: to send the same again is to ask for the same again, and
whoever sends it with a key of his own is refused. If a thief comes first the proxy is refused, which shows.

| token is | same key and next | others |
|---|---|---|
| new | used from now on | – |
| used | goes on | refused: ``used_token`` |
| used, and the next one too | refused: ``used_token`` | refused: ``used_token`` |
| unknown | refused: ``unknown_token`` | |

The authority keeps hashes alone.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass

from meshsim.live.identity.signing import RequestError
from meshsim.live.secret import hashed

_HASH = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Holder:
    """Whom a token is of: the `number` of a proxy in the mesh, and the `name` that it may have."""

    number: int
    name: str


@dataclass(slots=True)
class _Use:
    """What a token is for: for whom, and, once it is used, with which key and next token."""

    holder: Holder
    before: str
    bound: tuple[bytes, str] | None = None


class Tokens:
    """The tokens that may be used, by their hashes."""

    def __init__(self) -> None:
        self._known: dict[str, _Use] = {}
        self._spent: set[str] = set()

    def add(self, digest: str, holder: Holder) -> None:
        """The first token of somebody, by its hash; nothing new where it is known."""
        if digest not in self._spent:
            self._known.setdefault(digest, _Use(holder, ""))

    def owner(self, token: str) -> Holder:
        """Whose token it is; a RequestError if nobody's, or if its time is over."""
        digest = hashed(token)
        use = self._known.get(digest)
        if use is None:
            raise RequestError("used_token" if digest in self._spent else "unknown_token")
        return use.holder

    def use(self, digest: str, key: bytes, following: str, note: Callable[[], None] = lambda: None) -> None:
        """A token, known by its hash, is used by the holder of a public key (DER).

        That will use `following` (a hash) next. The first time `note` is called before it counts: what that
        raises is raised, and the token is as it was.

        Raises:
            RequestError: it has been used otherwise, or can't be followed by that.
        """
        use = self._known[digest]
        if use.bound is None:
            if not _HASH.fullmatch(following) or following in self._known or following in self._spent:
                raise RequestError("malformed", "the hash of the next token")
            note()
            use.bound = key, following
            self._known[following] = _Use(use.holder, digest)
            if use.before:  # whoever has the next one has had its answer
                del self._known[use.before]
                self._spent.add(use.before)
        elif use.bound != (key, following):
            raise RequestError("used_token")

"""A request being served, as its connection sees it."""

from __future__ import annotations

from typing import Protocol


class ServerStream(Protocol):
    """One request being served: what its server hears of it. The methods of this base class do nothing.

    Whoever has these methods is one, derived from it or not: what works on a request has a class of the mesh
    above it.
    """

    def body(self, data: bytes) -> None:
        """More of the request's body."""
        return

    def complete(self) -> None:
        """The request's body is whole."""
        return

    def gone(self) -> None:
        """The client went away before its answer was whole; nothing more is reported."""
        return

    def broken(self, status: int, why: str) -> None:
        """The client sent a broken body; nothing more is reported. By default as if it had gone.

        It got an answer with `status`, or one that had begun was cut off instead; `why` is for logs.
        """
        self.gone()

    def stalled(self) -> None:
        """Nothing came and nothing was sent for `Limits.stream_idle_timeout`; and again after as long."""
        return

    def writable(self, yes: bool) -> None:
        """Whether more of the answer should be sent (back-pressure)."""
        return


class Nobody(ServerStream):
    """Hears nothing."""


NOBODY = Nobody()
"""Hears what nobody wants to."""

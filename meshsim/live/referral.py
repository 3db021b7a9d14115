"""What the launcher hands a process so that it can ask another one."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Self

from meshsim.live import Address, Message


@dataclass(frozen=True, slots=True)
class Referral:
    """Where a server is, the root of its own certificate (PEM), and the `token` that shows who asks.

    The root is empty where there is no TLS. A token for the authority counts once.
    """

    address: Address
    root: str
    token: str = field(repr=False)

    def message(self) -> Message:
        """As it is sent, over a pipe that nobody else reads."""
        return {"address": self.address, "root": self.root, "token": self.token}

    @classmethod
    def of(cls, message: Message | None) -> Self | None:
        """What was sent, if anything."""
        if message is None:
            return None
        host, port = message["address"]
        return cls((host, port), message["root"], message["token"])

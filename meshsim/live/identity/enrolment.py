"""What the launcher hands out so that proxies can ask for certificates."""

from __future__ import annotations

from dataclasses import dataclass, field

from meshsim.live import Address, Message


@dataclass(frozen=True, slots=True)
class Enrolment:
    """Where the authority is, the root of its own certificate (PEM), and a one-time `token`."""

    address: Address
    root: str
    token: str = field(repr=False)

    def message(self) -> Message:
        """As it is sent, over a pipe that nobody else reads."""
        return {"address": self.address, "root": self.root, "token": self.token}

    @classmethod
    def of(cls, message: Message | None) -> Enrolment | None:
        """What was sent, if anything."""
        if message is None:
            return None
        host, port = message["address"]
        return cls((host, port), message["root"], message["token"])

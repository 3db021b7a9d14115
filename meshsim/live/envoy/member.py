"""The Envoy of a replica that comes while a mesh runs, in the place of one of our own processes."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from meshsim.errors import MeshsimError
from meshsim.live import Message
from meshsim.live.processes import Member, Rows

Tell = Callable[[str, Message], None]
"""Tells the Envoys something about one of them, by id."""

Says = Callable[[Member, str, Message], None]
"""Takes what is said for an Envoy, whose id that is."""


class EnvoyMember(Member):
    """Speaks for an Envoy as a member does: what it `says` comes to the launcher's events.

    It has no rows and no stats: its mesh's Envoys hand over theirs together.

    Attributes:
        certified: whether it has the certificate that it needs to start, if any.
    """

    reports = False

    def __init__(self, id_: str, folder: Path, says: Says, tell: Tell, *, certified: bool) -> None:
        super().__init__(f"the Envoy of {id_}", folder / "stderr.log")
        self.id = id_
        self.certified = certified
        self._says = says
        self._tell = tell
        self._ended = False
        self._why = ""

    def says(self, message: Message) -> None:
        """It says something."""
        self._says(self, self.id, message)

    def send(self, message: Message) -> None:
        self._tell(self.id, message)
        if "stop" in message:
            self.says({"rows": b""})
            self.hang_up()

    def hang_up(self) -> None:
        if not self._ended:
            self._ended = True
            self._tell(self.id, {"stop": True})
            self.code = 0
            self.says({"ended": True})

    def fail(self, why: str) -> None:
        """The Envoy could not start, or has ended."""
        self._why = why
        self.hang_up()

    def death(self) -> MeshsimError:
        return MeshsimError(f"{self.name}: {self._why}") if self._why else super().death()

    def rows(self, payload: bytes) -> Rows:
        return {}

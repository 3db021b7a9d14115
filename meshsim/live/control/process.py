"""The launcher's side of the control plane: its process, its ports, who may speak to it, and its next life.

The launcher keeps the ports: a socket that is only bound has each as long as the mesh lives, so that the next
process listens where the last one did.
"""

from __future__ import annotations

import json
import os
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from meshsim.live import Address, Message
from meshsim.live.control import journal
from meshsim.live.control.ledger import Ledger
from meshsim.live.control.messages import Endpoint
from meshsim.live.folders import NOTE
from meshsim.live.processes import Member, Process, Rows
from meshsim.live.referral import Referral
from meshsim.live.secret import hashed, new_token
from meshsim.live.servers import bound
from meshsim.scenario.dump import flow
from meshsim.scenario.topology import CLIENT_PROXY, Proxy, Replica, Topology

LOOPBACK = "127.0.0.1"
PORTS = ("following", "pages", "authority")
OUTSIDER = "outsider"
"""Who else may have a certificate: that of the client."""
WAIT_FIRST, WAIT_MOST = 0.05, 1.0
"""A process that dies before it serves is followed by the next one after a wait, s, that doubles.

NOTE: it may have been killed from outside, so waits stay short beside the time left to renew certificates.
"""
SILENCE = 5.0
"""A process that has said nothing for so long does not answer, s; it says something twice a second."""
LOOK_MOST = 0.1
"""So much of the time between two looks counts as silence, s: whoever does other things hears nothing."""
JOURNAL = "control-plane.journal"

Fork = Callable[[Message], Member]
"""Starts the process, with what it is to know."""


class ControlProcess:
    """The control plane of one mesh, whichever process it is at the moment.

    Attributes:
        member: the process; None between two of them.
        root: of its own certificate, PEM; empty without mTLS.
        enrolments: how to ask for certificates, by proxy; `OUTSIDER` is one more client.
        deaths: how often it has died.
        troubles: what else went wrong with it, and how often.
        silent: whether it does not answer.
        orders: what was ordered from outside, a text each; once the mesh is stopped.
    """

    def __init__(self, topology: Topology, folder: Path, fork: Fork, *, inclusive: bool) -> None:
        self.folder = folder
        self.member: Member | None = None
        self.root = ""
        self.name = ""
        self.deaths = 0
        self.troubles: Counter[str] = Counter()
        self.silent = False
        self.orders: list[str] = []
        self.enrolments: dict[str, Referral] = {}
        self._fork = fork
        self._inclusive = inclusive
        self._told = False
        self._mtls = topology.scenario.mesh.mtls is not None
        self._bound = {name: bound(socket.AF_INET, (LOOPBACK, 0)) for name in PORTS}
        self._secret = new_token()
        self._tokens: dict[str, str] = {}  # of streams, by proxy
        self._enrolled: dict[str, tuple[str, tuple[int, str]]] = {}  # first token, and whose
        self._proxies: dict[str, Message] = {}
        self._serves = False
        self._wait = WAIT_FIRST
        self._again: float | None = None
        self._silence = self._looked = 0.0
        for proxy in topology.proxies:
            if not any(replica.added for replica in proxy.replicas):
                self.admit(proxy)
        if self._mtls:
            self._enrolled[OUTSIDER] = new_token(), self._enrolled[CLIENT_PROXY][1]

    def ports(self) -> dict[str, int]:
        """Where it listens."""
        return {name: each.getsockname()[1] for name, each in self._bound.items()}

    @property
    def pid(self) -> int | None:
        """Of its process; None between two of them: kill(2) takes 0 for all of one's own group."""
        return None if self.member is None else self.member.pid

    @property
    def url(self) -> str:
        """Where its pages are."""
        return f"http://{LOOPBACK}:{self.ports()['pages']}"

    # ---- who may speak to it ------------------------------------------------------------------------

    def admit(self, proxy: Proxy) -> Message:
        """One more proxy will follow it; what it is to be told of that."""
        (caller,) = proxy.callers
        token = self._tokens[proxy.name] = new_token()
        said = {"number": proxy.number, "token": hashed(token), "caller": caller}
        self._proxies[proxy.name] = said
        told: Message = {"proxies": {proxy.name: said}}
        if proxy.identified:
            first = new_token()
            self._enrolled[proxy.name] = first, (proxy.number, caller)
            told["tokens"] = {hashed(first): (proxy.number, caller)}
            self._enrol(proxy.name)
        return told

    def dismiss(self, name: str) -> Message:
        """A proxy has gone for good; what it is to be told of that."""
        self._proxies.pop(name, None)
        return {"gone": [name]}

    def following(self, name: str) -> Referral:
        """How a proxy finds it."""
        return Referral((LOOPBACK, self.ports()["following"]), self.root, self._tokens[name])

    def _enrol(self, name: str) -> None:
        if self.root:
            address = LOOPBACK, self.ports()["authority"]
            self.enrolments[name] = Referral(address, self.root, self._enrolled[name][0])

    # ---- its process --------------------------------------------------------------------------------

    def start(self) -> Member:
        """Starts its process."""
        self._serves = False
        self._again = None
        told = {
            "ports": self.ports(),
            "journal": str(self.folder / JOURNAL),
            "again": self.deaths > 0,
            "tokens": self._first_tokens(),
            "inclusive": self._inclusive,
            "secret": self._secret,
        }
        self.member = self._fork({"control": told})
        self.name = self.member.name
        return self.member

    def listens(self, said: Message) -> None:
        """It has bound its ports."""
        self.root = said["root"]
        for name in self._enrolled:
            self._enrol(name)

    def _first_tokens(self) -> Message:
        """Whose each is, by hash."""
        return {hashed(token): owner for token, owner in self._enrolled.values()}

    def everything(self, more: Message) -> Message:
        """All that it has to know before it begins; `more` is of replicas."""
        return {"proxies": self._proxies, "tokens": self._first_tokens(), **more}

    def tell_everything(self, message: Message) -> None:
        """Tells it all that there is by now; from here on it hears what changes."""
        assert self.member is not None, "it listens"
        self.member.send(message)
        self._told = True

    def begin(self, base: float) -> None:
        """It is ready: scenario time 0 is at `base` of the monotonic clock, s."""
        assert self.member is not None, "it is ready"
        self.member.send({"start": base})
        self._serves = True
        self.heard()

    def tell(self, message: Message) -> None:
        """Tells it something, if it is there; one that is not will be told everything."""
        if self.member is not None and self._told:
            self.member.send(message)

    def has_rows(self, process: Process) -> bool:
        """Whether a process hears that the mesh stops; one that has only begun to take over is let go."""
        if process is not self.member or self._told:
            return True
        self.member.hang_up()
        return False

    def died(self) -> None:
        """Its process has ended: another follows, at once if it has served."""
        self.deaths += 1
        self.silent = False
        if self.member is not None and (self.member.code or 0) > 0:  # by itself, not killed
            *_, last = self.member.tail().splitlines() or [""]
            self.troubles[f"it has ended: {last.strip()}"] += 1
        self.member = None
        self._told = False
        self._wait = WAIT_FIRST if self._serves else min(2 * self._wait, WAIT_MOST)
        self._again = time.monotonic() + (0.0 if self._serves else self._wait)

    def heard(self) -> None:
        """It has said something."""
        self._silence = 0.0
        self.silent = False

    def look(self) -> str:
        """Starts the next process when it is time; what there is to tell, if anything."""
        if self._again is not None and time.monotonic() >= self._again:
            self.start()
            return "the control plane has ended, and another takes its place"
        before, self._looked = self._looked, time.monotonic()
        self._silence += min(self._looked - before, LOOK_MOST)
        answers = self.member is None or not self._serves or self._silence < SILENCE
        if answers or self.silent:
            return ""
        self.silent = True
        self.troubles[f"it did not answer for {SILENCE:g} s"] += 1
        return "the control plane does not answer; the mesh goes on without it"

    @property
    def remark(self) -> str:
        """What is to be known of it; nothing where all is well."""
        if self.silent:
            return "the control plane does not answer"
        times = "once" if self.deaths == 1 else f"{self.deaths:,} times"
        return f"the control plane has ended, and was replaced: {times}" if self.deaths else ""

    # ---- for others ---------------------------------------------------------------------------------

    def announce(self, about: Message) -> None:
        """Leaves a note of how to speak to it, which whoever owns the mesh can read."""
        note = self.folder / f".{NOTE}"
        data: Any = {"url": self.url, "token": self._secret, **about}
        file = os.open(note, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        try:
            os.write(file, json.dumps(data).encode())
        finally:
            os.close(file)
        note.rename(self.folder / NOTE)

    def report(self, troubles: dict[str, dict[str, int]]) -> None:
        """Adds what went wrong with it to what processes say themselves, by their names."""
        deaths = {"it has ended, and was replaced": self.deaths} if self.deaths else {}
        if found := {**deaths, **self.troubles, **troubles.get(self.name, {})}:
            troubles[self.name] = found

    def rows(self) -> Rows:
        """What became of pushes, as tables, whether or not there is a process that could say so."""
        try:
            _, facts = journal.read(self.folder / JOURNAL)
        except OSError:  # somebody has killed the keeper, which is about to be told
            return {}
        self.orders = orders(facts)
        return dict(Ledger(facts).rows())

    def close(self) -> None:
        """Gives its ports back."""
        for each in self._bound.values():
            each.close()


def orders(facts: Iterable[Message]) -> list[str]:
    """What was ordered from outside (`live set`, `live scale`), with the times, from a journal's facts."""
    found: list[str] = []
    for fact in facts:
        if "scale" in fact:
            found.append(f"at {fact['at']:.1f} s {fact['scale']} scaled to {fact['replicas']}")
        elif "set" in fact:
            values = ", ".join(f"{key}={flow(value)}" for key, value in fact["set"].items())
            found.append(f"at {fact['at']:.1f} s {values}")
    return found


def places(found: Iterable[tuple[Replica, Address]]) -> list[Message]:
    """Where replicas are, as the control plane is told."""
    return [Endpoint(each.number, each.name, each.version, where).message() for each, where in found]

"""The control plane's end of the streams: who follows it, what each is sent, and what each has answered.

A proxy shows a token of its own, which the launcher has given it; whoever has none is refused, and counted.
When a proxy comes again, the newer stream takes the place of the older.
"""

from __future__ import annotations

import secrets
from collections import Counter
from collections.abc import Callable
from typing import final

from meshsim.live import Message
from meshsim.live.clock import LiveClock
from meshsim.live.control.lines import Lines, Listener
from meshsim.live.control.memory import Memory
from meshsim.live.control.messages import Hello, MessageError, number, word
from meshsim.live.secret import hashed
from meshsim.live.troubles import trouble
from meshsim.mesh.control_plane import ControlPlane, Subscriber, Subscription
from meshsim.scenario.push import Configuration

SAID_BYTES = 64 << 10
"""Of what a proxy says, at most."""
STRANGERS = 1024
"""Streams of which nobody has said yet whose they are; the oldest goes if there are more."""
FORGOTTEN = 10_000
"""So many versions at most a proxy can be ahead, of a control plane whose journal is not whole."""

NOT_MADE = "it has a version that was not made"


@final
class Follower(Subscriber):
    """A proxy that follows the control plane, whether or not there is a stream at this moment.

    Attributes:
        name: the proxy's; it calls these `services`.
        stream: None where there is none.
        acked: the newest version that it has taken.
        knows: the newest whose endpoints it has; a proxy that refuses policies takes those.
        nack: what it has refused last, and is not mended yet: version and reason.
        missed: whether something that was for it may not have come.
    """

    subscription: Subscription

    def __init__(self, streams: Streams, name: str, services: frozenset[str]) -> None:
        self.streams = streams
        self.name = name
        self.services = services
        self.stream: Lines | None = None
        self.acked = self.knows = -1
        self.nack: tuple[int, str] | None = None
        self.missed = False
        self.sent: dict[str, int] = {}

    def deliver(self, to: Subscription, version: int, content: Configuration, part: int, now: float) -> None:
        nonce = secrets.token_hex(8)
        update = self.streams.memory.update(version, content, part, nonce, self.services)
        if self.stream is None or not self.stream.send(update.message()):
            self.missed = True
            return
        self.sent[nonce] = version

    def answered(self, message: Message, now: float) -> None:
        """It says ack, or nack; MessageError for anything else."""
        good = "ack" in message
        nonce, newest = word(message, "ack" if good else "nack"), number(message, "version", -1)
        version = self.sent.pop(nonce, None)
        if version is None:
            raise MessageError("it answers what it was not sent")
        if newest > self.streams.plane.version:
            raise MessageError(NOT_MADE)
        self.knows = max(self.knows, newest)
        if good:
            self.acked = max(self.acked, newest)
            if self.nack is not None and self.nack[0] <= newest:
                self.nack = None
        else:
            self.nack = version, word(message, "error")
        answered = newest if good else max(newest, version)
        self.streams.memory.journal.add({"answered": self.name, "has": answered, "good": good, "at": now})
        self.streams.plane.answered(self.subscription, answered, good, now)
        self.streams.noted()

    def refuses(self, version: int) -> bool:
        """Whether it has refused a version, or a newer one."""
        return self.nack is not None and self.nack[0] >= version

    def why(self, version: int) -> str:
        """Why it has not taken a version."""
        if self.nack is not None and self.refuses(version):
            return f"it refuses version {self.nack[0]}: {self.nack[1]}"
        if self.stream is None:
            return "it is not connected"
        down = ": an event of the scenario has the control plane down" if self.streams.plane.downs else ""
        return f"it has version {self.acked}{down}"


@final
class Streams(Listener):
    """The streams to all proxies of a mesh.

    Attributes:
        followers: by name of the proxy.
        refused: streams that were ended, by reason.
        noted: is called whenever a proxy has answered, or has come or gone.
        behind: is called with the version of a proxy that is ahead of the control plane.
    """

    def __init__(self, clock: LiveClock, plane: ControlPlane, memory: Memory) -> None:
        self.clock = clock
        self.plane = plane
        self.memory = memory
        self.followers: dict[str, Follower] = {}
        self.refused: Counter[str] = Counter()
        self.noted: Callable[[], None] = lambda: None
        self.behind: Callable[[int], None] = lambda version: None
        self._tokens: dict[str, str] = {}
        self._known: dict[Lines, Follower] = {}
        self._strangers: dict[Lines, None] = {}

    def protocol(self) -> Lines:
        """What a new connection becomes."""
        return Lines(self, SAID_BYTES, greeted=True)

    def add(self, name: str, services: frozenset[str], digest: str) -> Follower:
        """Takes note of a proxy, the services that it calls, and the hash of its token."""
        self._tokens[digest] = name
        follower = self.followers[name] = Follower(self, name, services)
        return follower

    def remove(self, name: str) -> None:
        """A proxy has gone for good."""
        follower = self.followers.pop(name, None)
        if follower is None:
            return
        self._tokens = {digest: each for digest, each in self._tokens.items() if each != name}
        self.memory.journal.add({"gone": name})
        self.plane.disconnect(follower.subscription)
        if follower.stream is not None:
            follower.stream.close()
        self.noted()

    # What comes

    def connected(self, stream: Lines) -> None:
        self._strangers[stream] = None
        if len(self._strangers) > STRANGERS:
            oldest = next(iter(self._strangers))
            del self._strangers[oldest]
            oldest.give_up("too many have not said who they are")

    def heard(self, stream: Lines, message: Message) -> None:
        follower = self._known.get(stream)
        try:
            if follower is None:
                self._greet(stream, Hello.of(message))
            else:
                follower.answered(message, self.clock.now())
        except MessageError as error:
            trouble(f"the control plane has ended a stream: {error}")
            stream.give_up(str(error))

    def _greet(self, stream: Lines, hello: Hello) -> None:
        """A proxy says who it is."""
        if self._tokens.get(hashed(hello.token)) != hello.proxy:
            raise MessageError("an unknown token")
        follower = self.followers[hello.proxy]
        if hello.version > self.plane.version + FORGOTTEN:
            raise MessageError(NOT_MADE)
        if hello.version > self.plane.version:
            trouble("a proxy has a version that the control plane does not know; it goes on behind that")
            self.behind(hello.version)
        self._strangers.pop(stream, None)
        if follower.stream is not None:  # its end has not been noticed yet
            before = follower.stream
            self._forget(before)
            before.close()
        follower.stream = stream
        self._known[stream] = follower
        now = self.clock.now()
        if not follower.subscription.connected:
            self.memory.journal.add({"follows": [follower.name]})
            self.plane.connect(follower.subscription, None, now)
        elif hello.version < (self.plane.version if follower.missed else 0):
            self.plane.repeat(follower.subscription, now)
        else:
            follower.acked = max(follower.acked, hello.version)
            follower.knows = max(follower.knows, hello.version)
        follower.missed = False
        self.noted()

    def lost(self, stream: Lines, why: str) -> None:
        self._strangers.pop(stream, None)
        if why:
            self.refused[why] += 1
        if stream in self._known:
            self._forget(stream)
            self.noted()

    def _forget(self, stream: Lines) -> None:
        """A stream is no proxy's any more; what was sent on it and is not answered may not have come."""
        follower = self._known.pop(stream)
        follower.stream = None
        follower.missed = follower.missed or bool(follower.sent)
        follower.sent.clear()

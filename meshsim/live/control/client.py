"""A proxy's end of the stream to the control plane: it finds it, and takes no more than is good.

    SEARCHING ──connected, hello──► FOLLOWING ──lost, garbage, too large, half a message──► SEARCHING
                                      │ an update: validated whole, then applied, and acked;
                                      └ else nacked, and what there was stays

Without the control plane a proxy works on with what it has. It looks for it again and again, with waits that
double up to `WAIT_MOST`, each uniform between half its bound and its bound.
"""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from meshsim.live import Message
from meshsim.live.control.lines import Lines, Listener
from meshsim.live.control.messages import WORD_MOST, Hello, MessageError, Update
from meshsim.live.referral import Referral
from meshsim.live.troubles import trouble
from meshsim.random import Key, derive, u01

if TYPE_CHECKING:
    from meshsim.live.identity.pinned import PinnedTls

CONNECT_LIMIT = 5.0
"""How long connecting may take, s."""
WAIT_FIRST, WAIT_MOST = 0.05, 1.0
"""The bounds of the first wait and of the longest, s."""
STALE = "an old version"

Apply = Callable[[Update], tuple[int, str]]
"""Applies a valid update; returns the newest version of which all parts are there, and what of it is refused.

Raises:
    MessageError: it can't be applied, and nothing of it was.
"""


class Follower(Listener):
    """Follows the control plane on behalf of a `proxy`; `key` is that of its waits.

    Attributes:
        version: the newest that it has whole; -1: none.
        counts: ``connected``, ``acked``, ``nacked``, ``lost``: how often.
        error: why it refused something, or lost the stream, last.
        first: is set when it has a configuration.
    """

    def __init__(self, following: Referral, proxy: str, version: int, apply: Apply, key: Key) -> None:
        self.following = following
        self.proxy = proxy
        self.version = version
        self.apply = apply
        self.key = key
        self.counts: Counter[str] = Counter()
        self.error = ""
        self.first = asyncio.Event()
        self.parts = [-1, -1, -1]
        self._stream: Lines | None = None
        self._ended: asyncio.Event | None = None
        self._task: asyncio.Task[None] | None = None
        self._tls: PinnedTls | None = None
        if version >= 0:
            self.first.set()

    # Finding it

    def start(self) -> None:
        """Begins to look for it."""
        if self.following.root:
            from cryptography import x509  # noqa: PLC0415 - an extra

            from meshsim.live.identity.pinned import PinnedTls  # noqa: PLC0415 - OpenSSL

            self._tls = PinnedTls(x509.load_pem_x509_certificate(self.following.root.encode()))
        self._task = asyncio.get_running_loop().create_task(self._follow())

    async def _follow(self) -> None:
        bound, waits = WAIT_FIRST, 0
        while True:
            self._ended = asyncio.Event()
            heard = self.counts["acked"] + self.counts["nacked"]
            if await self._connect():
                await self._ended.wait()
            if self.counts["acked"] + self.counts["nacked"] > heard:
                bound = WAIT_FIRST
            waits += 1
            await asyncio.sleep(bound * (1.0 + u01(derive(self.key, waits), 0)) / 2)
            bound = min(2 * bound, WAIT_MOST)

    async def _connect(self) -> bool:
        """Whether there is a stream."""
        stream = Lines(self)
        address = self.following.address
        try:
            if self._tls is None:
                async with asyncio.timeout(CONNECT_LIMIT):
                    await asyncio.get_running_loop().create_connection(lambda: stream, *address)
                return True
            from meshsim.live.identity.pinned import NAME  # noqa: PLC0415 - OpenSSL
            from meshsim.live.tls.connect import connect  # noqa: PLC0415 - OpenSSL

            return await connect(self._tls, NAME, stream, address, CONNECT_LIMIT)
        except (OSError, TimeoutError):
            return False

    def close(self) -> None:
        """Follows it no longer."""
        if self._task is not None:
            self._task.cancel()
        if self._stream is not None:
            self._stream.close()

    # What it says

    def connected(self, stream: Lines) -> None:
        self._stream = stream
        self.counts["connected"] += 1
        stream.send(Hello(self.proxy, self.following.token, self.version).message())

    def lost(self, stream: Lines, why: str) -> None:
        self._stream = None
        self.counts["lost"] += 1
        if why:
            self.error = why
            trouble(f"the control plane was not understood: {why}")
        if self._ended is not None:
            self._ended.set()

    def heard(self, stream: Lines, message: Message) -> None:
        nonce = message.get("nonce")
        if not isinstance(nonce, str) or len(nonce) > WORD_MOST:
            stream.give_up("a message has no nonce")
            return
        try:
            update = Update.of(message)
            if update.version < max(self.parts[update.part], self.version):
                raise MessageError(STALE)
            self.take(stream, update)
        except MessageError as error:
            self._refuse(stream, nonce, str(error))

    def take(self, stream: Lines, update: Update) -> None:
        """Applies an update that may be applied, and answers; as `Apply` raises."""
        self.answer(stream, update, *self.apply(update))

    def answer(self, stream: Lines, update: Update, newest: int, refused: str) -> None:
        """Says what has become of an update, as `Apply` returns it."""
        nonce = update.nonce
        self.parts[update.part] = update.version
        self.version = max(self.version, newest)
        self.first.set()
        if refused:
            self._refuse(stream, nonce, refused)
        else:
            self.counts["acked"] += 1
            stream.send({"ack": nonce, "version": self.version})

    def _refuse(self, stream: Lines, nonce: str, why: str) -> None:
        self.counts["nacked"] += 1
        self.error = why[:WORD_MOST]
        stream.send({"nack": nonce, "version": self.version, "error": self.error})

    def report(self) -> Message:
        """How it stands."""
        return {
            "version": self.version,
            "connected": self._stream is not None,
            **{name: self.counts[name] for name in ("acked", "nacked", "lost")},
            "error": self.error,
        }

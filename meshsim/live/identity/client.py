"""Asks the authority: a connection for each question, over TLS, to nobody but who has the pinned root."""

from __future__ import annotations

import asyncio
import json
from typing import cast

from cryptography import x509

from meshsim.live import Address
from meshsim.live.identity.answers import AnswerError, fields_of
from meshsim.live.identity.pinned import NAME, PinnedTls
from meshsim.live.tls.connect import connect
from meshsim.live.wire import CLOSED, ClientConnection, Limits, Reply, ResponseHead, request_head

LIMITS = Limits(head_bytes=8192)
ANSWER_BYTES = 256 * 1024
"""Of an answer, at most: one with a hundred roots has a quarter of that."""
CONNECT_LIMIT, ANSWER_LIMIT, REST_LIMIT = 5.0, 120.0, 5.0
"""How long connecting may take, an answer (the authority has a queue), and its rest after the head, s."""


class AuthorityClient:
    """The authority at an `address`, as whoever has its `root` (PEM) knows it."""

    def __init__(self, address: Address, root: bytes, limit: float = ANSWER_LIMIT) -> None:
        self.address = address
        self.limit = limit
        self._tls = PinnedTls(x509.load_pem_x509_certificate(root))

    async def certificate(self, token: str, following: str, number: int, csr: bytes) -> bytes:
        """What it answers a request for a certificate: see `answers.read_answer`.

        Args:
            token: a one-time token, and the hash of the one to come.
            following: that hash.
            number: of the certificate.
            csr: in PEM.

        Raises:
            AnswerError: it is not there, or down, or refuses.
        """
        question = {"token": token, "next": following, "number": number, "csr": csr.decode()}
        return await self._ask(b"POST", b"/certificate", json.dumps(question).encode())

    async def roots(self) -> bytes:
        """What it answers to what is trusted; as `certificate`."""
        return await self._ask(b"GET", b"/roots", b"")

    async def _ask(self, method: bytes, path: bytes, body: bytes) -> bytes:
        waiting = _Waiting(asyncio.get_running_loop().create_future())
        connection = ClientConnection(waiting.unasked, LIMITS)
        top = cast(asyncio.Protocol, connection)
        try:
            opened = await connect(self._tls, NAME, top, self.address, CONNECT_LIMIT)
        except TimeoutError:
            raise AnswerError("timeout") from None
        except OSError as error:
            raise AnswerError("unreachable", str(error)) from None
        if not opened:
            raise AnswerError("not_the_authority", ", ".join(self._tls.client.refused))
        head = request_head(method, path, NAME.encode(), [(b"connection", b"close")], len(body))
        try:
            connection.request(waiting, head, body, True, method)
            async with asyncio.timeout(self.limit) as waiting.patience:
                status, data = await waiting.answer
        except TimeoutError:
            raise AnswerError("timeout") from None
        finally:
            connection.close()
        if status != 200:
            reason = fields_of(data).get("error")
            raise AnswerError("down" if status == 503 else "refused", str(reason)[:200])
        return data


class _Waiting(Reply):
    """Collects one answer."""

    def __init__(self, answer: asyncio.Future[tuple[int, bytes]]) -> None:
        self.answer = answer
        answer.add_done_callback(lambda it: it.cancelled() or it.exception())  # though nobody waits any more
        self.patience: asyncio.Timeout | None = None
        self.status = 0
        self.data = b""

    def whole(self, connection: ClientConnection, head: ResponseHead, body: bytes) -> None:
        self.status, self.data = head.status, body
        self.complete(connection)

    def head(self, connection: ClientConnection, head: ResponseHead) -> None:
        self.status = head.status
        if self.patience is not None and not self.answer.done():
            self.patience.reschedule(self.answer.get_loop().time() + REST_LIMIT)

    def body(self, data: bytes) -> None:
        self.data += data
        if len(self.data) > ANSWER_BYTES:
            self._fail(AnswerError("garbage", "too long"))

    def complete(self, connection: ClientConnection) -> None:
        if not self.answer.done():
            self.answer.set_result((self.status, self.data))

    def lost(self, connection: ClientConnection, kind: int, why: str) -> None:
        self._fail(AnswerError("unreachable" if kind == CLOSED else "garbage", why))

    def unasked(self, connection: ClientConnection) -> None:
        """The connection has ended before it was asked."""
        self._fail(AnswerError("unreachable"))

    def _fail(self, error: AnswerError) -> None:
        if not self.answer.done():
            self.answer.set_exception(error)

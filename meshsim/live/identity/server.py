"""The authority as a server: what it answers, and what a request is worth that it does not.

    POST /certificate   JSON: `token`, hash of the `next`, `number`, `csr` (PEM)
        200             JSON: `certificate`, when it is `signed` (scenario time, s), and as below
        401             an unknown token, or a used one
        400, 413        a CSR that is not to be signed, or no JSON; too large
        503             the scenario has the authority down, or it can't write down that the token is used
    GET /roots
        200             JSON: number of the `oldest` root that is trusted, `roots` (PEM) from that on

Refused ones, all but those of a scenario's outage, are troubles of the run. A client that is slow, or keeps
silent, is cut off.
"""

from __future__ import annotations

import json
import time
from collections import Counter
from typing import Any, final

from meshsim.live.clock import LiveClock
from meshsim.live.identity.answers import PROVISIONAL
from meshsim.live.identity.signer import UNWRITTEN, Bundle, Request, Signer
from meshsim.live.identity.signing import RequestError, pem
from meshsim.live.troubles import trouble
from meshsim.live.wire import NOBODY, Handler, Limits, RequestHead, ServerConnection, ServerStream
from meshsim.mesh.clock import Event
from meshsim.mesh.proxy import proxy_key
from meshsim.mesh.station import Station
from meshsim.random import CERTIFICATES, SIGN, Key, derive

BODY_BYTES = 8192
LIMITS = Limits(
    head_bytes=4096, headers=20, header_timeout=5.0, stream_idle_timeout=5.0, idle_timeout=30.0,
    handshake_timeout=5.0, handshakes=1024,
)  # fmt: skip
NUMBER_MOST = 1 << 31
"""Of certificates that one proxy may ask for."""
STATUS = {"unknown_token": 401, "used_token": 401, "too_large": 413, UNWRITTEN: 503}
JSON = [(b"content-type", b"application/json")]
DOWN = "down"


def trusted(bundle: Bundle) -> dict[str, Any]:
    """A bundle as it is sent."""
    return {"oldest": bundle.oldest, "roots": [each.decode() for each in bundle.roots]}


@final
class SigningServer(Handler):
    """Answers requests for certificates of a mesh with a `seed`; `station` is what signing takes.

    Attributes:
        down: whether the scenario has it down.
        signed: how many certificates it has signed since time 0, but for those of time 0.
        refused: requests, by reason; ``down`` are the scenario's.
        held: requests that wait, or are being signed, in order.
    """

    held: dict[Asking, None]

    def __init__(self, clock: LiveClock, signer: Signer, station: Station, seed: int) -> None:
        self.clock = clock
        self.signer = signer
        self.station = station
        self.seed = seed
        self.down = False
        self.signed = 0
        self.refusals: Counter[str] = Counter()
        self.held = {}

    def begin(
        self, connection: ServerConnection, head: RequestHead, body: bytes, whole: bool
    ) -> ServerStream:
        if head.page == b"/roots" and head.method == b"GET":
            connection.answer(200, JSON, json.dumps(trusted(self.signer.bundle)).encode())
            return NOBODY
        if head.page != b"/certificate" or head.method != b"POST":
            connection.answer(404, JSON, b'{"error": "no such page"}')
            return NOBODY
        asking = Asking(self, connection)
        asking.body(body)
        if whole:
            asking.complete()
        elif head.expects:
            connection.proceed()
        return asking

    def refused(self, connection: ServerConnection, status: int, why: str) -> None:
        self.count("malformed", why)

    # Requests

    def count(self, reason: str, text: str) -> None:
        """One more request is refused."""
        self.refusals[reason] += 1
        if reason != DOWN:
            trouble(f"the certificate authority has refused a request: {text or reason}")

    def key(self, request: Request) -> Key:
        """That of a certificate's draws."""
        return derive(derive(proxy_key(self.seed, request.holder.number), CERTIFICATES), request.number)

    def go_down(self) -> None:
        """The scenario has it down: what it holds is refused, in order."""
        self.down = True
        self.station.drop()
        held, self.held = self.held, {}
        for asking in held:
            asking.refuse(503, DOWN, "")

    def come_up(self) -> None:
        """It signs again."""
        self.down = False


@final
class Asking(Event):
    """A request for a certificate, until it is answered; as an event, the end of signing.

    It has the methods of a `ServerStream`.
    """

    request: Request | None

    def __init__(self, server: SigningServer, connection: ServerConnection) -> None:
        self.server = server
        self.connection = connection
        self.request = None
        self.data = b""
        self.over = False

    def body(self, data: bytes) -> None:
        """More of the request's body."""
        self.data += data
        if len(self.data) > BODY_BYTES:
            self.refuse(413, "too_large", "a body that is too large")

    def complete(self) -> None:
        """The request is whole."""
        if self.over:
            return
        try:
            number = self.read()
        except RequestError as error:
            self.refuse(STATUS.get(error.reason, 400), error.reason, str(error))
            return
        now = self.server.clock.now()
        if number == 0:  # there from the beginning: nobody has to wait for it
            self.sign(0.0 if self.server.signer.wall is not None else PROVISIONAL)
        elif self.server.down:
            self.refuse(503, DOWN, "")
        else:
            self.server.held[self] = None
            self.queue(now)

    def read(self) -> int:
        """Reads it, and returns its number."""
        try:
            fields = json.loads(self.data)
            token, following, csr = (fields[name] for name in ("token", "next", "csr"))
            number = fields["number"]
        except (ValueError, TypeError, KeyError, RecursionError):
            raise RequestError("malformed", "no JSON of a request") from None
        words = all(isinstance(each, str) for each in (token, following, csr))
        if not words or type(number) is not int or not 0 <= number <= NUMBER_MOST:
            raise RequestError("malformed", "no JSON of a request")
        data = csr.encode("utf-8", "replace")
        self.request = self.server.signer.read(token, following, number, data)
        return number

    def queue(self, now: float) -> None:
        """Has it signed when its turn comes."""
        assert self.request is not None, "it has been read"
        if self.server.station.free:
            self.fire(0, now)
        else:
            self.server.station.enter(self, 0, self.server.key(self.request), SIGN, now)

    def fire(self, step: int, now: float) -> None:
        self.server.held.pop(self, None)
        if not self.over:
            self.server.signed += 1
            self.sign(now)

    def sign(self, signed: float) -> None:
        """Answers with a certificate, signed at a scenario time."""
        assert self.request is not None, "it has been read"
        signer = self.server.signer
        certificate = signer.sign(self.request, signed, time.time())
        answer = {"certificate": pem(certificate).decode(), "signed": signed, **trusted(signer.bundle)}
        self.over = True
        self.connection.answer(200, JSON, json.dumps(answer).encode())

    def refuse(self, status: int, reason: str, text: str) -> None:
        """Answers that there is no certificate."""
        if not self.over:
            self.over = True
            self.server.count(reason, text)
            self.connection.answer(status, JSON, json.dumps({"error": reason}).encode())

    def gone(self) -> None:
        """Nobody waits for it any more: it leaves the queue; what a worker has begun is done in vain."""
        self.over = True
        if self in self.server.held:
            del self.server.held[self]
            self.server.station.withdraw(self)

    def broken(self, status: int, why: str) -> None:
        """What came of its body is no body."""
        self.server.count("malformed", why)
        self.gone()

    def stalled(self) -> None:
        """Nothing more of it comes."""
        if self.request is None and not self.over:
            self.server.count("slow", "slow")
            self.gone()
            self.connection.abort()

    def writable(self, yes: bool) -> None:
        """Answers are short."""

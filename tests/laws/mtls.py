"""Laws of mTLS (SEMANTICS 7 and DESIGN's last section): who refuses whom, and what the caller sees of it.

With TLS 1.3 a caller is done before the upstream has looked at its certificate. So what the caller refuses is
a failed connection (503 UF), and what the upstream refuses breaks an open one (503 UC).

SPIFFE wants a certificate with two identities to be refused, as meshsim's proxy does; Envoy looks for one
that is right.
"""

from __future__ import annotations

import asyncio
import contextlib
import ssl
import tempfile
from dataclasses import dataclass, field
from typing import Any

from codes import EJECTING, retries
from cryptography.hazmat.primitives.serialization import Encoding
from findings import Finding
from subjects import CALLEE, Running, Service, Subject
from traffic import LOOPBACK, Answer, Connection, Host, Reply, always, ask

from meshsim.live.tls.context import Credentials
from meshsim.scenario.identity import uri_of
from tests.live.tls.pki import Authority, pem

LAW = "mTLS"
AUTHORITY, OTHER = Authority("root 0"), Authority("root 1")
HANDSHAKE_LIMIT = 0.3
"""Of a handshake that does not go on, s."""
FOREIGN = "spiffe://elsewhere.test/ns/default/sa/client"
ROOT_LEAF = (True, *[False] * 4, True, True, False, False)
"""The key usage of a CA that signs messages too."""
SVID = {"ca": True, "usage": ROOT_LEAF}


# ---- the caller's side ------------------------------------------------------------------------------


class TlsHost(Host):
    """An upstream host that speaks TLS, with credentials of the law's choice."""

    def __init__(self, credentials: Credentials, version: str = "TLSv1_3") -> None:
        super().__init__(always(Reply()))
        self.credentials = credentials
        self.version = version

    async def open(self) -> None:
        context = context_of(ssl.PROTOCOL_TLS_SERVER, self.credentials)
        context.minimum_version = ssl.TLSVersion.TLSv1_2
        context.maximum_version = ssl.TLSVersion[self.version]
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self.served, LOOPBACK, 0, backlog=1024, ssl=context)
        self.address = self._server.sockets[0].getsockname()


def context_of(protocol: int, credentials: Credentials) -> ssl.SSLContext:
    """TLS of the standard library: it shows a certificate, and wants one of its roots, whoever's."""
    context = ssl.SSLContext(protocol)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_REQUIRED
    for root in credentials.roots:
        context.load_verify_locations(cadata=root.public_bytes(Encoding.DER))
    with tempfile.NamedTemporaryFile() as file:
        file.write(pem(credentials))
        file.flush()
        context.load_cert_chain(file.name)
    return context


def good(service: str, **how: Any) -> TlsHost:
    """An upstream host of a service; `how` its certificate is otherwise than right is as for `leaf`."""
    by, version = how.pop("by", AUTHORITY), how.pop("version", "TLSv1_3")
    return TlsHost(by.leaf(service, **{"roots": [AUTHORITY], **how}), version)


def plain(service: str, **how: Any) -> Host:
    """An upstream host that does not speak TLS; it never answers what it does not understand."""
    return Host()


class Deaf(Host):
    """An upstream host that closes every connection at once."""

    def served(self) -> Any:
        return Closing()


class Closing(asyncio.Protocol):
    """A connection that is closed as soon as anything comes."""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.transport.close()


def deaf(service: str, **how: Any) -> Host:
    """An upstream host that closes a connection when TLS begins."""
    return Deaf()


REFUSING: dict[str, Any] = {"roots": [OTHER]}
"""An upstream that does not trust the caller's root."""
UNKNOWN: dict[str, Any] = {"by": OTHER}
"""An upstream whose root the caller does not trust."""
RETRIED = ("connect-failure", "reset", "refused-stream", "reset-before-request", "gateway-error", "5xx")


@dataclass(frozen=True)
class Case:
    """An upstream, and what a request to it becomes: status, flags and tries, as ``503 UF 1``."""

    name: str
    expected: str
    how: dict[str, Any] = field(default_factory=dict)
    policy: dict[str, Any] = field(default_factory=dict)
    host: Any = good
    first: int = 0


CASES = [
    Case("upstream is who it should be", "200 - 1"),
    Case("upstream's root is not trusted", "503 UF 1", UNKNOWN),
    Case("upstream's certificate has expired", "503 UF 1", {"begin": -7200.0, "end": -3600.0}),
    Case("upstream's certificate is not valid yet", "503 UF 1", {"begin": 3600.0, "end": 7200.0}),
    Case("upstream is another service", "503 UF 1", {"uris": [uri_of("other")]}),
    Case("upstream has no identity", "503 UF 1", {"uris": []}),
    Case("upstream has two identities, the first right", "?", {"uris": ["*", uri_of("other")]}),
    Case("upstream's certificate is a CA's", "503 UF 1", SVID),
    Case("upstream has no TLS above 1.2", "503 UF 1", {"version": "TLSv1_2"}),
    Case("upstream closes when TLS begins", "503 UF 1", host=deaf),
    Case("upstream waits for plaintext; connect_timeout of 300 ms", "503 UF 1", host=plain,
         policy={"connection": {"connect_timeout": f"{HANDSHAKE_LIMIT}s"}}),
    Case("upstream refuses the caller", "503 UC 1", REFUSING),
    *(Case(f"upstream's root is not trusted, 1 retry on {on}", "503 URX,UF 2" if retried else "503 UF 1",
           UNKNOWN, retries(1, on))
      for on, retried in zip(RETRIED, (True, True, False, True, True, True), strict=True)),
    *(Case(f"upstream refuses the caller, 1 retry on {on}", "503 URX,UC 2" if retried else "503 UC 1",
           REFUSING, retries(1, on))
      for on, retried in zip(RETRIED, (False, True, False, False, True, True), strict=True)),
    Case("ejected after one that was not trusted", "503 UH 0", UNKNOWN, EJECTING, first=1),
    Case("ejected after one that refused the caller", "503 UH 0", REFUSING, EJECTING, first=1),
]  # fmt: skip


async def measure(subject: Subject) -> list[Finding]:
    """What either side refuses, and what the caller sees of it."""
    subject.mesh = {"dataplane": "sidecar", "mtls": {}}
    return [*await _callers(subject), *await _callees(subject)]


async def _callers(subject: Subject) -> list[Finding]:
    names = [f"case-{number}" for number in range(len(CASES))]
    services = {
        name: Service.of(case.policy, _host(case, name)) for name, case in zip(names, CASES, strict=True)
    }
    async with subject.run(services, AUTHORITY.leaf("client")) as running:
        answers = []
        for name, case in zip(names, CASES, strict=True):
            for _ in range(case.first):
                await ask(running.urls[name])
                await asyncio.sleep(0.05)
            answers.append(await asyncio.wait_for(ask(running.urls[name]), 10.0))
        await asyncio.sleep(0.1)
    return [_judged(case, answer, running) for case, answer in zip(CASES, answers, strict=True)]


def _host(case: Case, service: str) -> Host:
    how = dict(case.how)
    if "uris" in how:
        how["uris"] = [uri_of(service) if uri == "*" else uri for uri in how["uris"]]
    host: Host = case.host(service, **how)
    return host


def _judged(case: Case, answer: Answer, running: Running) -> Finding:
    row = running.log[answer.key]
    shown = f"{row.status} {row.flags or '-'} {row.attempts}"
    return Finding(LAW, case.name, case.expected, shown, case.expected in ("?", shown))


# ---- the callee's side ------------------------------------------------------------------------------

SERVED, CLOSED = "200", "closed"
CALLERS: dict[str, tuple[str, dict[str, Any]]] = {
    "a member": (SERVED, {}),
    "a root that is not trusted": (CLOSED, {"by": OTHER}),
    "expired": (CLOSED, {"begin": -7200.0, "end": -3600.0}),
    "not valid yet": (CLOSED, {"begin": 3600.0, "end": 7200.0}),
    "another trust domain": (CLOSED, {"uris": [FOREIGN]}),
    "no identity": (CLOSED, {"uris": []}),
    "two identities": ("?", {"uris": [uri_of("client"), uri_of("other")]}),
    "a CA's certificate": (CLOSED, SVID),
    "no certificate": (CLOSED, {"silent": True}),
    "TLS 1.2": (CLOSED, {"version": "TLSv1_2"}),
}
"""Who asks, and what becomes of it."""
MODES = {"strict": (CLOSED, SERVED), "permissive": (SERVED, SERVED), "disable": (SERVED, CLOSED)}
"""What becomes of plaintext, and of a member's mTLS."""


async def _callees(subject: Subject) -> list[Finding]:
    found = []
    for mode, (plaintext, mutual) in MODES.items():
        async with subject.serve(Host(), mode, AUTHORITY.leaf(CALLEE)) as running:
            asked = {"plaintext": (plaintext, None), "mTLS": (mutual, {})}
            if mode == "strict":
                asked |= {f"caller: {who}": each for who, each in CALLERS.items()}
            for who, (expected, how) in asked.items():
                status = await _ask_as(running.inbound, how)
                shown = str(status) if status else CLOSED
                found.append(Finding(LAW, f"{mode}: {who}", expected, shown, expected in ("?", shown)))
    return found


async def _ask_as(port: int, how: dict[str, Any] | None) -> int:
    """The status of an answer to somebody; 0 where there is none. None is plaintext."""
    if how is None:
        return (await ask(port)).status
    return await ask_with(port, "client", **how)


async def ask_with(port: int, service: str, path: str = "/", method: str = "GET", **how: Any) -> int:
    """The status of an answer to a service, whose certificate is as `good`'s; 0 where there is none."""
    by, version = how.pop("by", AUTHORITY), how.pop("version", "TLSv1_3")
    silent = how.pop("silent", False)
    context = context_of(ssl.PROTOCOL_TLS_CLIENT, by.leaf(service, **{"roots": [AUTHORITY], **how}))
    if silent:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    context.maximum_version = ssl.TLSVersion[version]
    with contextlib.suppress(ConnectionError, ssl.SSLError, TimeoutError):
        async with asyncio.timeout(5.0):
            client = Connection(*await asyncio.open_connection(LOOPBACK, port, ssl=context))
            answer = await client.ask(page=f"{method} {path}")
            client.writer.transport.abort()
        return answer.status
    return 0

"""Law (a): what each failure becomes: status, flags and tries (SEMANTICS 2.1, 3).

Tries are those that were sent, which is what `call_row` makes of the count in Envoy's access log. Where
Envoy does something else than SEMANTICS says, the case has what Envoy does, and docs/background/laws.md the
story.
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from findings import Finding
from subjects import Running, Service, Subject
from traffic import Answer, Connection, Host, Reply, ask, in_turn, new_key

LAW = "codes and flags"
REFUSED = "refused"
SILENT, CLOSED, GARBAGE = Reply(silent=True), Reply(close=True), Reply(raw=b"this is no HTTP\r\n\r\n")
HEAD = b"HTTP/1.1 200 OK\r\n"
HALF = Reply(raw=HEAD + b"content-len")
CUT = Reply(raw=HEAD + b"content-length: 100\r\n\r\nbut then")
CHUNKED = Reply(raw=HEAD + b"transfer-encoding: chunked\r\n\r\n8\r\nbut then\r\n")
RESET = Reply(raw=HEAD + b"content-length: 100\r\n\r\nbut then", reset=True)
OK, BAD, BUSY, CONFLICT = Reply(), Reply(500), Reply(503), Reply(409)
DENIED = Reply(403)
LIMITED = Reply(503, headers="x-envoy-ratelimited: true\r\n")
MOMENT = 0.1
"""Long enough for what was sent to have arrived, s."""
AT_ONCE = 30
"""So many cases share a proxy: an Envoy needs an inotify instance for each, and users have 128, as a rule."""


@dataclass(frozen=True)
class Case:
    """A failure and what becomes of it.

    Attributes:
        name: what is done.
        expected: status, flags and tries, as ``503 UF 1``; what SEMANTICS does not say is ``?``.
        replies: of the host, in turn; `REFUSED` is a host that does not listen.
        policy: of the route.
        first: requests before the one that counts, each awaited.
        beside: requests before it that are not awaited.
        leaves: the client hangs up instead of waiting.
        header: what the answer's head must contain.
        unknown: the request goes to a host that nobody knows.
        quick: the longest it may take, s.
    """

    name: str
    expected: str
    replies: Any
    policy: dict[str, Any] = field(default_factory=dict)
    first: int = 0
    beside: int = 0
    leaves: bool = False
    header: str = ""
    unknown: bool = False
    quick: float = 5.0


def retries(attempts: int, *on: str | int, **more: Any) -> dict[str, Any]:
    """A retry policy that does not wait, on conditions and statuses."""
    conditions = {
        "on": [each for each in on if isinstance(each, str)],
        "statuses": [each for each in on if isinstance(each, int)],
    }
    given = {key: each for key, each in conditions.items() if each}
    return {"retries": {"attempts": attempts, "backoff": {"base": "0s"}, **given, **more}}


EJECTING = {
    "outlier_detection": {
        "consecutive_5xx": 1, "interval": "60s", "base_ejection_time": "60s", "max_ejection_percent": "100%",
    }
}  # fmt: skip
TRY = {"per_try_timeout": "50ms"}

CASES = [
    Case("answered", "200 - 1", [OK]),
    Case("no route", "404 NR 0", [OK], unknown=True),
    Case("refused", "503 UF 1", REFUSED),
    *(Case(f"refused, 2 retries on {on}", "503 URX,UF 3", REFUSED, retries(2, on))
      for on in ("connect-failure", "5xx", "gateway-error", "reset", "reset-before-request")),
    *(Case(f"refused, 2 retries on {on}", "503 UF 1", REFUSED, retries(2, on))
      for on in ("refused-stream", "retriable-4xx")),
    Case("refused, 0 retries on 5xx", "503 URX,UF 1", REFUSED, retries(0, "5xx")),
    Case("closed after the request", "503 UC 1", [CLOSED]),
    *(Case(f"closed, 2 retries on {on}", "503 URX,UC 3", [CLOSED], retries(2, on))
      for on in ("5xx", "gateway-error", "reset")),
    *(Case(f"closed, 2 retries on {on}", "503 UC 1", [CLOSED], retries(2, on))
      for on in ("connect-failure", "reset-before-request")),
    Case("closed, then answered; 1 retry on reset", "200 - 2", [CLOSED, OK], retries(1, "reset")),
    Case("garbage", "502 UPE 1", [GARBAGE]),
    Case("garbage, 2 retries on 5xx", "502 URX,UPE 3", [GARBAGE], retries(2, "5xx")),
    Case("closed in the head", "502 UPE 1", [HALF]),
    Case("closed in the head, 2 retries on 5xx", "502 URX,UPE 3", [HALF], retries(2, "5xx")),
    Case("closed at the end of a body without length", "200 - 1", [Reply(raw=HEAD + b"\r\nthat is all")]),
    Case("closed in a body of known length", "200 UPE 1", [CUT], retries(2, "5xx", "reset")),
    Case("closed in a chunked body", "200 UPE 1", [CHUNKED], retries(2, "5xx", "reset")),
    Case("reset in a body without length", "200 ? 1", [Reply(raw=HEAD + b"\r\nbut then", reset=True)]),
    Case("reset in the body", "200 UPE 1", [RESET], retries(2, "5xx", "reset")),
    Case("reset after the request, 2 retries on reset", "503 URX,UC 3", [Reply(reset=True)],
         retries(2, "reset")),
    Case("500", "500 - 1", [BAD]),
    Case("500, 2 retries on 5xx", "500 URX 3", [BAD], retries(2, "5xx")),
    Case("500, 0 retries on 5xx", "500 URX 1", [BAD], retries(0, "5xx")),
    Case("500, 2 retries on gateway-error", "500 - 1", [BAD], retries(2, "gateway-error")),
    Case("500, 2 retries on reset", "500 - 1", [BAD], retries(2, "reset")),
    Case("500, then answered; 2 retries on 5xx", "200 - 2", [BAD, OK], retries(2, "5xx")),
    Case("503, 2 retries on gateway-error", "503 URX 3", [BUSY], retries(2, "gateway-error")),
    Case("409, 2 retries on retriable-4xx", "409 URX 3", [CONFLICT], retries(2, "retriable-4xx")),
    Case("409, 2 retries on 5xx", "409 - 1", [CONFLICT], retries(2, "5xx")),
    Case("503 with x-envoy-ratelimited, 2 retries on 5xx", "503 - 1", [LIMITED], retries(2, "5xx")),
    Case("503, then answered; 2 retries on status 503", "200 - 2", [BUSY, OK], retries(2, 503)),
    Case("503, 2 retries on statuses 429 and 503", "503 URX 3", [BUSY], retries(2, 429, 503)),
    Case("500, 2 retries on status 503", "500 - 1", [BAD], retries(2, 503)),
    Case("200, 2 retries on status 200", "200 URX 3", [OK], retries(2, 200)),
    Case("refused, 2 retries on status 503", "503 UF 1", REFUSED, retries(2, 503)),
    Case("closed, 2 retries on status 503", "503 UC 1", [CLOSED], retries(2, 503)),
    Case("garbage, 2 retries on status 502", "502 UPE 1", [GARBAGE], retries(2, 502)),
    Case("no answer, per-try time-out, 2 retries on status 504", "504 UT 1", [SILENT],
         retries(2, 504, **TRY)),
    Case("503 with x-envoy-ratelimited, 2 retries on status 503", "503 - 1", [LIMITED], retries(2, 503)),
    Case("the same on envoy-ratelimited", "503 URX 3", [LIMITED], retries(2, "envoy-ratelimited")),
    Case("no answer, route time-out", "504 UT 1", [SILENT], {"timeout": "100ms"}, quick=0.5),
    Case("no answer, route time-out, 2 retries on 5xx", "504 UT 1", [SILENT],
         {"timeout": "100ms", **retries(2, "5xx")}, quick=0.5),
    *(Case(f"no answer, per-try time-out, 1 retry on {on}", "504 URX,UT 2", [SILENT], retries(1, on, **TRY))
      for on in ("5xx", "gateway-error", "reset")),
    Case("no answer, per-try time-out, 1 retry on connect-failure", "504 UT 1", [SILENT],
         retries(1, "connect-failure", **TRY)),
    Case("no answer, then answered; per-try time-out", "200 - 2", [SILENT, OK], retries(1, "5xx", **TRY)),
    Case("no answer, then answered; hedge after 50 ms", "200 - 2", [SILENT, OK],
         {"hedge": {"after": "50ms"}}),
    Case("no answer ever, 2 hedges, route time-out of 250 ms", "504 ? 3", [SILENT],
         {"hedge": {"after": "50ms", "max": 2}, "timeout": "250ms"}, quick=0.5),
    Case("queued for 100 ms, answered in 200 ms; per-try time-out of 250 ms", "200 - 1", [Reply(after=0.2)],
         {"circuit_breaker": {"max_connections": 1}, **retries(1, "5xx", per_try_timeout="250ms")}, beside=1),
    Case("queued for 150 ms, no answer, route time-out of 250 ms", "504 UT 1", [SILENT],
         {"circuit_breaker": {"max_connections": 1}, "timeout": "250ms"}, beside=1, quick=0.5),
    Case("queued behind no answer, client gone", "0 DC ?", [SILENT],
         {"circuit_breaker": {"max_connections": 1}}, beside=1, leaves=True),
    Case("route time-out during a back-off of up to 60 s", "504 UT 1", [BAD],
         {"timeout": "100ms", **retries(1, "5xx", backoff={"base": "60s"})}, quick=0.5),
    Case("all hosts ejected", "503 UH 0", [BAD], EJECTING, first=1),
    Case("all hosts ejected by the first try, 1 retry on 5xx", "503 UH 1", [BAD],
         {**EJECTING, **retries(1, "5xx", backoff={"base": "1s"})}),  # without a wait Envoy may not know yet
    Case("one in flight, max_requests 1", "503 UO 0", [SILENT], {"circuit_breaker": {"max_requests": 1}},
         beside=1, header="x-envoy-overloaded: true"),
    Case("one in flight, max_requests 1, 2 retries on 5xx", "503 UO 0", [SILENT],
         {"circuit_breaker": {"max_requests": 1}, **retries(2, "5xx", "reset")}, beside=1),
    Case("max_pending 0", "503 UO 0", [OK], {"circuit_breaker": {"max_pending": 0}}),
    Case("500, max_retries 0, 2 retries on 5xx", "500 UO 1", [BAD],
         {"circuit_breaker": {"max_retries": 0}, **retries(2, "5xx")}),
    Case("refused, max_retries 0, 2 retries on 5xx", "503 UO,UF 1", REFUSED,
         {"circuit_breaker": {"max_retries": 0}, **retries(2, "5xx")}),
    Case("403, 1 retry on every condition", "403 - 1", [DENIED],
         retries(1, "5xx", "gateway-error", "reset", "connect-failure", "refused-stream", "retriable-4xx")),
    Case("403, 1 retry on status 403", "403 URX 2", [DENIED], retries(1, 403)),
    Case("403 after one that would have ejected, were it a 5xx", "403 - 1", [DENIED], EJECTING, first=1),
    Case("abort injected", "418 FI 0", [OK], {"fault": {"abort": {"status": 418}}, **retries(2, "5xx")}),
    Case("abort of 503 injected, 2 retries on 5xx", "503 FI 0", [OK],
         {"fault": {"abort": {"status": 503}}, **retries(2, "5xx")}),
    Case("delay injected", "200 DI 1", [OK], {"fault": {"delay": {"time": "50ms"}}}),
    Case("delay of 150 ms injected, route time-out of 100 ms", "200 DI 1", [OK],
         {"fault": {"delay": {"time": "150ms"}}, "timeout": "100ms"}),
    Case("delay and abort injected", "503 DI,FI 0", [OK],
         {"fault": {"delay": {"time": "50ms"}, "abort": {"status": 503}}}),
    Case("rate limited", "429 RL 0", [OK], {"rate_limit": {"burst": 1, "rate": "1/m"}, **retries(2, "5xx")},
         first=1),
    Case("delay injected, then rate limited", "429 DI,RL 0", [OK],
         {"fault": {"delay": {"time": "50ms"}}, "rate_limit": {"burst": 1, "rate": "1/m"}}, first=1),
    Case("abort injected, rate limited", "503 FI 0", [OK],
         {"fault": {"abort": {"status": 503}}, "rate_limit": {"burst": 1, "rate": "1/m"}}, first=1),
    Case("client gone", "0 DC 1", [SILENT], leaves=True),
    Case("client gone during a back-off", "0 DC 1", [BAD],
         retries(1, "5xx", backoff={"base": "60s"}), leaves=True),
]  # fmt: skip


async def measure(subject: Subject) -> list[Finding]:
    """Forces every failure once, each on a service of its own."""
    found = []
    for first in range(0, len(CASES), AT_ONCE):
        found += await _measure(subject, CASES[first : first + AT_ONCE])
    return found


async def _measure(subject: Subject, cases: Sequence[Case]) -> list[Finding]:
    hosts = [Host(refuses=True) if case.replies is REFUSED else Host(in_turn(case.replies)) for case in cases]
    names = [f"case-{number}" for number in range(len(cases))]
    services = {
        name: Service.of(case.policy, host) for name, case, host in zip(names, cases, hosts, strict=True)
    }
    async with subject.run(services) as running:
        tasks = [_ask(case, running, name) for case, name in zip(cases, names, strict=True)]
        answers = await asyncio.gather(*tasks)
        await asyncio.sleep(MOMENT)
    return [_judge(case, answer, running) for case, answer in zip(cases, answers, strict=True)]


async def _ask(case: Case, running: Running, name: str) -> Answer:
    """The answer to the request that counts."""
    port = running.outbound if case.unknown else running.urls[name]
    for _ in range(case.first):
        await ask(port)
    beside = [await Connection.open(port) for _ in range(case.beside)]
    for connection in beside:
        connection.send(new_key())
    await asyncio.sleep(MOMENT if beside else 0)
    connection = await Connection.open(port)
    key = new_key()
    if case.leaves:
        connection.send(key)
        await asyncio.sleep(MOMENT)
        answer = Answer(key, 0, "", 0.0)
    else:
        answer = await asyncio.wait_for(connection.ask(key, "nobody" if case.unknown else "laws"), 10)
    for each in (connection, *beside):
        await each.close()
    return answer


def _judge(case: Case, answer: Answer, running: Running) -> Finding:
    row = running.log.get(answer.key)
    if row is None:
        return Finding(LAW, case.name, case.expected, f"{answer.status}, not in the log", agrees=False)
    shown = f"{row.status} {row.flags or '-'} {row.attempts}"
    wanted, found = case.expected.split(), shown.split()
    agrees = all(said in ("?", had) for said, had in zip(wanted, found, strict=True))
    if answer.status != row.status:
        shown, agrees = f"{shown}, but the client got {answer.status or 'nothing'}", False
    if case.header not in answer.head:
        shown, agrees = f"{shown}, without {case.header}", False
    if answer.took > case.quick:
        shown, agrees = f"{shown} after {answer.took:.1f} s", False
    return Finding(LAW, case.name, case.expected, shown, agrees)

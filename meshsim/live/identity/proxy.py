"""The identity of one proxy: its key, its certificate, whom it trusts; renewed while requests pass.

A key is made here for each certificate and stays here. A question to the authority and its answer take place
beside the requests; when the answer is good, new handshakes use it, and open connections go on with what they
have. When it is not, what there was stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import replace
from typing import Any, final

import numpy as np
from cryptography.hazmat.primitives.asymmetric import ec
from numpy.typing import NDArray
from OpenSSL import SSL

from meshsim.live.clock import LiveClock
from meshsim.live.identity.answers import PROVISIONAL, Answer, AnswerError, fields_of, read_answer, read_roots
from meshsim.live.identity.client import AuthorityClient
from meshsim.live.identity.signing import new_key, pem, request
from meshsim.live.referral import Referral
from meshsim.live.secret import hashed, new_token
from meshsim.live.tls.context import Credentials, Tls
from meshsim.live.troubles import trouble
from meshsim.mesh.certificate import Agent, Issuer
from meshsim.mesh.clock import Event
from meshsim.mesh.recorder import Recorder
from meshsim.mesh.station import Station
from meshsim.random import CERTIFICATES, PUSH, Key, derive
from meshsim.scenario.events import root_generations
from meshsim.scenario.model import Scenario
from meshsim.scenario.parts import renewal

AHEAD = 1.0
"""So much later than now a certificate may have been signed, s: processes hear of time 0 one by one."""
AGAIN = 0.05
"""Until the authority is asked again for what it can't know yet, s."""
PATIENCE = 100
"""So many times."""


class _Wish:
    """What a certificate is asked for with, until there is one: a key, its CSR, a token and the next."""

    def __init__(self, name: str, token: str) -> None:
        self.key = new_key()
        self.csr = pem(request(self.key, name))
        self.token = token
        self.following = new_token()


class ProxyIdentity(Issuer):
    """The certificates of a proxy that is called `name`, as its `tls` uses them.

    Attributes:
        events: what has happened: (scenario time, s, what, as `meshsim.mesh.certificate` numbers it).
        answer: the certificate in use, and the roots that are trusted.
    """

    answer: Answer | None
    agent: Agent | None

    def __init__(self, clock: LiveClock, tls: Tls, name: str, enrolment: Referral) -> None:
        self.clock = clock
        self.tls = tls
        self.name = name
        self.client = AuthorityClient(enrolment.address, enrolment.root.encode())
        self.events: list[tuple[float, int]] = []
        self.answer = None
        self.agent = None
        self._closed = False
        self._wish = _Wish(name, enrolment.token)
        self._key = self._wish.key
        self._one_at_a_time = asyncio.Lock()
        self._asking: asyncio.Task[None] | None = None
        self._learning: set[asyncio.Task[None]] = set()

    # What the authority says

    async def obtain(self, number: int) -> Answer:
        """Asks for a certificate, and uses it from here on; an AnswerError if there is none."""
        async with self._one_at_a_time:
            wish, before = self._wish, self.answer
            data = await self.client.certificate(wish.token, hashed(wish.following), number, wish.csr)
            known = {} if before is None else before.roots
            last = None if before is None else before.certificate
            answer = read_answer(data, wish.key, self.name, known, last)
            if not PROVISIONAL <= answer.signed <= max(self.clock.now(), 0.0) + AHEAD:
                raise AnswerError("garbage", "signed at no time that has been")
            self._use(answer, wish.key)
            self._wish = _Wish(self.name, wish.following)
            return answer

    def _use(self, answer: Answer, key: ec.EllipticCurvePrivateKey) -> None:
        """Has it used from here on; where that fails, what there was stays, and is asked for again."""
        try:
            self.tls.renew(Credentials(answer.certificate, key, tuple(answer.roots.values())))
        except (ValueError, SSL.Error) as error:
            raise AnswerError("unusable", str(error)) from None
        self.answer, self._key = answer, key

    async def enrol(self) -> None:
        """Gets a first certificate, before there is a scenario time; an AnswerError if there is none."""
        await self.obtain(0)

    async def _obtain_first(self, agent: Agent) -> None:
        """Gets that which is signed at time 0, unless a younger one is there before."""
        for _ in range(PATIENCE):
            try:
                if agent.held != 0 or (await self.obtain(0)).signed != PROVISIONAL:
                    return
            except AnswerError as error:
                trouble(f"no certificate for time 0: {error}")
            await asyncio.sleep(AGAIN)

    async def _learn(self, enough: Callable[[Mapping[int, Any]], bool]) -> None:
        """Has the authority say what is trusted, until that is as it should be by now."""
        for _ in range(PATIENCE):
            try:
                data = await self.client.roots()
                if self.answer is not None:
                    roots = read_roots(fields_of(data), self.answer.roots)
                    if roots != self.answer.roots:
                        self._use(replace(self.answer, roots=roots), self._key)
                    if enough(roots):
                        return
            except AnswerError as error:
                trouble(f"roots were not learned: {error}")
            await asyncio.sleep(AGAIN)

    # When it is asked

    def start(self, scenario: Scenario, key: Key) -> None:
        """Scenario time is known: gets the certificate of time 0, and renews it from then on.

        `key` is that of the proxy's draws.
        """
        agent = self._begin(scenario, key)
        agent.begin(0.0)
        self._spawn(self._obtain_first(agent))

    async def join(self, scenario: Scenario, key: Key) -> None:
        """As `start`, in a mesh that runs: returns when it has its first certificate, signed since."""
        agent = self._begin(scenario, key)
        first = asyncio.Event()
        agent.restart(Return(first.set), self.clock.now())
        await first.wait()

    def _begin(self, scenario: Scenario, key: Key) -> Agent:
        mtls = scenario.mesh.mtls
        assert mtls is not None, "else nobody has an identity"
        own = derive(key, CERTIFICATES)
        self.agent = Agent(
            self.clock, Notes(self.events), self, renewal(mtls), 0, own, Station(), None, 0
        )  # fmt: skip
        self._hear_of_roots(scenario, key)
        return self.agent

    def _hear_of_roots(self, scenario: Scenario, key: Key) -> None:
        """The control plane says when there are other roots."""
        delay = scenario.mesh.push_delay.build()
        for number, generation in root_generations(scenario.events).items():
            event, own = scenario.events[number], derive(key, number)
            learns = event.at + delay.draw(own, PUSH)
            self.clock.at(learns, Lesson(self, generation, drops=False), 0)
            drops = event.at + event.overlap + delay.draw(derive(own, 1), PUSH)
            self.clock.at(drops, Lesson(self, generation, drops=True), 0)

    def gone(self, disappear: Callable[[], None]) -> Callable[[], None]:
        """What happens when its replica goes down: `disappear`, and it has no certificate any more."""

        def both() -> None:
            disappear()
            if self.agent is not None:
                self.agent.stop()
                self._stop_asking()

        return both

    def back(self, reopen: Callable[[], None]) -> Callable[[], None]:
        """What happens when its replica would be up: it asks for a certificate, and then `reopen`."""

        def ask() -> None:
            assert self.agent is not None, "it has begun"
            self.agent.restart(Return(reopen), self.clock.now())

        return ask

    def learn(self, generation: int, *, drops: bool) -> None:
        """A root is pushed to it, or that those before it are not trusted any more."""
        if not self._closed:
            self._spawn(self._learn(lambda roots: (min if drops else max)(roots) >= generation))

    def ask(self, agent: Agent, number: int, now: float) -> None:
        self._stop_asking()
        self._asking = asyncio.get_running_loop().create_task(self._ask(agent, number))

    def stop(self, agent: Agent, number: int) -> None:
        """Nothing is wanted any more."""
        self._stop_asking()

    def _stop_asking(self) -> None:
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()

    async def _ask(self, agent: Agent, number: int) -> None:
        try:
            answer = await self.obtain(number)
        except AnswerError as error:
            if error.reason != "down":
                trouble(f"a certificate was not renewed: {error}")
            agent.refused(self.clock.now())
        else:
            agent.signed(answer.root, min(answer.roots), answer.signed)

    def rows(self) -> dict[str, NDArray[Any]]:
        """What has happened, as a table."""
        return {
            "certificates.time": np.array([time for time, _ in self.events], dtype=np.float64),
            "certificates.what": np.array([what for _, what in self.events], dtype=np.int64),
        }

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._learning.add(task)
        task.add_done_callback(self._learning.discard)

    def close(self) -> None:
        """Asks for nothing any more, whatever was to come."""
        self._closed = True
        if self.agent is not None:
            self.agent.stop()
        self._stop_asking()
        for task in self._learning:
            task.cancel()


@final
class Notes(Recorder):
    """Takes note of what becomes of certificates."""

    def __init__(self, events: list[tuple[float, int]]) -> None:
        super().__init__()
        self.events = events

    def certificate(self, proxy: int, what: int, now: float) -> None:
        self.events.append((now, what))


@final
class Return(Event):
    """A replica has its certificate: it is back."""

    def __init__(self, reopen: Callable[[], None]) -> None:
        self.reopen = reopen

    def fire(self, step: int, now: float) -> None:
        self.reopen()


@final
class Lesson(Event):
    """The word about the root of a generation, on its way to a proxy."""

    def __init__(self, identity: ProxyIdentity, generation: int, *, drops: bool) -> None:
        self.identity = identity
        self.generation = generation
        self.drops = drops

    def fire(self, step: int, now: float) -> None:
        self.identity.learn(self.generation, drops=self.drops)

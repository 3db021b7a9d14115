"""The identity of one proxy: its key, its certificate, whom it trusts; renewed while requests pass.

A key is made here for each certificate and stays here. A question to the authority and its answer take place
beside the requests; when the answer is good, new handshakes use it, and open connections go on with what they
have. When it is not, what there was stays.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from meshsim.live.clock import LiveClock
from meshsim.live.identity.agent import Agent, Issuer
from meshsim.live.identity.answers import PROVISIONAL, Answer, AnswerError, fields_of, read_answer, read_roots
from meshsim.live.identity.client import AuthorityClient
from meshsim.live.identity.enrolment import Enrolment
from meshsim.live.identity.signing import new_key, pem, request
from meshsim.live.identity.tokens import hashed, new_token
from meshsim.live.tls.context import Credentials, Tls
from meshsim.live.troubles import trouble
from meshsim.scenario.mesh import Mtls

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
        events: what has happened: (scenario time, s, `agent.SIGNED`, `REFUSED` or `EXPIRED`).
        answer: the certificate in use, and the roots that are trusted.
    """

    answer: Answer | None
    agent: Agent | None

    def __init__(self, clock: LiveClock, tls: Tls, name: str, enrolment: Enrolment) -> None:
        self.clock = clock
        self.tls = tls
        self.name = name
        self.client = AuthorityClient(enrolment.address, enrolment.root.encode())
        self.events: list[tuple[float, str]] = []
        self.answer = None
        self.agent = None
        self._wish = _Wish(name, enrolment.token)
        self._key = self._wish.key
        self._asking: asyncio.Task[None] | None = None
        self._learning: set[asyncio.Task[None]] = set()

    # What the authority says

    async def obtain(self, number: int) -> Answer:
        """Asks for a certificate, and uses it from here on; an AnswerError if there is none."""
        wish, before = self._wish, self.answer
        data = await self.client.certificate(wish.token, hashed(wish.following), number, wish.csr)
        known = {} if before is None else before.roots
        last = None if before is None else before.certificate
        answer = read_answer(data, wish.key, self.name, known, last)
        self._wish = _Wish(self.name, wish.following)
        self._key = wish.key
        self._use(answer)
        return answer

    def _use(self, answer: Answer) -> None:
        self.answer = answer
        self.tls.renew(Credentials(answer.certificate, self._key, tuple(answer.roots.values())))

    async def enrol(self) -> None:
        """Gets a first certificate, before there is a scenario time; an AnswerError if there is none."""
        await self.obtain(0)

    async def _obtain_first(self) -> None:
        """Gets that which is signed at time 0."""
        for _ in range(PATIENCE):
            answer = await self.obtain(0)
            if answer.signed != PROVISIONAL:
                return
            await asyncio.sleep(AGAIN)

    async def _learn(self, enough: Callable[[Mapping[int, Any]], bool]) -> None:
        """Has the authority say what is trusted, until that is as it should be by now."""
        for _ in range(PATIENCE):
            try:
                data = await self.client.roots()
                if self.answer is not None:
                    roots = read_roots(fields_of(data), self.answer.roots)
                    if roots != self.answer.roots:
                        self._use(Answer(self.answer.certificate, self.answer.signed, roots))
                    if enough(roots):
                        return
            except AnswerError as error:
                trouble(f"roots were not learned: {error}")
            await asyncio.sleep(AGAIN)

    # When it is asked

    def start(self, config: Mtls, key: int) -> None:
        """Scenario time is known: gets the certificate of time 0, and renews it from then on."""
        self.agent = Agent(self.clock, config, key, self, self._note)
        self.agent.begin()
        self._spawn(self._first())

    async def _first(self) -> None:
        try:
            await self._obtain_first()
        except AnswerError as error:
            trouble(f"no certificate for time 0: {error}")

    def learn_newest(self, generation: int) -> None:
        """A root is pushed to it."""
        self._spawn(self._learn(lambda roots: max(roots) >= generation))

    def forget_before(self, generation: int) -> None:
        """It is told to trust no roots before this one any more."""
        self._spawn(self._learn(lambda roots: min(roots) >= generation))

    def ask(self, number: int) -> None:
        self.stop()
        self._asking = asyncio.get_running_loop().create_task(self._ask(number))

    def stop(self) -> None:
        asking, self._asking = self._asking, None
        if asking is not None:
            asking.cancel()

    async def _ask(self, number: int) -> None:
        agent = self.agent
        assert agent is not None, "it is who asks"
        try:
            answer = await self.obtain(number)
        except AnswerError as error:
            if error.reason != "down":
                trouble(f"a certificate was not renewed: {error}")
            agent.refused(self.clock.now())
        else:
            agent.signed(answer.signed, self.clock.now())

    def _note(self, now: float, what: str) -> None:
        self.events.append((now, what))

    def _spawn(self, work: Any) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._learning.add(task)
        task.add_done_callback(self._learning.discard)

    def close(self) -> None:
        """Asks for nothing any more."""
        self.stop()
        for task in self._learning:
            task.cancel()

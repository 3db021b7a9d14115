"""How long an answer takes and what it says, from the leaves of the call tree up.

Every time and every failure is drawn independently, so that the answer of a call is built from laws: one
after the other, all of several, the first of several, cut by a time-out, tried again. Only the waits at
stations with a queue come from outside (:mod:`meshsim.theory.recognise.stations`).

Source:
    The model page (docs/background/model.md), step by step.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace

from meshsim.scenario.model import CLIENT, ZERO, CallStep, Policy, SleepStep, Stage, Time
from meshsim.theory.forkjoin import fork_join_sojourn
from meshsim.theory.recognise.connections import connecting
from meshsim.theory.recognise.deep import Steps, flat
from meshsim.theory.recognise.law import Lattice, Law, maximum, mixture
from meshsim.theory.recognise.structure import Key, Structure, Target, UnsolvedError, service_of
from meshsim.theory.recognise.times import law_of
from meshsim.theory.recognise.tries import OK, Outcome, Response, add, hedged, joined, retried, total

Edge = tuple[str, str]
"""Caller and service."""
Work = Callable[[str, str], Steps[Response]]
Deployed = tuple[Target, str]
"""What is asked for, and the version that is asked."""
FAILED: Outcome = (500, "")
FULL: Outcome = (503, "")

LOSS_MAX = 0.15  # above it, sixteen losses in a row (UC) would have to be followed
RETRANSMISSIONS = [sum(min(0.2 * 2.0**i, 120.0) for i in range(n)) for n in range(16)]
"""How long n losses in a row hold a message up, s."""


@dataclass(frozen=True, slots=True)
class Wait:
    """What a station does to who arrives."""

    law: Law  # of the wait of those it takes
    refused: float = 0.0  # share that finds it full
    rho: float | None = None  # utilisation, where it is an M/M/1


@dataclass(slots=True)
class Responses:
    """Answers of services and calls, for given waits.

    `tries` to `used` are filled as calls are worked out.
    """

    structure: Structure
    lattice: Lattice
    waits: Mapping[Key, Wait]
    limited: Mapping[Edge, float] = field(default_factory=dict)  # share refused by the rate limit
    blocked: Mapping[Edge, float] = field(default_factory=dict)  # share refused by the circuit breaker
    given: Mapping[Edge, Response] = field(default_factory=dict)  # to calls of one try, known already
    tries: dict[Edge, float] = field(default_factory=dict)  # mean sent attempts of a call
    reached: dict[Deployed, list[float]] = field(default_factory=dict)  # P(a stage of the script is reached)
    routed: dict[Edge, float] = field(default_factory=dict)  # P(a call gets past the filters)
    used: dict[str, str] = field(default_factory=dict)  # formulas that entered, with their sources
    _laws: dict[int, Law] = field(default_factory=dict)
    _serves: dict[Deployed, Response] = field(default_factory=dict)
    _calls: dict[Edge, Response] = field(default_factory=dict)

    def anew(self, waits: Mapping[Key, Wait]) -> Responses:
        """The same under other waits."""
        return Responses(self.structure, self.lattice, waits, self.limited, self.blocked, self.given)

    def law(self, time: Time) -> Law:
        """The law of a configured time."""
        if id(time) not in self._laws:
            self._laws[id(time)] = law_of(self.lattice, time.build())
        return self._laws[id(time)]

    # ---- a service ------------------------------------------------------------------------------

    def serve(self, service: str, version: str) -> Response:
        """From the start of service to the answer, at one replica."""
        return flat(_once(self._serves, self._serve, service, version))

    def sojourn(self, service: str, version: str) -> Law:
        """How long that takes, however it ends."""
        return total(self.serve(service, version), self.lattice)

    def _serve(self, service: str, version: str) -> Steps[Response]:
        deployment = self.structure.deployments[service][version]
        own = self.law(deployment.time)
        failed, going = own.scaled(deployment.errors), own.scaled(1.0 - deployment.errors)
        reached = self.reached[service, version] = []
        for stage in deployment.script:
            reached.append(going.mass)
            well, badly = yield self._stage(service, stage)
            failed = failed.plus(going.then(badly))
            going = going.then(well)
        return {OK: going, FAILED: failed}

    def _stage(self, service: str, stage: Stage) -> Steps[tuple[Law, Law]]:
        """Steps at the same time: how long, all well; how long, otherwise."""
        steps = []
        for step in stage:
            steps.append((yield self._step(service, step)))
        well = self._fork_join(service, stage, maximum([good for good, _ in steps]))
        if all(bad.mass == 0.0 for _, bad in steps):
            return well, Law.none(self.lattice)
        everything = maximum([good.plus(bad) for good, bad in steps])
        return well, everything.minus(well)

    def _fork_join(self, service: str, stage: Stage, independent: Law) -> Law:
        """The mean of equal M/M/1 that are asked at the same time, in place of that of independent ones."""
        branches = {self._branch(step) for step in stage}
        calls = {step.service: step for step in stage if isinstance(step, CallStep)}
        first = branches.pop()
        if branches or first is None or not 1 < len(calls) == len(stage):
            return independent
        rho, mean = first
        offset = self.call(service, calls[min(calls)].call)[OK].mean - mean / (1.0 - rho)
        joined = fork_join_sojourn(rho / mean, 1.0 / mean, len(stage)) + offset
        self.used["fork-join of equal M/M/1"] = "Nelson and Tantawi 1988"
        return replace(independent, moment=joined * independent.mass)

    def _branch(self, step: CallStep | SleepStep) -> tuple[float, float] | None:
        """Utilisation and mean service of a call to a lone M/M/1 that always succeeds."""
        if isinstance(step, SleepStep) or step.probability < 1.0 or step.repeat > 1:
            return None
        deployment = self.structure.deployments[step.call].get("")  # none if it has versions
        wait = self.waits.get(("replica", step.service, ""))
        if deployment is None or wait is None or wait.rho is None or deployment.script or deployment.errors:
            return None
        return wait.rho, deployment.time.build().mean

    def _step(self, service: str, step: CallStep | SleepStep) -> Steps[tuple[Law, Law]]:
        if isinstance(step, SleepStep):
            return self.law(step.sleep), Law.none(self.lattice)
        answer = yield _once(self._calls, self._call, service, step.call)
        well, badly = (total(answer, self.lattice, ok=ok) for ok in (True, False))
        if step.optional:
            well, badly = well.plus(badly), Law.none(self.lattice)
        well, badly = _again(well, badly, step.repeat)
        if step.probability < 1.0:
            well = well.scaled(step.probability).plus(Law.atom(self.lattice, 0.0, 1.0 - step.probability))
            badly = badly.scaled(step.probability)
        return well, badly

    def calls_of(self, service: Target, step: CallStep) -> float:
        """How many calls a step makes on average, where its stage is reached."""
        if step.repeat == 1:
            return step.probability
        well = 1.0 if step.optional else total(self.call(service, step.call), self.lattice, ok=True).mass
        return step.probability * sum(well**made for made in range(step.repeat))

    # ---- a call ---------------------------------------------------------------------------------

    def call(self, caller: str, service: str) -> Response:
        """From a caller's call to its answer, policies applied."""
        return flat(_once(self._calls, self._call, caller, service))

    def _call(self, caller: str, service: str) -> Steps[Response]:
        policy = self.structure.policy(caller, service)
        answer: Response = {}
        routed = yield self._routed(caller, service, policy)
        abort, refused = policy.fault.abort, self.limited.get((caller, service), 0.0)
        aborted = abort.percent if abort else 0.0
        for flags, share, pause in self._delays(policy):
            rest = pause.scaled(share)
            if abort is not None:
                add(answer, (abort.status, joined(flags, "FI")), rest.scaled(aborted))
                rest = rest.scaled(1.0 - aborted)
            add(answer, (429, joined(flags, "RL")), rest.scaled(refused))
            rest = rest.scaled(1.0 - refused)
            for (status, own_flags), law in routed.items():
                add(answer, (status, joined(flags, own_flags)), rest.then(law))
        self.routed[caller, service] = (1.0 - aborted) * (1.0 - refused)
        own = self._pass(caller)
        return {outcome: own.then(law).then(own) for outcome, law in answer.items() if law.mass > 0.0}

    def _delays(self, policy: Policy) -> list[tuple[str, float, Law]]:
        delay = policy.fault.delay
        plain = ("", 1.0 - (delay.percent if delay else 0.0), Law.atom(self.lattice))
        slow = [("DI", delay.percent, self.law(delay.time))] if delay else []
        return [entry for entry in [plain, *slow] if entry[1] > 0.0]

    def _pass(self, service: str) -> Law:
        """One pass through a sidecar of a service; nothing for the client or without sidecars."""
        if service == CLIENT or not self.structure.sidecars:
            return self.law(ZERO)
        none, parts = Wait(self.law(ZERO)), []
        # versions' sidecars differ only in their load
        for version, deployment in self.structure.deployments[service].items():
            wait = self.waits.get(("proxy", service_of(service), version), none)
            parts.append(wait.law.scaled(deployment.replicas / self.structure.instances(service)))
        return mixture(parts, self.lattice).then(self.law(self.structure.scenario.mesh.proxy.time))

    # ---- attempts -------------------------------------------------------------------------------

    def _attempt(self, caller: str, service: str, shares: Mapping[str, float]) -> Steps[Response]:
        """From sending to the answer's arrival, at any of some versions."""
        link, proxy = self._link(caller, service), self._pass(service)
        there, back = link.then(proxy), proxy.then(link)
        answer: Response = {}
        for version, share in shares.items():
            wait = self.waits.get(("replica", service_of(service), version))
            start = there.scaled(share)
            if wait is not None:
                add(answer, FULL, start.scaled(wait.refused).then(back))
                start = start.scaled(1.0 - wait.refused).then(wait.law)
            for outcome, law in (yield _once(self._serves, self._serve, service, version)).items():
                add(answer, outcome, start.then(law).then(back))
        return {outcome: law for outcome, law in answer.items() if law.mass > 0.0}

    def _link(self, caller: str, service: str) -> Law:
        link = self.structure.link(caller, service)
        if link.loss > LOSS_MAX:
            raise UnsolvedError(f"{caller} -> {service} loses so much that whole attempts get lost (UC)")
        law = self.law(link.latency)
        if link.loss == 0.0:
            return law
        lost, got = link.loss, 1.0 - link.loss
        again = (Law.atom(self.lattice, pause, lost**n * got) for n, pause in enumerate(RETRANSMISSIONS))
        return law.then(mixture(again, self.lattice).scaled(1.0 / (1.0 - lost**16)))

    def _routed(self, caller: str, service: str, policy: Policy) -> Steps[Response]:
        """From the route on: one version a call under a split, any host otherwise."""
        if (caller, service) in self.given:
            self.tries[caller, service] = 1.0
            return self.given[caller, service]
        wait = connecting(self.structure, caller, service)
        shares = self.structure.shares(caller, service)
        choices = [(shares, 1.0)]
        if policy.split:
            choices = [({name: 1.0}, share) for name, share in shares.items()]
        answer: Response = {}
        tries = 0.0
        for versions, share in choices:
            attempt = yield self._attempt(caller, service, versions)
            if policy.hedge:
                part, count = hedged(attempt, policy, self.lattice)
            else:
                part, count = retried(attempt, policy, self.lattice, wait)
            tries += share * count
            for outcome, law in part.items():
                add(answer, outcome, law.scaled(share))
        blocked = self.blocked.get((caller, service), 0.0)
        if blocked > 0.0:
            answer = {outcome: law.scaled(1.0 - blocked) for outcome, law in answer.items()}
            add(answer, (503, "UO"), Law.atom(self.lattice, 0.0, blocked))
        self.tries[caller, service] = tries * (1.0 - blocked)
        return answer

    def routed_mean(self, caller: str, service: str) -> float:
        """Mean time of a call from its route to its answer, s."""
        answer = flat(self._routed(caller, service, self.structure.policy(caller, service)))
        return total(answer, self.lattice).mean


def _again(well: Law, badly: Law, times: int) -> tuple[Law, Law]:
    """So many calls one after the other, up to the first that fails: all well; one failed."""
    if times == 1:
        return well, badly
    half, failed = _again(well, badly, times // 2)
    half, failed = half.then(half), failed.plus(half.then(failed))
    return (half.then(well), failed.plus(half.then(badly))) if times % 2 else (half, failed)


def _once(known: dict[Edge, Response], work: Work, first: str, second: str) -> Steps[Response]:
    """What is known already, or is worked out now."""
    key = first, second
    if key not in known:
        known[key] = yield work(*key)
    return known[key]

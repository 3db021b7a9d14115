"""The tries of one call: again after a failure, or beside a slow first one, all under a route time-out.

Tries of one call are independent and alike. So the time at which the n-th is launched, and each way to end,
are laws that follow from that of one try.

Source:
    The model page (docs/background/model.md), steps 4 and 5.
"""

from __future__ import annotations

from math import inf

from meshsim import random
from meshsim.scenario.model import Policy
from meshsim.theory.recognise.law import Lattice, Law, minimum, mixture
from meshsim.theory.recognise.structure import UnsolvedError, per_try_timeout
from meshsim.theory.recognise.times import law_of

Outcome = tuple[int, str]
"""Status and flags."""
Response = dict[Outcome, Law]
"""The law of each way to end; the masses add up to 1."""

OK: Outcome = (200, "")
TIMED_OUT: Outcome = (504, "UT")

NEGLIGIBLE = 1e-12
TRIES_MAX = 120
HEDGES_MAX = 32


def retried(attempt: Response, policy: Policy, lattice: Lattice, connecting: float) -> tuple[Response, float]:
    """Tries one after the other: the answer of the call, and the mean number of tries.

    Before its per-try time-out starts, each is `connecting`, s.

    Raises:
        UnsolvedError: there is no end to them.
    """
    limit = policy.timeout or inf
    connected = Law.atom(lattice, connecting)
    attempt = {end: connected.then(law) for end, law in _cut(attempt, policy, lattice).items()}
    answer: Response = {}
    launch, tries, used = Law.atom(lattice), 0.0, 0
    while launch.mass > NEGLIGIBLE:
        tries += launch.mass
        again = Law.none(lattice)
        for (status, flags), law in attempt.items():
            end = launch.then(law).before(limit)
            if not retriable((status, flags), policy):
                add(answer, (status, flags), end)
            elif policy.retries is None or used >= policy.retries.attempts:
                add(answer, (status, joined("URX", flags)), end)
            else:
                again = again.plus(end)
        launch = _backed_off(again, policy, used, limit)
        used += 1
        if used > TRIES_MAX:
            raise UnsolvedError("retries hardly ever end")
    return _timed_out(answer, limit, lattice), tries


def hedged(attempt: Response, policy: Policy, lattice: Lattice) -> tuple[Response, float]:
    """Tries beside each other, of which the first to end wins: likewise.

    Raises:
        UnsolvedError: tries may fail, or be retried too.
    """
    if policy.retries is not None:
        raise UnsolvedError("no formula here solves hedges beside retries")
    if any(law.mass > NEGLIGIBLE for (status, _), law in attempt.items() if status >= 500):
        raise UnsolvedError("no formula here solves hedges of attempts that may fail")
    assert policy.hedge is not None
    limit = policy.timeout or inf
    one = attempt[OK]
    racing, tries = [one], 1.0
    for n in range(1, policy.hedge.max + 1):
        start = n * policy.hedge.after
        if start >= limit:
            break
        if n > HEDGES_MAX:
            raise UnsolvedError(f"no formula here solves more than {HEDGES_MAX} hedges")
        tries += 1.0 - minimum(racing).before(start).mass
        racing.append(one.then(Law.atom(lattice, start)))
    return _timed_out({OK: minimum(racing).before(limit)}, limit, lattice), tries


def total(answer: Response, lattice: Lattice, *, ok: bool | None = None) -> Law:
    """All answers together, or only the successful or the failed ones."""
    return mixture((law for (code, _), law in answer.items() if ok is None or ok == (code < 400)), lattice)


def retriable(outcome: Outcome, policy: Policy) -> bool:
    """Whether an attempt that ends so is worth another (the model page's table)."""
    status, flags = outcome
    if policy.retries is None:
        return False
    if status in policy.retries.statuses and not flags:
        return True
    if status < 500:
        return False
    gateway = {"gateway-error"} if 502 <= status <= 504 else set()
    reset = {"reset", "per-try-timeout"} if flags == "UT" else set()
    return bool({"5xx", *gateway, *reset} & set(policy.retries.on))


def joined(*flags: str) -> str:
    """Flags in the order they were added."""
    return ",".join(flag for flag in flags if flag)


def add(answer: Response, outcome: Outcome, law: Law) -> None:
    """Adds one more way to reach an outcome."""
    if law.mass > 0.0:
        answer[outcome] = answer[outcome].plus(law) if outcome in answer else law


def _cut(attempt: Response, policy: Policy, lattice: Lattice) -> Response:
    """An attempt under its per-try time-out."""
    per_try = per_try_timeout(policy)
    if per_try <= 0.0 or (policy.timeout > 0.0 and per_try >= policy.timeout):
        return attempt
    cut = {outcome: law.before(per_try) for outcome, law in attempt.items()}
    return _timed_out(cut, per_try, lattice)


def _timed_out(answer: Response, limit: float, lattice: Lattice) -> Response:
    """An answer that is cut at a limit, and what is late for it."""
    if limit < inf:
        late = 1.0 - sum(law.mass for law in answer.values())
        add(answer, TIMED_OUT, Law.atom(lattice, limit, max(late, 0.0)))
    return answer


def _backed_off(again: Law, policy: Policy, used: int, limit: float) -> Law:
    """When the next try is launched, after uniform back-off that is cut at its longest."""
    if policy.retries is None or again.mass <= NEGLIGIBLE:
        return Law.none(again.lattice)
    backoff = policy.retries.backoff
    bound, lattice = min(backoff.base * 2.0 ** min(used, 1000), backoff.ceiling), again.lattice
    least, most = (share * bound for share in backoff.shares)
    end = min(most, backoff.ceiling)
    drawn = (end - least) / (most - least) if least < most else 0.0
    wait = Law.atom(lattice, end, 1.0 - drawn)
    if drawn > 0.0:
        wait = law_of(lattice, random.Uniform(least, end)).scaled(drawn).plus(wait)
    return again.then(wait).before(limit)

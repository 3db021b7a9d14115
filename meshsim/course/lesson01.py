"""Lesson 01, the smart socket: its prediction, its puzzle and the checks of its exercises.

A check takes what the student wrote, of any type, and returns ``01a: right ...`` or ``01a: not yet ...`` with
a hint. It judges by running it, and knows no answer that could be looked up in the notebook.
"""

from __future__ import annotations

import math
import reprlib
from collections.abc import Iterator, Mapping
from decimal import Decimal
from numbers import Real
from typing import TYPE_CHECKING, Any

from meshsim.errors import MeshsimError
from meshsim.lab.run import Run, run
from meshsim.scenario import loads
from meshsim.scenario.model import Scenario
from meshsim.scenario.policy import Policy
from meshsim.theory import retries

if TYPE_CHECKING:
    import pandas as pd

CASES = ((1, 0.01, 0), (3, 0.05, 0), (5, 0.02, 1), (20, 0.1, 2))
"""Calls of a page, chance that a try fails, retries."""
ALLOWED_ERROR = 1e-3
BAD_WEEK = {"services.parts.errors": "3%", "duration": "10s", "seed": 4}
LEAST_WHOLE, MOST_ADDED, MOST_TRIES = 0.999, 3e-3, 1.1
PLANES = ("app", "data plane", "control plane")


# ---- the prediction ---------------------------------------------------------------------------------


def compared(prediction: object, runs: Mapping[str, Run]) -> pd.DataFrame:
    """What was predicted, by question, beside what is seen, by socket."""
    import pandas as pd  # noqa: PLC0415 - slow to import

    sidecar = runs["sidecar"]
    tries = sidecar.services.requests["parts"] / sidecar.edges.requests["page -> parts"]
    added = (sidecar.numbers.latency.mean or 0.0) - (runs["library"].numbers.latency.mean or 0.0)
    seen = {
        "calls": f"B: {tries:.2f} tries per call",
        "broken": round(10_000 * (1.0 - (sidecar.numbers.requests.success_ratio or 0.0))),
        "added": round(1000 * added, 2),
    }
    said = prediction if isinstance(prediction, Mapping) else {}
    return pd.DataFrame({"predicted": {key: said.get(key, "") for key in seen}, "seen": seen})


# ---- 01a --------------------------------------------------------------------------------------------


def check_whole(answer: object) -> str:
    """01a: whether a function gives the share of whole pages."""
    if not callable(answer):
        return "01a: not yet: `whole` is not a function any longer; begin again with `def whole(n, p, r):`"
    wrong = []
    for case in CASES:
        try:
            value = answer(*case)
        except (Exception, SystemExit) as error:
            return f"01a: not yet: {_called(case)} ends in {type(error).__name__}: {_text(error)}"
        if value is None:
            return "01a: not yet: `whole` returns nothing"
        if not isinstance(value, Real | Decimal) or isinstance(value, bool):
            return f"01a: not yet: {_called(case)} returns {_text(value)}, which is not a number"
        calls, error_ratio, number = case
        found = _float(value)
        if not abs(found - retries.success(error_ratio, number) ** calls) <= ALLOWED_ERROR:  # NaN, too
            wrong.append(f"{_called(case)} = {found:.6g}")
    if not wrong:
        return f"01a: right, {len(CASES)} of {len(CASES)} cases"
    off = f"01a: not yet: {len(wrong)} of {len(CASES)} cases are off by more than {ALLOWED_ERROR:g}"
    return "\n".join([off, "Hint: a page is whole if every call is; a call fails if every try does.", *wrong])


def _float(value: Real | Decimal) -> float:
    """A number as a float; NaN, which is never right, where none can hold it."""
    try:
        return float(value)
    except Exception:  # whatever a number of the student's own making raises
        return math.nan


def _text(value: object) -> str:
    """What it says of itself, cut to a line."""
    try:
        return reprlib.repr(str(value))[1:-1] if isinstance(value, BaseException) else reprlib.repr(value)
    except Exception:
        return "…"


def _called(case: tuple[int, float, int]) -> str:
    return f"whole({', '.join(map(str, case))})"


# ---- 01b --------------------------------------------------------------------------------------------


def check_lines(app: str, answer: object) -> str:
    """01b: whether policies mend a bad week, in time, and with no more retries than that takes."""
    if not isinstance(answer, str):
        return f'01b: not yet: MINE has to be text, between """ and """, not {type(answer).__name__}'
    try:
        mine, plain = loads(app + answer, overrides=BAD_WEEK), loads(app, overrides=BAD_WEEK)
        if _without_policies(mine) != _without_policies(plain):
            return "01b: not yet: only `policies` may be added; the app and its load stay as they are"
        if any(policy.fault.abort is not None for policy in mine.policies.values()):
            return "01b: not yet: an answer that `fault` makes is no answer of `parts`; leave it out"
        dumb = _measured(loads(app, overrides={**BAD_WEEK, "mesh.dataplane": "none"}))
        found = _measured(mine)
        said = f"{_said(found, dumb)}\n01b: "
        if hint := _missing(found, dumb):
            return f"{said}not yet\nHint: {hint}"
        if _one_less_will_do(mine, dumb):
            return (
                f"{said}not yet: it works, and so it does with one retry less\n"
                "Hint: when `parts` is down, each retry more is as many calls again. How few will do?"
            )
    except MeshsimError as error:
        return f"01b: not yet, your lines can't be run:\n{error}"
    return f"{said}right"


def _without_policies(scenario: Scenario) -> Scenario:
    return scenario.model_copy(update={"policies": {}})


def _measured(scenario: Scenario) -> dict[str, float]:
    numbers = run(scenario, replications=2).numbers
    return {
        "whole": numbers.requests.success_ratio or 0.0,
        "mean": numbers.latency.mean or math.inf,
        "tries": numbers.attempts.amplification or math.inf,
    }


def _said(found: Mapping[str, float], dumb: Mapping[str, float]) -> str:
    return (
        f"whole pages {100 * found['whole']:.2f} % (at least {100 * LEAST_WHOLE:.2f}),"
        f" mean page {1000 * (found['mean'] - dumb['mean']):+.2f} ms (at most {1000 * MOST_ADDED:+g}),"
        f" {found['tries']:.2f} tries per call (at most {MOST_TRIES:g})"
    )


def _missing(found: Mapping[str, float], dumb: Mapping[str, float]) -> str:
    """A hint at what is not met; nothing where all is."""
    if found["whole"] < LEAST_WHOLE:
        return "what does the formula say for p = 3 % and one retry? And for more?"
    if found["tries"] > MOST_TRIES:
        return "only calls that fail need another try."
    if found["mean"] - dumb["mean"] > MOST_ADDED:
        return "14 % of the pages need a retry. What do they wait for before it?"
    return ""


def _one_less_will_do(mine: Scenario, dumb: Mapping[str, float]) -> bool:
    """Whether one of the policies could retry or hedge once less."""
    variants = (
        mine.model_copy(update={"policies": {**mine.policies, key: fewer}})
        for key, policy in mine.policies.items()
        for fewer in _one_less(policy)
    )
    return any(not _missing(_measured(less), dumb) for less in variants)


def _one_less(policy: Policy) -> Iterator[Policy]:
    if (tried := policy.retries) is not None and tried.attempts > 0:
        yield policy.model_copy(update={"retries": tried.model_copy(update={"attempts": tried.attempts - 1})})
    if (hedge := policy.hedge) is not None:
        fewer = hedge.model_copy(update={"max": hedge.max - 1}) if hedge.max > 1 else None
        yield policy.model_copy(update={"hedge": fewer})


# ---- 01c --------------------------------------------------------------------------------------------


def dashboards(app: str, push: str) -> dict[str, Run]:
    """01c: three runs of the app; in each the same lines are pushed at 10 s, and something is wrong."""
    release = push.replace("events:", "events:\n  - {at: 18s, service: parts, errors: 60%}")
    rise = [{"at": "0s", "rate": "60/s"}, {"at": "18s", "rate": "135/s"}]
    slow = {"time": "0.8ms", "workers": 1}
    changes: dict[str, tuple[str, dict[str, Any]]] = {
        "first": (release, {}),
        "second": (push, {"mesh.push_delay": "12s"}),
        "third": (push, {"mesh.proxy": slow, "load[0]": {"to": "page", "profile": rise}}),
    }
    return {
        name: run(loads(app + text, overrides={"duration": "30s", "services.parts.errors": "3%", **change}))
        for name, (text, change) in changes.items()
    }


CAUSES = {
    "first": (
        "app",
        "The push worked, yet at 18 s more calls fail than one retry can mend: a bad release of parts.",
    ),
    "second": (
        "control plane",
        "Until 22 s nothing changes: the lines were sent and did not arrive. Calls go on as before.",
    ),
    "third": (
        "data plane",
        "At 18 s pages take ever longer while parts has free workers: the queue is in the proxies.",
    ),
}


def check_planes(answer: object) -> str:
    """01c: whether the cause of each dashboard is found."""
    if not isinstance(answer, Mapping):
        return "01c: not yet: `verdict` has to have a word for each of " + ", ".join(CAUSES)
    return "\n".join(f"01c {name}: {_judged(name, answer.get(name))}" for name in CAUSES)


def _judged(name: str, answer: object) -> str:
    plane, why = CAUSES[name]
    said = " ".join(answer.split()).lower() if isinstance(answer, str) else ""
    if said not in PLANES:
        return f"not yet: write one of {', '.join(PLANES)}"
    return f"right. {why}" if said == plane else "not yet"

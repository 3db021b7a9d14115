"""`solve`: what theory says about a scenario, found from its structure alone."""

from __future__ import annotations

from collections.abc import Callable
from math import inf
from pathlib import Path
from typing import TypeVar

from meshsim.scenario.load import load
from meshsim.scenario.model import Scenario, SleepStep
from meshsim.theory.recognise.analysis import Analysis, analyse
from meshsim.theory.recognise.budgeted import budgeted
from meshsim.theory.recognise.closed import solve_closed
from meshsim.theory.recognise.exactness import judge
from meshsim.theory.recognise.law import Lattice, Law, ShapeUnknownError
from meshsim.theory.recognise.predict import offered, predictions
from meshsim.theory.recognise.security import refusals
from meshsim.theory.recognise.solution import Prediction, Solution
from meshsim.theory.recognise.structure import Structure, UnsolvedError, per_try_timeout
from meshsim.theory.recognise.understood import CLOSED, OPEN, unknown

SIZE, SIZE_LEAST = 1 << 15, 1 << 10
CELLS = 1 << 20  # of the laws of all services together, which take a second a round
TAIL = 1e-6  # of the latency, behind which the lattice may end
GROWTH = 16.0
TRIALS = 6

Result = TypeVar("Result")


def solve(scenario: str | Path | Scenario) -> Solution:
    """Everything that closed forms and numerical solutions say about a scenario in the long run.

    Args:
        scenario: any, or a file's path; its name plays no role.

    Returns:
        Predictions by the paths of `summary.json`, and the reasons why others are missing or approximate.
    """
    scenario = load(scenario)
    closed = any(load.users is not None for load in scenario.load)
    try:
        structure = Structure(scenario)
        _refuse_unknown(structure)
    except UnsolvedError as error:
        return Solution(scenario.name, [], str(error).splitlines())
    try:
        found, reasons = _closed(structure) if closed else _open(structure)
    except UnsolvedError as error:
        found, reasons = [] if closed else [*offered(structure)], [str(error)]
    except ShapeUnknownError:
        found, reasons = [], ["a time-out or a hedge depends on waits that are not known"]
    return Solution(scenario.name, found, list(dict.fromkeys(reasons)))


def _refuse_unknown(structure: Structure) -> None:
    """Refuses what the loads' solvers do not declare."""
    known = frozenset().union(*(OPEN if load.users is None else CLOSED for load in structure.scenario.load))
    found = unknown(known, structure.set_keys)
    places = dict.fromkeys(place for place in found if "events[" not in place)
    reasons = [f"no formula here takes into account: {', '.join(places)}"] if places else []
    if any("events[" in place for place in found):
        events = (
            "events change the scenario while it runs: no steady state; solve it without: --set 'events=[]'"
        )
        reasons = [events, *reasons]
    reasons += refusals(structure)
    if reasons:
        if (preset := structure.scenario.mesh.preset) != "none":
            reasons.append(f"mesh.preset {preset} fills policies: solve it without: --set mesh.preset=none")
        raise UnsolvedError("\n".join(reasons))


def _closed(structure: Structure) -> tuple[list[Prediction], list[str]]:
    return _fitted(structure, solve_closed, lambda found: found[2])[:2]


def _open(structure: Structure) -> tuple[list[Prediction], list[str]]:
    fluid = budgeted(structure)
    if fluid is not None:
        return fluid
    found = _fitted(structure, analyse, Analysis.latency)
    exact = judge(found)
    reasons = [*found.reasons, *exact.reasons]
    if any(len({point.rate for point in load.profile}) > 1 for load in structure.scenario.load):
        reasons.insert(0, "the load changes in time: queues are solved as if it came at its mean rate")
    return predictions(found, exact), reasons


def _fitted(
    structure: Structure, work: Callable[[Structure, Lattice], Result], law: Callable[[Result], Law]
) -> Result:
    """Work on a lattice that is as long as the latency's tail and not much longer."""
    horizon, size = 20.0 * _scale(structure), SIZE
    while size > SIZE_LEAST and size * len(structure.order) > CELLS:
        size //= 2
    result = work(structure, Lattice(horizon / size, size))
    for _ in range(TRIALS):
        whole = law(result)
        if not whole.known or whole.mass == 0.0:
            break
        reach = whole.quantile(1.0 - TAIL)
        if reach == inf:
            horizon *= GROWTH
        elif reach < 0.3 * horizon:
            horizon = max(1.5 * reach, 1e-9)
        else:
            break
        result = work(structure, Lattice(horizon / size, size))
    return result


def _scale(structure: Structure) -> float:
    """A time in which everything that happens to a request could happen once, s."""
    scenario = structure.scenario
    times = [scenario.mesh.proxy.time]
    if scenario.mesh.mtls is not None:
        times.append(scenario.mesh.mtls.handshake)
    for link in scenario.links.values():
        times += [link.latency, link.connect]
    for deployment in (each for name in structure.order for each in structure.deployments[name].values()):
        steps = [step for stage in deployment.script for step in stage]
        times += [deployment.time, *(step.sleep for step in steps if isinstance(step, SleepStep))]
    span = sum(time.build().mean for time in times)
    for policy in scenario.policies.values():
        span += policy.timeout + per_try_timeout(policy)
        span += policy.fault.delay.time.build().mean if policy.fault.delay else 0.0
        span += policy.hedge.after if policy.hedge else 0.0
    return span or 1.0

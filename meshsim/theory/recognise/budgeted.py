"""A lone service whose errors are retried under Linkerd's budget: the fluid limit, where the budget binds.

Source:
    tower TpsBudget in the limit of many requests per `ttl` (:mod:`meshsim.theory.budgets`).
"""

from __future__ import annotations

from meshsim.scenario.model import CLIENT
from meshsim.theory.budgets import budget_bound, linkerd_load
from meshsim.theory.recognise.predict import offered
from meshsim.theory.recognise.solution import Prediction
from meshsim.theory.recognise.structure import Structure
from meshsim.theory.recognise.tries import retriable
from meshsim.theory.recognise.understood import BUDGETED, unknown
from meshsim.theory.retries import amplification

SOURCE = "tower TpsBudget, fluid limit"
LINKERD_RESERVE = 10
"""Retries per second always allowed, where the scenario does not say."""


def budgeted(structure: Structure) -> tuple[list[Prediction], list[str]] | None:
    """Predictions and reasons, where a budget refuses retries of independent errors; else None."""
    service = structure.edges[0][1]
    alone = len(structure.edges) == 1 and not structure.stations and structure.alike(service)
    policy = structure.policy(CLIENT, service)
    retries = policy.retries
    if not alone or retries is None or retries.budget is None or retries.budget.kind != "linkerd":
        return None
    if unknown(BUDGETED, structure.set_keys) or not retriable((500, ""), policy):
        return None
    p = next(iter(structure.deployments[service].values())).errors
    lam = structure.rate
    ratio = retries.budget.ratio
    reserve = LINKERD_RESERVE if retries.budget.min_per_second is None else retries.budget.min_per_second
    load = linkerd_load(p, ratio, reserve, lam)
    if load >= amplification(p, retries.attempts) - 1e-9:
        return None
    formula = "(1-p) tokens a try, trunc(1/ratio) a retry"
    fluid = {
        "requests.goodput": lam * load * (1.0 - p),
        "requests.success_ratio": load * (1.0 - p),
        "attempts.amplification": load,
    }
    bound = budget_bound(1.0 / int(1.0 / ratio) if ratio else 0.0, reserve, lam)
    edge = f"{CLIENT} -> {service}"
    return [
        *offered(structure),
        *(Prediction(path, value, "approx", formula, SOURCE) for path, value in fluid.items()),
        Prediction(f"derived.edges.{edge}.tries", bound, "bound", "1 + ratio + reserve/λ", SOURCE),
        Prediction(f"services.{service}.rate", lam * load, "approx", formula, SOURCE),
    ], [f"{edge}: the retry budget binds; solved as a fluid, latencies are not"]

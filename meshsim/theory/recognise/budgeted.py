"""A lone service whose errors are retried under Linkerd's budget: the fluid limit, where the budget binds.

Source:
    tower TpsBudget in the limit of many requests per `ttl` (:mod:`meshsim.theory.budgets`).
"""

from __future__ import annotations

from meshsim.scenario.model import CLIENT
from meshsim.theory.budgets import budget_bound, linkerd_load
from meshsim.theory.recognise.solution import Prediction
from meshsim.theory.recognise.structure import Structure
from meshsim.theory.recognise.tries import retriable
from meshsim.theory.retries import amplification

SOURCE = "tower TpsBudget, fluid limit"
LINKERD_RESERVE = 10
"""Retries per second always allowed, where the scenario does not say."""


def budgeted(structure: Structure) -> tuple[list[Prediction], list[str]] | None:
    """Predictions and reasons, where a budget refuses retries of independent errors; else None."""
    scenario = structure.scenario
    edges = [edge for edge in scenario.edges() if edge[1] in structure.used]
    if len(edges) > 1 or structure.stations or not structure.alike(edges[0][1]):
        return None
    service = edges[0][1]
    policy = structure.policy(CLIENT, service)
    retries, timed = (
        policy.retries,
        structure.policy(CLIENT, service).timeout > 0.0 or policy.hedge is not None,
    )
    if retries is None or retries.budget is None or retries.budget.kind != "linkerd" or timed:
        return None
    if retries.per_try_timeout > 0.0 or policy.rate_limit or policy.fault.abort or policy.outlier_detection:
        return None
    p = next(iter(structure.deployments[service].values())).errors
    if not retriable((500, ""), policy) or scenario.link(CLIENT, service).loss > 0.0:
        return None
    lam = sum(structure.offered(load) for load in scenario.load)
    ratio = retries.budget.ratio
    reserve = LINKERD_RESERVE if retries.budget.min_per_second is None else retries.budget.min_per_second
    load = linkerd_load(p, ratio, reserve, lam)
    if load >= amplification(p, retries.attempts) - 1e-9:
        return None
    formula = "(1-p) tokens a try, trunc(1/ratio) a retry"
    bound = budget_bound(1.0 / int(1.0 / ratio) if ratio else 0.0, reserve, lam)
    return [
        Prediction("requests.rate", lam, "exact", "the load's rate", "docs/background/model.md"),
        Prediction("requests.goodput", lam * load * (1.0 - p), "approx", formula, SOURCE),
        Prediction("requests.success_ratio", load * (1.0 - p), "approx", formula, SOURCE),
        Prediction("attempts.amplification", load, "approx", formula, SOURCE),
        Prediction(
            f"derived.edges.{CLIENT} -> {service}.tries", bound, "bound", "1 + ratio + reserve/λ", SOURCE
        ),
        Prediction(f"services.{service}.rate", lam * load, "approx", formula, SOURCE),
    ], [f"{CLIENT} -> {service}: the retry budget binds; solved as a fluid, latencies are not"]

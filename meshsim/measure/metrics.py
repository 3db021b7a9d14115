"""The numbers of a summary that have intervals, by the path of their keys: ``latency.p99``."""

from __future__ import annotations

import math
from collections.abc import Collection

from meshsim.errors import MeshsimError
from meshsim.measure.latency import LEAST_BEYOND, QUANTILES, enough
from meshsim.measure.objectives import judged
from meshsim.measure.summary import OF_SERVICE, Summary
from meshsim.scenario.model import Objective
from meshsim.scenario.names import suggestion

USUAL = "latency.mean"
"""The metric that is meant where none is named."""
COMPARED_OF_SERVICE = ("rate", *OF_SERVICE, "latency.p99")
"""What `compare` shows of each service that both scenarios have."""


def check(metric: str, known: Collection[str]) -> str:
    """The metric, if it is known; else a MeshsimError that names the nearest one."""
    if metric not in known:
        raise MeshsimError(f"no metric {metric!r} with an interval; {suggestion(metric, known)}")
    return metric


def supports(summary: Summary, metric: str) -> bool:
    """Whether one replication has `LEAST_BEYOND` requests beyond a percentile; other metrics need none.

    `metric` may be one of an objective: ``objectives.cart.p99``, or ``objectives.cart/add.p99``.
    """
    kind, _, key = metric.rpartition(".")
    return key not in QUANTILES or enough(_requests(summary, kind), QUANTILES[key])


def _requests(summary: Summary, kind: str) -> int:
    """How many requests the percentiles of a kind are taken of: ``latency``, ``services.cart.latency``."""
    if kind in ("latency", "ok_latency"):
        return summary.requests.completed if kind == "latency" else summary.requests.ok
    if kind.startswith("objectives."):
        service, _, endpoint = kind.removeprefix("objectives.").partition("/")
        about = Objective.model_construct(service=service, endpoint=endpoint or None)
        entry, place = judged(about, summary.services, summary.edges)
        # judged as clients see it, no answer counts as a late one
        return entry.answered + entry.unfinished if entry else place.answered
    return summary.services[kind.removeprefix("services.").removesuffix(".latency")].answered


def refuse_unsupported(metric: str, summary: Summary) -> None:
    """Refuses a percentile that one replication, with this summary, is too short for.

    MeshsimError: fewer than `LEAST_BEYOND` requests lie beyond it; the message says what would do.
    """
    if supports(summary, metric):
        return
    kind, _, key = metric.rpartition(".")
    requests = _requests(summary, kind)
    need = round(LEAST_BEYOND / (1.0 - QUANTILES[key]))
    longer = ""
    if requests:  # a tenth more, since their number is random
        seconds = summary.warmup + 1.1 * summary.measured * need / requests
        longer = f" (duration={math.ceil(seconds - 1e-6)}s)"
    raise MeshsimError(
        f"{metric} can't be supported: a replication (seed {summary.seed}) has {requests:,} requests for"
        f" it, of which {requests * (1.0 - QUANTILES[key]):.2g} lie beyond; it takes {LEAST_BEYOND}, so"
        f" {need:,} in all; make replications longer{longer}, or choose {_lower(kind, requests)}"
    )


def _lower(kind: str, requests: int) -> str:
    """What so many requests do support: a lower percentile where there are such metrics, else a mean."""
    if kind not in ("latency", "ok_latency"):
        return f"{kind}.mean" if kind.startswith("services.") else USUAL
    return f"{kind}.{['mean', *(name for name, q in QUANTILES.items() if enough(requests, q))][-1]}"

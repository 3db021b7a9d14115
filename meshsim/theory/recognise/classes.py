"""Mean latency by load, where a lone queue serves by priority.

Source:
    Cobham 1954 (:mod:`meshsim.theory.priority`).
"""

# ruff: noqa: RUF001 (formulas are written with the field's symbols)
from __future__ import annotations

from collections.abc import Iterable

from meshsim.theory.priority import cobham_waits
from meshsim.theory.recognise.analysis import Analysis
from meshsim.theory.recognise.exactness import Exactness
from meshsim.theory.recognise.solution import Prediction
from meshsim.theory.recognise.structure import Station
from meshsim.theory.recognise.tries import total
from meshsim.units import UNLIMITED


def classes(found: Analysis, exact: Exactness) -> Iterable[Prediction]:
    """Mean latency by load, where a lone queue serves by priority."""
    loads = found.structure.scenario.load
    stations = list(found.structure.stations.values())
    if len(stations) != 1 or stations[0].discipline != "priority" or not exact.means:
        return
    station = stations[0]
    law = total(found.answers, found.responses.lattice)
    waits = _cobham(found, station)
    if not waits or any(load.to != station.key[1] for load in loads):
        return
    mean_wait = found.responses.waits[station.key].law.mean
    for index, load in enumerate(loads):
        value = law.mean - mean_wait + waits[load.priority]
        yield Prediction(
            f"derived.load[{index}].latency.mean",
            value,
            "exact",
            "W₀/((1-σ₋)(1-σ)) and the service",
            "Cobham 1954",
        )


def _cobham(found: Analysis, station: Station) -> dict[int, float]:
    """Mean wait by priority."""
    loads = found.structure.scenario.load
    ranks = sorted({load.priority for load in loads}, reverse=True)
    if station.holds_script or len(ranks) < 2 or station.queue < UNLIMITED:
        return {}
    scv = station.time.scv
    if station.workers > 1 and not station.quasi_reversible:
        return {}
    offered = sum(found.structure.offered(load) for load in loads)
    scale = found.solved[station.key].rate / offered
    lams = [
        sum(found.structure.offered(load) for load in loads if load.priority == rank) * scale
        for rank in ranks
    ]
    return dict(zip(ranks, cobham_waits(lams, station.time.mean, scv, station.workers), strict=True))

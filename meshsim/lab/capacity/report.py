"""A study as plain values: what `capacity.json` holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meshsim import version
from meshsim.lab.capacity.inquiry import Finding, Inquiry
from meshsim.lab.capacity.load import LoadAnswer
from meshsim.lab.capacity.study import LOAD, MAP, RECOVERY, REPLICAS, Study
from meshsim.measure.intervals import interval
from meshsim.measure.latency import VERY_LATE
from meshsim.scenario import written
from meshsim.scenario.grid import text

Plain = dict[str, Any]


def answer(study: Study) -> Plain:
    """Everything that a study knows."""
    question, plan = study.question, study.question.plan
    return {
        "scenario": question.scenario.name,
        "version": version.VERSION,
        "seed": plan.seed,
        "confidence": plan.confidence,
        "resolution": question.resolution,
        "replications_most": plan.most,
        "runs": len(study.rows) + sum(row.question in (RECOVERY, MAP) for row in study.rows),
        "seeds": _seeds(study),
        "partial": study.partial,
        "objectives": [
            {"service": limit.service, "key": limit.key, "limit": limit.limit} for limit in study.limits
        ],
        LOAD: _load(study),
        REPLICAS: _replicas(study),
        RECOVERY: _recovery(study),
        MAP: _map(study),
        "provenance": {"scenario": written.text(question.scenario)},
    }


def _seeds(study: Study) -> list[int]:
    """The first and the last one of all runs."""
    seeds = [row.observation.seed for row in study.rows]
    return [min(seeds), max(seeds)] if seeds else []


# ---- load -------------------------------------------------------------------------------------------


def _load(study: Study) -> Plain | None:
    found, seen = study.load, _seen(study.loads)
    if found is None:
        return None
    return {
        **_bracket(study, found),
        "knee": _knee(study),
        "busiest": _busiest(seen, found.meets) if found.meets is not None else None,
        "curve": [_point(study, finding) for finding in seen],
    }


def _seen(inquiries: Sequence[Inquiry[float]]) -> list[Finding[float]]:
    """What was seen at each load, in order; with fresh seeds only where it was not looked at before."""
    found = {
        candidate: finding
        for inquiry in reversed(inquiries)
        for candidate, finding in inquiry.findings.items()
        if finding.observations
    }
    return [found[load] for load in sorted(found)]


def _bracket(study: Study, found: LoadAnswer) -> Plain:
    ends = {"meets": found.meets, "misses": found.misses}
    return {
        **{name: _at(study, factor) for name, factor in ends.items()},
        "confirmed": found.confirmed,
        "notes": found.notes,
    }


def _at(study: Study, factor: float | None) -> Plain | None:
    """A load: its factor, a label, and what each of the scenario's loads is then."""
    if factor is None or study.scaling is None:
        return None
    return {
        "factor": factor,
        "label": study.scaling.label(factor),
        "loads": study.scaling.amounts(factor),
    }


def _knee(study: Study) -> Plain | None:
    knee = study.knee
    if knee is None:
        return None
    ends = {"best": knee.best, "low": knee.low, "high": knee.high}
    return {**{name: _at(study, factor) for name, factor in ends.items()}, "inside": knee.inside}


def _busiest(seen: Sequence[Finding[float]], factor: float) -> Plain | None:
    """The service with the busiest workers at a load."""
    found = _means(next(each for each in seen if each.candidate == factor), "utilisation.")
    name = max(found, key=lambda each: found[each], default=None)
    return None if name is None else {"service": name, "utilisation": found[name]}


def _means(finding: Finding[float], prefix: str) -> dict[str, float]:
    """The mean of each number whose name begins so, by the rest of its name."""
    seen = finding.observations
    names = dict.fromkeys(name for each in seen for name in each.numbers if name.startswith(prefix))
    return {
        name.removeprefix(prefix): sum(each.numbers.get(name, 0.0) for each in seen) / len(seen)
        for name in names
    }


def _point(study: Study, finding: Finding[float]) -> Plain:
    """A point of the load-latency curve."""
    seen = finding.observations
    return {
        **_looked_at(study, finding),
        "unstable": sum(each.unstable for each in seen),
        "measured": [
            _measured([each.scores[place].measured for each in seen]) for place in range(len(study.limits))
        ],
        "goodput": _measured([each.numbers.get("goodput") for each in seen]),
        "latency_mean": _measured([each.numbers.get("latency.mean") for each in seen]),
        "utilisation": _means(finding, "utilisation."),
    }


def _looked_at(study: Study, finding: Finding[float]) -> Plain:
    """A load, and what was decided of it."""
    return {
        **(_at(study, finding.candidate) or {}),
        "verdict": str(finding.verdict),
        "replications": len(finding.observations),
        "fresh": finding.observations[0].seed != study.question.plan.seed,
    }


def _measured(values: Sequence[float | None]) -> Plain | None:
    """A mean over replications with its 95 % interval; None where a replication has no number."""
    known = [value for value in values if value is not None and value < VERY_LATE]
    if len(known) < max(2, len(values)):
        return None
    return interval(known).as_dict()


# ---- replicas ---------------------------------------------------------------------------------------


def _replicas(study: Study) -> Plain | None:
    found, pools = study.replicas, study.pools
    if found is None or pools is None:
        return None
    least = dict(zip(pools.names, found.least, strict=True)) if found.least is not None else None
    return {
        "least": least,
        "own": dict(zip(pools.names, pools.own, strict=True)),
        "bounds": dict(zip(pools.names, found.bounds, strict=True)) if found.bounds is not None else None,
        "costs": dict(zip(pools.names, pools.costs, strict=True)),
        "cost": None if found.least is None else pools.cost(found.least),
        "cost_own": pools.cost(pools.own),
        "removals": {name: None if each is None else str(each) for name, each in found.removals.items()},
        "exact": found.exact,
        "cheaper_tried": found.cheaper,
        "confirmed": found.confirmed,
        "notes": found.notes,
    }


# ---- recovery ---------------------------------------------------------------------------------------


def _recovery(study: Study) -> Plain | None:
    if study.recovery is None:
        return None
    looked = [
        {
            **_looked_at(study, finding),
            "recovered": sum(each.scores[0].measured == 1.0 for each in finding.observations),
        }
        for finding in _seen(study.recoveries)
    ]
    return {**_bracket(study, study.recovery), "trial": _trial(study), "looked_at": looked}


def _trial(study: Study) -> Plain | None:
    trial = study.trial
    return None if trial is None else {"hit": trial.hit, "over": trial.over, "looked": trial.looked}


def _map(study: Study) -> Plain | None:
    found = study.map
    if found is None:
        return None
    cells = [
        {
            "row": row,
            "column": column,
            "share": cell.share,
            "low": cell.low,
            "high": cell.high,
            "replications": cell.seen.count if cell.seen is not None else 0,
            "overloaded": cell.seen.overloaded if cell.seen is not None else None,
            "hopeless": cell.seen is not None and cell.seen.hopeless,
        }
        for (row, column), cell in sorted(found.cells.items())
    ]
    return {
        "down": found.down,
        "across": found.across,
        "rows": [text(value) for value in found.rows],
        "columns": [text(value) for value in found.columns],
        "ordered": found.ordered,
        "cells": cells,
        "boundary": [
            [None if value is None else text(value) for value in found.boundary(row)]
            for row in range(len(found.rows))
        ],
        "trial": _trial(study),
    }

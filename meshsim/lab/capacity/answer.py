"""What a study knows, as numbers: those that `capacity.json` holds."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from meshsim import version
from meshsim.lab.capacity.largest_load import LoadSearch
from meshsim.lab.capacity.least_replicas import ReplicasSearch
from meshsim.lab.capacity.pools import Replicas
from meshsim.lab.capacity.study import MAP, RECOVERY, Study
from meshsim.lab.search.inquiry import Finding
from meshsim.lab.search.knee import Knee
from meshsim.lab.search.verdict import columns
from meshsim.measure import capacity as results
from meshsim.measure.intervals import Interval, interval
from meshsim.measure.latency import VERY_LATE
from meshsim.scenario import config


def answer(study: Study) -> results.CapacityNumbers:
    """Everything that a study knows."""
    plan = study.plan
    seeds = [row.observation.seed for row in study.rows]
    return results.CapacityNumbers(
        scenario=study.scenario.name,
        version=version.VERSION,
        seed=plan.seed,
        confidence=plan.confidence,
        resolution=study.resolution,
        replications_most=plan.most,
        runs=len(study.rows) + sum(row.question in (RECOVERY, MAP) for row in study.rows),
        seeds=[min(seeds), max(seeds)] if seeds else [],
        partial=study.partial,
        objectives=study.limits,
        load=None if study.load is None else _load(study.load, study.knee),
        replicas=None if study.replicas is None else _replicas(study.replicas),
        recovery=_recovery(study),
        map=None if study.map is None or study.trial is None else study.map.result(study.trial),
        provenance={"scenario": config.text(study.scenario)},
    )


def _load(search: LoadSearch, knee: Knee | None) -> results.LargestLoad:
    curve = [_point(search, finding) for finding in _seen(search)]
    return results.LargestLoad(
        **_bracket(search),
        knee=None if knee is None else _knee(search, knee),
        busiest=next((point.busiest for point in curve if point.factor == search.meets), None),
        curve=curve,
    )


def _point(search: LoadSearch, finding: Finding[float]) -> results.CurvePoint:
    seen = finding.observations
    return results.CurvePoint(
        **_evaluated(search, finding),
        unstable=sum(each.unstable for each in seen),
        measured=[_mean([score.measured for score in scores]) for scores in columns(seen)],
        goodput=_mean([each.numbers.get("goodput") for each in seen]),
        latency_mean=_mean([each.numbers.get("latency.mean") for each in seen]),
        utilisation=finding.means("utilisation."),
    )


def _knee(search: LoadSearch, knee: Knee) -> results.Knee:
    best, low, high = map(search.scaling.level, knee[:3])
    return results.Knee(best, low, high, knee.inside)


def _seen(search: LoadSearch) -> list[Finding[float]]:
    """What was seen at each load, in order; with fresh seeds only where it was not looked at before."""
    found = {
        load: finding
        for inquiry in (search.verifier, search.inquiry)
        for load, finding in inquiry.findings.items()
        if finding.observations
    }
    return [found[load] for load in sorted(found)]


def _bracket(search: LoadSearch) -> dict[str, Any]:
    meets, misses = search.meets, search.misses
    return {
        "meets": None if meets is None else search.scaling.level(meets),
        "misses": None if misses is None else search.scaling.level(misses),
        "confirmed": search.confirmed,
        "notes": search.notes,
    }


def _evaluated(search: LoadSearch, finding: Finding[float]) -> dict[str, Any]:
    return {
        **vars(search.scaling.level(finding.candidate)),
        "verdict": str(finding.verdict),
        "replications": len(finding.observations),
        "fresh": search.inquiry.plan.is_fresh(finding.observations[0].seed),
    }


def _mean(values: Sequence[float | None]) -> Interval | None:
    """A mean over replications with its 95 % interval; None where a replication has no number."""
    known = [value for value in values if value is not None and value < VERY_LATE]
    return interval(known) if len(known) >= max(2, len(values)) else None


def _replicas(search: ReplicasSearch) -> results.LeastReplicas:
    pools = search.pools

    def by_name(replicas: Replicas) -> dict[str, int]:
        return dict(zip(pools.names, replicas, strict=True))

    return results.LeastReplicas(
        least=None if search.least is None else by_name(search.least),
        own=by_name(pools.own),
        bounds=None if search.bounds is None else by_name(search.bounds),
        costs=dict(zip(pools.names, pools.costs, strict=True)),
        cost=None if search.least is None else pools.cost(search.least),
        cost_own=pools.cost(pools.own),
        removals={name: None if each is None else str(each) for name, each in search.removals.items()},
        exact=search.exact,
        cheaper_tried=search.cheaper_tried,
        confirmed=search.confirmed,
        notes=search.notes,
    )


def _recovery(study: Study) -> results.Recovery | None:
    search = study.recovery
    if search is None or study.trial is None:
        return None
    looked = [
        results.RecoveryPoint(
            **_evaluated(search, finding),
            recovered=sum(each.scores[0].measured == 1.0 for each in finding.observations),
        )
        for finding in _seen(search)
    ]
    return results.Recovery(**_bracket(search), trial=study.trial, looked_at=looked)

"""The keys of compare.json and validation.json, in their order: a contract, so more may come, none may go."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

from meshsim.lab.compare import compare
from meshsim.lab.validate import validate_each
from meshsim.scenario import loads

sys.path.insert(0, str(Path(__file__).parent / "validate"))
from fake_live import BUSY, Fake

SCENARIO = loads("""
name: small
duration: 10s
services: {api: {workers: 3, time: {exponential: 20ms}, errors: 5%}}
mesh: {dataplane: sidecar}
policies: {api: {retries: {attempts: 1}}}
load: [{to: api, rate: 60/s}]
objectives: [{service: api, success: 90%}]
""")


SIDE = "scenario engine measured unstable provenance(scenario meshsim python platform) label"
DIFFERENCE = (
    "metric a b difference low high half_width told told_jointly identical correlation variance_ratio"
    " unpaired_replications"
)
COMPARISON = (
    f"version engine seeds replications partial confidence metric a({SIDE}) b({SIDE})"
    f" differences({DIFFERENCE}) jointly(metrics told confidence_each) cost({DIFFERENCE})"
    " objectives(objective limit met_a met_b) requests(count rescued faster same slower lost failed"
    " difference(mean low high half_width confidence replications))"
    " until(metric ratio at_most replications precision reached forecast) notes verdict"
)
METRIC = (
    "metric theory theory_kind simulation interval live error tolerance ok difference allowed chance busy"
)
LAG = "p50 p99 max"
SEEN = f"load_lag({LAG}) service_lag({LAG}) cpu_busy cpu_steal troubles errors"
VALIDATION = (
    f"verdict proxy metrics({METRIC}) paired(requests status_equal attempts_equal p50_error p99_error"
    " residuals(mean p01 p10 p50 p90 p99)) reasons scenario seed version measured confidence"
    " overhead(client -> api(calls mean p50 p99))"
    f" machine(calibration({SEEN}) live run({SEEN}) calibration after it({SEEN}))"
    " theory(metric value kind) proxies(metric other own difference allowed ok) notes"
)


def keys(value: Any) -> str:
    """All keys in their order, of a list those of its first element."""
    if isinstance(value, list):
        return keys(value[0]) if value else ""
    if not isinstance(value, dict):
        return ""
    inside = {key: keys(part) for key, part in value.items()}
    return " ".join(f"{key}({part})" if part else key for key, part in inside.items())


def in_json(summary: dict[str, Any]) -> str:
    return keys(json.loads(json.dumps(summary, allow_nan=False)))


def test_those_of_a_comparison() -> None:
    changes = ["services.api.workers=2"]
    result = compare(SCENARIO, changes=changes, until="5%", at_most=10, jobs=1)
    assert in_json(result.summary) == COMPARISON
    fixed = compare(SCENARIO, changes=changes, replications=2, jobs=1)
    assert "until" not in fixed.summary


def test_those_of_a_validation() -> None:
    live = Fake(evidence=BUSY, slow={"api": 1.3})
    one, other = validate_each([SCENARIO], proxy="both", live=live, replications=2)
    assert in_json(other.summary) == VALIDATION
    assert "proxies" not in one.summary

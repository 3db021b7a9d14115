"""The JSON of results: keys, their order, and numbers to nine digits, as `results.json` has them.

`python tests/golden/test_json.py` writes that file anew, after a change that is meant to be seen.
"""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import meshsim as ms
from meshsim.lab.sweep import as_dict

KEPT = Path(__file__).with_name("results.json")
TEXT = """
name: small
engine: simpy
duration: 20s
warmup: 2s
services:
  web: {time: 2ms, script: [{call: api}]}
  api:
    errors: 5%
    versions: {v1: {replicas: 2, workers: 2, time: {exponential: 20ms}}, v2: {time: 10ms}}
policies: {api: {timeout: 90ms, retries: {attempts: 2, on: [5xx]}, hedge: {after: 60ms}}}
load: [{to: web, rate: 60/s}]
objectives: [{service: web, p99: 200ms, success: 99%}, {service: api, mean: 5ms}]
"""
SCENARIO = ms.loads(TEXT)
TILL = ms.loads("""
name: till
duration: 20s
services:
  till: {replicas: 2, time: 2ms, script: [{call: card}]}
  card: {versions: {v1: {replicas: 2}, v2: {}}, workers: 1, time: {exponential: 50ms}}
policies: {card: {retries: {attempts: 2, per_try_timeout: 400ms, on: [5xx]}}}
load: [{to: till, rate: 10/s}, {to: till, users: 2, think: 100ms}]
objectives: [{service: till, p90: 600ms, success: 50%}, {service: card, mean: 200ms}]
events: [{at: 2s, for: 2s, service: card, slow: 5}]
""")
MAP = {"load[0].rate": ["5/s", "10/s", "20/s", "40/s"], "policies.card.retries.attempts": [0, 2]}
QUICK: dict[str, Any] = {"at_most": 4, "resolution": 0.3, "jobs": 1}
FULL = {"services.api.versions.v1.time.exponential": "200ms", "policies.api": "{}"}
"""Overrides with which it is unstable."""


def batch() -> dict[str, Any]:
    """Of a file that can be used and one that can't, in the folder where we are."""
    Path("good.yaml").write_text(TEXT)
    Path("bad.yaml").write_text("services: {a: {}}\nload: []\n")
    found = ms.batch(["good.yaml", "bad.yaml"], jobs=1).as_dict()
    for each in found["scenarios"]:
        each["seconds"] = 0.0
    return found


CASES: dict[str, Callable[[], dict[str, Any]]] = {
    "run": lambda: ms.run(SCENARIO).summary,
    "replications": lambda: ms.run(SCENARIO, replications=2).summary,
    "histograms": lambda: ms.run(SCENARIO, keep="histograms").summary,
    "until": lambda: ms.run(SCENARIO, until="50%").summary,
    "unstable": lambda: ms.run(SCENARIO, overrides=FULL).summary,
    "sweep": lambda: as_dict(ms.sweep(SCENARIO, {"load[0].rate": ["30/s", "60/s"]}, replications=2, jobs=1)),
    "batch": batch,
    "capacity": lambda: ms.capacity(TILL, costs={"card/v2": 2.5}, overrides={"events": []}, **QUICK).answer,
    "recovery": lambda: ms.capacity(TILL, find=["recovery"], vary=MAP, window=10.0, **QUICK).answer,
}


def made(case: str) -> str:
    """A result as JSON, without what tells of this machine and version."""
    found = CASES[case]()
    found.pop("provenance", None)
    return json.dumps(found).replace(f'"version": "{ms.__version__}"', '"version": ""')


def rounded(text: str) -> Any:
    """JSON as nested lists of pairs, so that order counts; the last digits of numbers do not."""
    return json.loads(text, object_pairs_hook=list, parse_float=lambda number: f"{float(number):.9g}")


@pytest.mark.parametrize("case", CASES)
def test_json_is_as_it_was(case: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert rounded(made(case)) == rounded(json.loads(KEPT.read_text())[case])


if __name__ == "__main__":
    os.chdir(tempfile.mkdtemp())
    KEPT.write_text(json.dumps({case: made(case) for case in CASES}, indent=1) + "\n")

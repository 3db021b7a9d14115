"""Made-up scenarios: whatever `solve` calls exact must be what runs show.

The table of cases holds what somebody thought of. Here meshes are put together at random from what has exact
solutions and from what hasn't, so that the recogniser's conditions are tried where nobody looked.
"""

from __future__ import annotations

import copy
import random
import sys
from pathlib import Path
from typing import Any

import pytest

from meshsim.scenario.endpoints import CLUSTER_LEVEL
from meshsim.theory import solve

sys.path.insert(0, str(Path(__file__).parent))
from readings import Document, Part
from test_cases import compare, replicate

SCENARIOS = 150
REPLICATIONS = 12
REQUESTS = 1_200


class Maker:
    """Draws the parts of a scenario."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def one(self, *values: Any) -> Any:
        return self.random.choice(values)

    def time(self, mean: float) -> Any:
        """A service time; exponential as often as everything else."""
        text = f"{mean:.6g}ms"
        others = [
            text,
            {"erlang": {"mean": text, "k": 3}},
            {"gamma": {"mean": text, "cv": 0.7}},
            {"lognormal": {"mean": text, "cv": 1.2}},
            {"uniform": {"low": "0ms", "high": f"{2 * mean:.6g}ms"}},
        ]
        return {"exponential": text} if self.random.random() < 0.6 else self.random.choice(others)

    def service(self, rate: float, callees: list[str]) -> Document:
        """A service that can do what `rate` (times at most two) asks of it."""
        workers = self.one(1, 1, 2, 3, "unlimited", "unlimited")
        count = 1 if workers == "unlimited" else workers
        replicas = self.one(1, 1, 2)
        mean = self.one(0.3, 0.6) * 0.5 * count * replicas / rate * 1e3
        made: Document = {
            "replicas": replicas,
            "workers": workers,
            "time": self.time(mean),
            "holds_worker": self.one(True, False, False),
            "errors": self.one(0, 0, 0, 0.1),
            "discipline": self.one("fifo", "fifo", "fifo", "lifo"),
            "queue": self.one("unlimited", "unlimited", "unlimited", 3),
            "when_abandoned": self.one("finish", "finish", "stop", "leave_queue"),
        }
        if callees:
            made["script"] = self.script(callees)
        return made

    def script(self, callees: list[str]) -> list[Any]:
        steps: list[Document] = []
        for callee in callees:
            step: Document = {"call": callee}
            if self.random.random() < 0.2:
                step["probability"] = 0.5
            if self.random.random() < 0.2:
                step["optional"] = True
            steps.append(step)
        if self.random.random() < 0.2:
            steps.append({"sleep": self.time(3.0)})
        return [steps] if len(steps) > 1 and self.random.random() < 0.3 else list(steps)

    def policy(self, entry: bool) -> Document:
        made: Document = {"balance": self.one("random", "random", "round_robin", "least_request")}
        if self.random.random() < 0.25:
            made["retries"] = {"attempts": self.one(1, 2), "backoff": {"base": self.one("0ms", "5ms")}}
            if self.random.random() < 0.3:
                made["retries"]["per_try_timeout"] = "40ms"
        elif self.random.random() < 0.1:
            made["hedge"] = {"after": "15ms"}
        if self.random.random() < (0.3 if entry else 0.1):
            made["timeout"] = self.one("60ms", "150ms")
        if self.random.random() < 0.1:
            made["rate_limit"] = {"burst": 4, "rate": "100/s"}
        if self.random.random() < 0.1:
            made["fault"] = {"delay": {"percent": 0.2, "time": "5ms"}, "abort": {"percent": 0.1}}
        if self.random.random() < 0.3:
            made["connection"] = {"max_requests": self.one(1, 1, 1, 2)}
        return made

    def load(self, rate: float) -> Document:
        kind = self.one("poisson", "poisson", "poisson", "poisson", "constant", "mmpp", "closed")
        if kind == "closed":
            return {"to": "a", "users": 8, "think": {"exponential": f"{8 / rate:.6g}s"}}
        if kind == "mmpp":
            rates = [f"{0.5 * rate:.6g}/s", f"{1.5 * rate:.6g}/s"]
            return {"to": "a", "arrivals": {"mmpp": {"rates": rates, "mean_times": ["200ms", "200ms"]}}}
        return {"to": "a", "rate": f"{rate:.6g}/s", "arrivals": kind}

    def scenario(self) -> Document:
        rate = 100.0
        names = "abcd"[: self.one(1, 1, 2, 2, 3, 4)]
        below: dict[str, list[str]] = {name: [] for name in names}
        for index, name in enumerate(names[1:], start=1):
            below[self.random.choice(names[:index])].append(name)
        proxy = self.one("0ms", "200us", {"exponential": "300us"})
        return {
            "services": {name: self.service(rate, below[name]) for name in names},
            "mesh": {"dataplane": self.one("none", "sidecar"), "proxy": {"time": proxy}},
            "links": {
                "default": {
                    "latency": self.one("0ms", "0ms", "500us", {"exponential": "1ms"}),
                    "connect": self.one("0ms", "0ms", "0ms", "4ms"),
                }
            },
            "policies": {name: self.policy(name == "a") for name in names},
            "load": [self.load(rate)],
        }

    def with_endpoints(self) -> Document:
        """A scenario some of whose services have endpoints, which some of their callers ask for."""
        made = self.scenario()
        services, (load,) = made["services"], made["load"]
        for name, service in services.items():
            if self.random.random() < 0.6:
                service["endpoints"] = {
                    endpoint: self.endpoint(service) for endpoint in ("e", "f")[: self.one(1, 2, 2)]
                }
                for endpoint in service["endpoints"]:
                    if self.random.random() < 0.2:
                        fields = self.policy(name == "a").items()
                        own = {key: value for key, value in fields if key not in CLUSTER_LEVEL}
                        made["policies"][f"{name}/{endpoint}"] = own
        works = [*services.values(), *(e for s in services.values() for e in s.get("endpoints", {}).values())]
        stages = [stage for work in works for stage in work.get("script", [])]
        for step in (step for stage in stages for step in (stage if isinstance(stage, list) else [stage])):
            endpoints = services.get(step.get("call"), {}).get("endpoints")
            if endpoints and self.random.random() < 0.7:
                step["call"] += f"/{self.one(*endpoints)}"
            if "call" in step and self.random.random() < 0.15:
                step["repeat"] = 2
        if "endpoints" in services["a"] and self.random.random() < 0.8:
            load["endpoints"] = {name: self.one(1, 3) for name in services["a"]["endpoints"]}
        return made

    def endpoint(self, service: Document) -> Document:
        """What it does otherwise than its service."""
        own: Document = {}
        if self.random.random() < 0.5:
            own["time"] = self.time(self.one(1.0, 2.0))
        if self.random.random() < 0.3:
            own["errors"] = 0.15
        if "script" in service:
            own["script"] = self.one([], copy.deepcopy(service["script"]), copy.deepcopy(service["script"]))
        return own


def check(document: Document) -> int:
    """Runs against every exact prediction of a made-up scenario; how many there were."""
    part = Part(document, 100.0, 4.0, {})
    scenario = part.scenario(REQUESTS)
    exact = [prediction for prediction in solve(scenario).predictions if prediction.kind == "exact"]
    if len(exact) < 2:
        return 0
    runs = replicate(scenario, REPLICATIONS)
    for prediction in exact:
        compare(prediction, runs, 10)
    return len(exact)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(SCENARIOS))
def test_what_is_called_exact_is(seed: int) -> None:
    check(Maker(seed).scenario())


@pytest.mark.long
@pytest.mark.parametrize("seed", range(SCENARIOS))
def test_what_is_called_exact_of_endpoints_is(seed: int) -> None:
    check(Maker(seed).with_endpoints())


def test_solving_never_stumbles() -> None:
    """Whatever is put together: predictions or reasons, and numbers that are numbers."""
    for seed in range(SCENARIOS, SCENARIOS + 12):
        for document in (Maker(seed).scenario(), Maker(seed).with_endpoints()):
            solution = solve(Part(document, 100.0, 4.0, {}).scenario(REQUESTS))
            assert solution.predictions or solution.reasons
            assert all(0.0 <= prediction.value < 1e9 for prediction in solution.predictions)

"""Scenarios that Hypothesis makes up: small meshes under stress, in which every mechanism acts often.

All times are drawn from continuous distributions, so that no two events fall together by chance: what
happens at the same instant is then only what one event causes, and its order is part of the model.
"""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st
from identities import secured
from rollouts import rolling

from meshsim.scenario.endpoints import CLUSTER_LEVEL
from meshsim.scenario.pushes import DETECTIONS

Document = dict[str, Any]

TAIL = {"mean": "80ms", "shape": 2.2}


def ms(low: float, high: float) -> st.SearchStrategy[str]:
    """A duration between two numbers of milliseconds."""
    return st.floats(low, high).map(lambda value: f"{value:.3f}ms")


def apart(low: int, high: int, offset: float) -> st.SearchStrategy[str]:
    """A fixed duration: whole milliseconds and an offset of its kind's own, so that no two kinds meet."""
    return st.integers(low, high).map(lambda value: f"{value + offset}ms")


def percent(low: float, high: float) -> st.SearchStrategy[str]:
    return st.floats(low, high).map(lambda value: f"{value:.1f}%")


@st.composite
def time(draw: st.DrawFn, low: float, high: float) -> Document:
    """A random time with a mean between two numbers of milliseconds."""
    mean = draw(ms(low, high))
    cv = draw(st.sampled_from([0.3, 0.8, 2.0]))
    return draw(
        st.sampled_from(
            [
                {"exponential": mean},
                {"lognormal": {"mean": mean, "cv": cv}},
                {"gamma": {"mean": mean, "cv": cv}},
                {"erlang": {"mean": mean, "k": 3}},
                {"weibull": {"mean": mean, "shape": 0.7}},
                {"uniform": {"low": "0.01ms", "high": mean}},
                {"sum": [{"gamma": {"mean": mean, "cv": cv}}, "0.1ms"]},
                {"mixture": [{"weight": 9, "exponential": mean}, {"weight": 1, "pareto": {"mean": "80ms",
                "shape": 2.2}}]},
            ]
        )
    )  # fmt: skip


@st.composite
def keep_alive(draw: st.DrawFn) -> str:
    """Mostly none."""
    return draw(apart(10, 80, 0.6133)) if draw(st.integers(0, 3)) == 0 else "0s"


@st.composite
def deployment(draw: st.DrawFn) -> Document:
    return {
        "replicas": draw(st.integers(1, 4)),
        "workers": draw(st.sampled_from([1, 1, 2, 4, "unlimited"])),
        "queue": draw(st.sampled_from([0, 2, 10, "unlimited"])),
        "discipline": draw(st.sampled_from(["fifo", "lifo", "priority"])),
        "holds_worker": draw(st.booleans()),
        "when_abandoned": draw(st.sampled_from(["finish", "leave_queue", "stop"])),
        "time": draw(time(1, 30)),
        "errors": draw(st.sampled_from(["0%", "5%", "40%", "100%"])),
        "keep_alive": draw(keep_alive()),
    }


@st.composite
def script(draw: st.DrawFn, callees: list[str]) -> list[Any]:
    """Stages of calls to services further down, some at once, some optional, some not always, and sleeps."""

    def step() -> Document:
        if draw(st.integers(0, 5)) == 0:
            return {"sleep": draw(time(1, 10))}
        made: Document = {"call": draw(st.sampled_from(callees))}
        if draw(st.booleans()):
            made["optional"] = True
        if draw(st.integers(0, 2)) == 0:
            made["probability"] = draw(percent(20, 90))
        return made

    stages: list[Any] = []
    for _ in range(draw(st.integers(1, 3))):
        stages.append([step() for _ in range(draw(st.integers(1, 3)))] if draw(st.booleans()) else step())
    return stages


@st.composite
def retries(draw: st.DrawFn) -> Document:
    conditions = ["5xx", "gateway-error", "reset", "connect-failure", "reset-before-request", "retriable-4xx"]
    conditions.append("per-try-timeout")
    made: Document = {
        "attempts": draw(st.integers(0, 4)),
        "on": draw(
            st.one_of(st.just(["5xx"]), st.lists(st.sampled_from(conditions), min_size=1, unique=True))
        ),
    }
    if draw(st.booleans()):
        made["per_try_timeout"] = draw(apart(5, 60, 0.1311))
    if draw(st.booleans()):
        made["backoff"] = {"base": draw(ms(0, 30)), "max": draw(ms(30, 100))}
        if draw(st.booleans()):
            made["backoff"]["jitter"] = draw(percent(0, 100))
    if draw(st.integers(0, 2)) == 0:
        made["statuses"] = draw(st.sampled_from([[500], [503], [409, 500], [200, 503]]))
        if draw(st.booleans()):
            del made["on"]
    if draw(st.booleans()):
        made |= {"previous_hosts": True, "host_attempts": draw(st.sampled_from([1, 2, 5]))}
    budget = draw(st.sampled_from(["none", "envoy", "linkerd"]))
    if budget == "envoy":
        made["budget"] = {"ratio": draw(percent(5, 60)), "min_concurrency": draw(st.integers(0, 3))}
    elif budget == "linkerd":
        made["budget"] = {
            "ratio": draw(percent(0, 60)), "min_per_second": draw(st.integers(0, 3)),
            "ttl": draw(st.sampled_from(["1s", "2.5s", "10s"])),
        }  # fmt: skip
    return made


@st.composite
def success_rate(draw: st.DrawFn) -> Document:
    """Often one, over few hosts and requests."""
    if draw(st.integers(0, 2)) == 0:
        return {}
    rates = {"hosts": draw(st.integers(1, 2)), "requests": draw(st.integers(1, 3))}
    return {"success_rate": {**rates, "factor": draw(st.sampled_from([0.3, 0.8, 1.3]))}}


@st.composite
def connection(draw: st.DrawFn) -> Document:
    """Short ones, each kind of end about as often as the others."""
    every = {
        "connect_timeout": apart(3, 25, 0.7019),
        "idle_timeout": apart(10, 80, 0.8123),
        "max_requests": st.sampled_from([1, 2, 5]),
        "max_age": apart(10, 200, 0.9241),
    }
    return {key: draw(value) for key, value in every.items() if draw(st.booleans())}


@st.composite
def policy(draw: st.DrawFn, versions: list[str]) -> Document:
    """Each mechanism more often on than off."""
    made: Document = {
        "balance": draw(
            st.sampled_from(
                [
                    "round_robin",
                    "random",
                    "least_request",
                    {"least_request": {"choices": 3}},
                    {"least_request": {"selection": "full_scan"}},
                    "peak_ewma",
                    {"peak_ewma": {"decay": "50ms", "rtt": "5ms"}},
                    {"peak_ewma": {"decay": "1s"}},
                ]
            )
        )
    }

    def on(often: int = 2) -> bool:
        return draw(st.integers(0, often)) > 0

    if on():
        made["timeout"] = draw(apart(20, 300, 0.2717))
    if on(3):
        made["retries"] = draw(retries())
    if on():
        limit = st.sampled_from([1, 2, 4, 10, "unlimited"])
        made["circuit_breaker"] = {
            "max_connections": draw(limit), "max_pending": draw(limit), "max_requests": draw(limit),
            "max_retries": draw(limit),
        }  # fmt: skip
    if not on(3):
        made["failure_accrual"] = {
            "max_failures": draw(st.integers(1, 4)),
            "min_penalty": draw(apart(40, 150, 0.4177)),
            "max_penalty": draw(apart(200, 500, 0.6143)),
            "jitter": draw(st.sampled_from(["0%", "50%", "100%"])),
        }
    elif on(4):
        made["outlier_detection"] = {
            "consecutive_5xx": draw(st.integers(1, 3)),
            **draw(
                st.sampled_from([{}, {"consecutive_gateway_failure": 1}, {"consecutive_gateway_failure": 2}])
            ),
            "interval": draw(apart(100, 400, 0.3137)),
            "base_ejection_time": draw(apart(100, 700, 0.4219)),
            "max_ejection_time": "1500ms",
            "max_ejection_percent": draw(st.sampled_from(["10%", "34%", "50%", "100%"])),
            "always_eject_one": draw(st.booleans()),
            **draw(success_rate()),
            "min_health_percent": draw(st.sampled_from(["0%", "50%"])),
            "merge_window": draw(st.one_of(st.just("0s"), apart(20, 500, 0.5371))),
        }
    if not on(2):
        made["connection"] = draw(connection())
    if on(1):
        made["hedge"] = {"after": draw(apart(5, 40, 0.0173)), "max": draw(st.integers(1, 3))}
    if draw(st.integers(0, 5)) == 0:
        made["rate_limit"] = {"burst": draw(st.integers(3, 20)), "rate": f"{draw(st.integers(30, 150))}/s"}
    if on(1):
        made["fault"] = {
            "delay": {"percent": draw(percent(5, 30)), "time": draw(time(1, 40))},
            "abort": {"percent": draw(percent(1, 15)), "status": draw(st.sampled_from([409, 500, 503]))},
        }
    if versions and on(1):
        made["split"] = {version: draw(st.integers(1, 9)) for version in versions}
    return made


@st.composite
def gaps(draw: st.DrawFn, config: Document) -> None:
    """Leaves some keys of a policy out, for a preset to fill."""
    for key in list(config):
        if draw(st.integers(0, 5)) == 0:
            del config[key]
        elif key in ("retries", "circuit_breaker", "outlier_detection"):
            for inner in list(config[key]):
                if inner not in ("interval", "success_rate") and draw(st.integers(0, 3)) == 0:
                    del config[key][inner]  # a preset's ticks are on the grid; its success rates are rare
            if "base_ejection_time" not in config[key]:
                config[key].pop("max_ejection_time", None)


@st.composite
def link(draw: st.DrawFn, rarely: int) -> Document:
    """One whose connections take time to open in one case of so many, and one more."""
    return {
        "latency": draw(time(0.2, 5) | st.just("0s")),
        "loss": draw(st.sampled_from(["0%", "1%", "10%"])),
        "connect": draw(time(1, 80)) if draw(st.integers(0, rarely)) == 0 else "0s",
    }


@st.composite
def load(draw: st.DrawFn, to: str, place: int) -> Document:
    made: Document = {"to": to, "priority": place + draw(st.sampled_from([0, 2]))}  # two loads differ
    kind = draw(st.sampled_from(["rate", "rate", "profile", "mmpp", "users"]))
    if kind == "rate":
        made["rate"] = f"{draw(st.integers(10, 60))}/s"
    elif kind == "profile":
        made["profile"] = [
            {"at": "0s", "rate": f"{draw(st.integers(0, 30))}/s"},
            {"at": "0.5s", "rate": f"{draw(st.integers(20, 80))}/s", "ramp": draw(ms(0, 900))},
            {"at": "1.2s", "rate": f"{draw(st.integers(0, 30))}/s", "ramp": draw(ms(0, 300))},
        ]
    elif kind == "mmpp":
        rates = [f"{draw(st.integers(0, 40))}/s", f"{draw(st.integers(40, 120))}/s"]
        made["arrivals"] = {"mmpp": {"rates": rates, "mean_times": ["400ms", "200ms"]}}
    else:
        made["users"] = draw(st.integers(1, 8))
        made["think"] = draw(time(20, 100))
    return made


@st.composite
def events(draw: st.DrawFn, document: Document, edges: list[tuple[str, str]]) -> list[Document]:
    """Faults in the middle of the run, and a push."""
    made: list[Document] = []
    replicas = [
        f"{name}/{version}/0" if version else f"{name}/0"
        for name, service in document["services"].items()
        for version in list(service.get("versions", {})) or [""]
    ]
    for _ in range(draw(st.integers(0, 6))):
        event: Document = {"at": draw(ms(100, 1200)), "for": draw(ms(50, 900))}
        what = draw(st.sampled_from(["service", "replica", "down", "down", "link"]))
        if what == "service":
            event["service"] = draw(st.sampled_from(list(document["services"])))
            event["slow"] = draw(st.floats(1.5, 8))
        elif what == "replica":
            event["replica"] = draw(st.sampled_from(replicas))
            event["errors"] = draw(st.sampled_from(["10%", "60%", "100%"]))  # equal ones may overlap
        elif what == "down":
            where = draw(st.sampled_from(["service", "replica"]))
            event[where] = draw(
                st.sampled_from(replicas if where == "replica" else list(document["services"]))
            )
            event["down"] = True
        else:
            caller, service = draw(st.sampled_from(edges))
            event["link"] = f"{caller} -> {service}"
            event["latency_factor"] = draw(st.floats(2, 20))
            event["loss"] = draw(st.sampled_from(["10%", "50%"]))
        made.append(event)
    for _ in range(draw(st.sampled_from([0, 0, 1, 1, 2, 3]))):
        made.append({"at": draw(ms(300, 900)), "set": draw(change(document, edges))})
    return made


@st.composite
def change(draw: st.DrawFn, document: Document, edges: list[tuple[str, str]]) -> Document:
    """What a push sets: a whole policy, or one part of it."""
    target = draw(st.sampled_from([service for _, service in edges]))
    whole = draw(policy(list(document["services"][target].get("versions", {}))))
    if draw(st.booleans()):
        return {f"policies.{target}": whole}
    part = draw(st.sampled_from(list(whole)))
    instead = {f"policies.{target}.{other}": None for other in DETECTIONS if part in DETECTIONS}
    return {**instead, f"policies.{target}.{part}": whole[part]}


@st.composite
def scenarios(draw: st.DrawFn) -> Document:
    """A mesh of two to five services, called only downwards in their order."""
    names = ["front", "mid", "cart", "back", "leaf"][-draw(st.integers(2, 5)) :]
    services: dict[str, Document] = {}
    edges = [("client", names[0])]
    for i, name in enumerate(names):
        service = draw(deployment())
        below = names[i + 1 :]
        if below:
            service["script"] = draw(script(below))
        if draw(st.integers(0, 2)) == 0:
            service["versions"] = {
                "v1": {"replicas": draw(st.integers(1, 3))},
                "v2": {"time": draw(time(1, 30)), "keep_alive": draw(keep_alive())},
            }
        services[name] = service
    for name, service in services.items():
        for stage in service.get("script", []):
            for step in stage if isinstance(stage, list) else [stage]:
                if "call" in step and (name, step["call"]) not in edges:
                    edges.append((name, step["call"]))
    document: Document = {
        "duration": "1500ms",
        "warmup": "200ms",
        "drain": "20s",
        "seed": draw(st.integers(0, 2**32)),
        "services": services,
        "links": {"default": draw(link(4))},
        "load": [draw(load(names[0], place)) for place in range(draw(st.integers(1, 2)))],
    }
    if draw(st.booleans()):
        document["links"][" -> ".join(draw(st.sampled_from(edges)))] = draw(link(1))
    if draw(st.booleans()):
        proxy = {"time": draw(time(0.1, 1)), "workers": draw(st.sampled_from([1, 2, "unlimited"]))}
        document["mesh"] = {"dataplane": "sidecar", "proxy": proxy, "push_delay": draw(time(1, 50))}
    if draw(st.integers(0, 2)) == 0:
        document.setdefault("mesh", {})["preset"] = draw(st.sampled_from(["envoy", "istio", "linkerd"]))
    policies: Document = {}
    for service in dict.fromkeys(service for _, service in edges):
        policies[service] = draw(policy(list(services[service].get("versions", {}))))
    if draw(st.booleans()):
        caller, service = draw(st.sampled_from(edges))
        policies[f"{caller} -> {service}"] = {
            "timeout": draw(apart(20, 300, 0.2717)),
            "retries": draw(retries()),
            "connection": draw(connection()),
        }
    document["policies"] = policies
    if "preset" in document.get("mesh", {}):
        for each in policies.values():
            draw(gaps(each))
    document["events"] = draw(events(document, edges))
    if draw(st.booleans()):
        draw(endpoints(document, edges))
    if "dataplane" in document.get("mesh", {}) and draw(st.integers(0, 3)) > 0:
        draw(secured(document, time, apart, ms))
    if draw(st.booleans()):
        draw(rolling(document, time, apart, ms))
    return document


@st.composite
def endpoints(draw: st.DrawFn, document: Document, edges: list[tuple[str, str]]) -> None:
    """Gives some services endpoints, has them called and loaded, and gives some of them policies."""
    services = document["services"]
    callees = {name: [to for by, to in edges if by == name] for name in services}

    def work(name: str) -> Document:
        made: Document = {}
        if draw(st.booleans()):
            made["time"] = draw(time(1, 30))
        if draw(st.booleans()):
            made["errors"] = draw(st.sampled_from(["0%", "20%"]))
        if callees[name] and draw(st.booleans()):
            made["script"] = draw(script(callees[name]))
        return made

    for name, service in services.items():
        service["endpoints"] = {each: work(name) for each in ["get", "add", "all"][: draw(st.integers(0, 3))]}
        for version in service.get("versions", {}).values():
            version["endpoints"] = {each: work(name) for each in service["endpoints"] if draw(st.booleans())}

    def name_endpoints(scripts: Any) -> None:
        if isinstance(scripts, list):
            for each in scripts:
                name_endpoints(each)
        elif "call" in scripts:
            if draw(st.integers(0, 2)) == 0:
                scripts["repeat"] = draw(st.integers(2, 3))
            known = list(services[scripts["call"]]["endpoints"])
            if known and draw(st.integers(0, 3)) > 0:
                scripts["call"] += f"/{draw(st.sampled_from(known))}"

    for service in services.values():
        versions = list(service.get("versions", {}).values())
        for place in [service, *versions]:
            for each in [place, *place["endpoints"].values()]:
                name_endpoints(each.get("script", []))
    for each in document["load"]:
        if services[each["to"]]["endpoints"] and draw(st.integers(0, 3)) > 0:
            each["endpoints"] = {name: draw(st.integers(1, 9)) for name in services[each["to"]]["endpoints"]}
    for caller, name in edges:
        for endpoint in services[name]["endpoints"]:
            narrow = f"{caller} -> {name}" if draw(st.integers(0, 3)) == 0 else name
            made = draw(policy(list(services[name].get("versions", {}))))
            of_route = {key: value for key, value in made.items() if key not in CLUSTER_LEVEL}
            of_route.get("retries", {}).pop("budget", None)
            if draw(st.integers(0, 3)) == 0:
                of_route["rate_limit"] = {"burst": 3, "rate": f"{draw(st.integers(5, 50))}/s"}
            if of_route and draw(st.booleans()):
                document["policies"][f"{narrow}/{endpoint}"] = of_route
            elif of_route and draw(st.integers(0, 3)) == 0:
                pushed = {f"policies.{name}/{endpoint}": of_route}
                document["events"].append({"at": draw(ms(300, 900)), "set": pushed})


STEP = 1000 / 64
"""Of the grid, ms: sums of it are exact."""
KINDS = {"exponential", "lognormal", "gamma", "erlang", "weibull", "uniform", "sum", "mixture"}


def on_grid(written: Any, ticks: bool = True) -> Any:
    """A scenario whose times are all whole numbers of a step, so that very much happens at one instant.

    With `ticks`, those of outlier detection too; their place within an instant is not part of the model.
    """
    if isinstance(written, list):
        return [on_grid(each, ticks) for each in written]
    if isinstance(written, str) and written.endswith("ms"):
        return f"{max(1, round(float(written[:-2]) / STEP)) * STEP}ms"
    if not isinstance(written, dict):
        return written
    if KINDS & set(written):
        return f"{len(str(written)) % 3 * STEP}ms"
    made = {
        key: value if key == "interval" and not ticks else on_grid(value, ticks)
        for key, value in written.items()
    }
    if "rate" in made and "to" in made:
        made |= {"rate": "64/s", "arrivals": "constant"}
    if "drain" in made:
        made["drain"] = "20001ms"  # what is due at the very end is nobody's business: it falls between
    if made.get("think") == "0.0ms":
        made["think"] = f"{STEP}ms"
    return made

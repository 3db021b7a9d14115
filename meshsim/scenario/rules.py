"""Checks of keys against each other: what goes together in a load, an event, an objective."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from meshsim import units
from meshsim.errors import shown
from meshsim.scenario.fields import Model, keyed_fields
from meshsim.scenario.findings import Findings, entries, mapping, sequence
from meshsim.scenario.mesh import ControlPlane, Mtls
from meshsim.scenario.model import Event, Load, Objective
from meshsim.scenario.names import Path, listed

OF_REPLICAS, OF_LINKS = ("slow", "errors", "down"), ("latency_factor", "loss")
OF_COMPONENTS, OF_ROLLOUTS = ("down", "rotate_root"), ("replicas", "restart")
ALL_EFFECTS = (*OF_REPLICAS, *OF_LINKS, "rotate_root", *OF_ROLLOUTS)
EFFECTS = {
    "service": (*OF_REPLICAS, *OF_ROLLOUTS),
    "replica": OF_REPLICAS,
    "link": OF_LINKS,
    "component": OF_COMPONENTS,
}
TARGETS_LATER = ("node", "zone")

MOST_STAYS = 1e9
"""So many stays of an mmpp's states take minutes to draw; shorter ones are no different from poisson."""
MOST_ASKED = 1e6
"""So often may a proxy ask for a certificate; with some proxies, more takes minutes."""


def check_rules(document: dict[str, Any], findings: Findings) -> None:
    """Check what goes together; values of the wrong type are passed over, the models refuse them."""
    duration, warmup = (_parsed(document.get(key), units.duration) for key in ("duration", "warmup"))
    if duration and warmup is not None and warmup >= duration:
        message = f"warmup {shown(document['warmup'])} leaves nothing to measure"
        findings.add(("warmup",), message, "make it less than duration")
    if document.get("warmup") == "auto" and document.get("keep") == "histograms":
        message = "auto looks at every request, and histograms keep none"
        findings.add(("warmup",), message, "give the warm-up as a duration, or keep: records")
    for path, load in entries(document, "load"):
        _check_load(path, load, duration, findings)
    for path, event in entries(document, "events"):
        _check_event(path, event, duration, findings)
    for path, objective in entries(document, "objectives"):
        _check_objective(path, objective, findings)
    _check_control_plane(mapping(mapping(document.get("mesh")).get("control_plane")), findings)
    _check_mtls(mapping(mapping(document.get("mesh")).get("mtls")), document, duration, findings)
    for name, policy in mapping(document.get("policies")).items():
        _refuse_kind(("policies", name, "balance"), mapping(policy).get("balance"), findings)


def _parsed(value: object, parse: Callable[[object], float]) -> float | None:
    """A value in its unit, or None where it is missing or wrong (which the models say)."""
    try:
        return parse(value)
    except ValueError:
        return None


def _given(entry: dict[str, Any], key: str) -> bool:
    return entry.get(key) not in (None, [], {})


def _misspelt(entry: dict[str, Any], model: type[Model]) -> bool:
    """Whether an entry has unknown keys: then what seems to be missing is probably one of them."""
    return not {key for key, _, _ in keyed_fields(model)}.issuperset(entry)


def _refuse_kind(path: Path, choice: object, findings: Findings) -> None:
    """Refuse `{kind: ...}`: only Python code spells choices so."""
    if "kind" in mapping(choice):
        findings.add((*path, "kind"), "unknown key", "write the name itself")


def _check_load(path: Path, load: dict[str, Any], duration: float | None, findings: Findings) -> None:
    arrivals = load.get("arrivals")
    ways = [key for key in ("rate", "profile", "users") if _given(load, key)]
    ways += [f"arrivals {kind}" for kind in ("mmpp", "trace") if kind in mapping(arrivals)]
    if arrivals in ("mmpp", "trace"):
        ways.append(f"arrivals {arrivals}")  # without its options, which the models ask for
    if not ways and not _misspelt(load, Load):
        remedy = "give a rate such as 100/s, a profile or users"
        findings.add(path, "nothing says how many requests come", remedy)
    elif len(ways) > 1:
        findings.add(path, f"{listed(ways, 'and')} exclude each other", "keep one of them")
    elif ways == ["users"] and arrivals is not None:
        findings.add((*path, "arrivals"), "users send when they have thought", "leave arrivals out")
    if "think" in load and not _given(load, "users"):
        findings.add((*path, "think"), "only users think", "give users, or leave think out")
    _refuse_kind((*path, "arrivals"), arrivals, findings)
    _check_profile((*path, "profile"), load.get("profile"), duration, findings)
    _check_mmpp((*path, "arrivals", "mmpp"), mapping(mapping(arrivals).get("mmpp")), duration, findings)
    _check_trace((*path, "arrivals", "trace"), mapping(arrivals).get("trace"), findings)


def _check_profile(path: Path, profile: object, duration: float | None, findings: Findings) -> None:
    latest: float | None = None
    sends = False
    for index, point in enumerate(sequence(profile)):
        at = _parsed(mapping(point).get("at"), units.duration)
        if at is not None and latest is not None and at <= latest:
            message = f"{shown(point['at'])} is not after the point before"
            findings.add((*path, index, "at"), message, "order the points by time")
        latest = latest if at is None else at
        early = at is None or duration is None or at < duration
        sends = sends or (early and _parsed(mapping(point).get("rate"), units.rate) != 0)
    if sequence(profile) and not sends:
        findings.add(path, "the rate is 0 until the end", "give one of the points before it a rate")


def _check_mmpp(path: Path, mmpp: dict[str, Any], duration: float | None, findings: Findings) -> None:
    rates = [_parsed(rate, units.rate) for rate in sequence(mmpp.get("rates"))]
    if rates and all(rate == 0 for rate in rates):
        findings.add((*path, "rates"), "the rates are all 0", "make one of them more")
    times = [_parsed(time, units.duration) for time in sequence(mmpp.get("mean_times"))]
    cycle = sum(time or 0.0 for time in times)
    if duration and None not in times and 0.0 < cycle * MOST_STAYS < duration * len(times):
        stays = f"the states would change {duration * len(times) / cycle:.2g} times until the end"
        remedy = "make them longer, or write the mean rate, which is the same"
        findings.add((*path, "mean_times"), stays, remedy)


def _check_trace(path: Path, trace: object, findings: Findings) -> None:
    if "times" in mapping(trace):
        findings.add((*path, "times"), "unknown key", "put the times in a file")
    elif isinstance(trace, dict) and not trace.get("file"):
        findings.add((*path, "file"), "is missing", "name a CSV file with a column time")


def _check_control_plane(config: dict[str, Any], findings: Findings) -> None:
    """Check that a push waits no longer than it may."""
    defaults = {"debounce": ControlPlane().debounce, "debounce_max": ControlPlane().debounce_max}
    quiet, most = (_parsed(config.get(key, least), units.duration) for key, least in defaults.items())
    if quiet is not None and most is not None and quiet > most:
        message = f"{shown(config.get('debounce', '100ms'))} is more than debounce_max"
        findings.add(("mesh", "control_plane", "debounce"), message, "make it less, or the other more")


def _check_mtls(
    mtls: dict[str, Any], document: dict[str, Any], duration: float | None, findings: Findings
) -> None:
    """Check that proxies don't ask for certificates all the time: a run would not get on."""
    if not mtls:
        return
    path: Path = ("mesh", "mtls")
    ttl = _parsed(mtls.get("certificate_ttl"), units.duration)
    given = {key: _parsed(mtls[key], units.ratio) for key in ("rotate_at", "jitter") if key in mtls}
    at, jitter = given.get("rotate_at", Mtls().rotate_at), given.get("jitter", Mtls().jitter)
    if duration and ttl and at is not None and jitter is not None:
        times = duration / (ttl * max(at, jitter / 4.0, 1e-9))  # a wait of less than 0 is one of 0
        if times > MOST_ASKED:
            message = f"{shown(mtls['certificate_ttl'])} is renewed {times:.2g} times until the end"
            findings.add((*path, "certificate_ttl"), message, "make it longer")
    longest = _parsed(mapping(mapping(mtls.get("ca")).get("retry")).get("max"), units.duration)
    outages = [event for _, event in entries(document, "events") if event.get("component") == "ca"]
    if duration and longest and outages and duration / longest > MOST_ASKED:
        message = f"a refused proxy may ask {duration / longest:.2g} times until the end"
        findings.add((*path, "ca", "retry", "max"), message, "make it longer")


def _check_event(path: Path, event: dict[str, Any], duration: float | None, findings: Findings) -> None:
    at = _parsed(event.get("at"), units.duration)
    if at is not None and duration and at >= duration:
        message = f"{shown(event['at'])} is not before the end, at {units.show_duration(duration)}"
        findings.add((*path, "at"), message, "make it earlier, or lengthen duration")
    for key in ("for", "overlap"):
        lasts = _parsed(event.get(key), units.duration)
        if at is not None and lasts and at + lasts <= at:
            message = f"{shown(event[key])} is too short for a clock at {units.show_duration(at)}"
            findings.add((*path, key), message, "make it longer")
    if any(key in event for key in TARGETS_LATER):
        return  # refused as a whole by the models
    targets = [key for key in EFFECTS if _given(event, key)]
    aims = [*targets, "set"] if "set" in event else targets
    if not aims and _misspelt(event, Event):
        return
    if len(aims) != 1:
        message = f"{listed(aims, 'and')} exclude each other" if aims else "nothing is named"
        findings.add(path, message, f"give exactly one of {listed([*EFFECTS, 'set'])}")
    elif aims == ["set"]:
        _check_push(path, event, findings)
    else:
        _check_effects(path, event, aims[0], findings)


def _check_push(path: Path, event: dict[str, Any], findings: Findings) -> None:
    if event["set"] in ({}, None):
        findings.add((*path, "set"), "is empty", "write a key such as policies.cart.timeout and its value")
    if "for" in event:
        remedy = "leave for out, and set it back in a later event"
        findings.add((*path, "for"), "what is set stays set", remedy)
    for effect in (*ALL_EFFECTS, "overlap", "version"):
        if effect in event:
            findings.add((*path, effect), "doesn't go with set", "make it an event of its own")


def _check_effects(path: Path, event: dict[str, Any], target: str, findings: Findings) -> None:
    fitting = EFFECTS[target]
    unfit = [effect for effect in ALL_EFFECTS if effect in event and effect not in fitting]
    for effect in unfit:
        findings.add((*path, effect), f"has no effect on a {target}", f"write {listed(fitting)}")
    if "overlap" in event and not event.get("rotate_root"):
        findings.add((*path, "overlap"), "no root is rotated", "write rotate_root: true, or leave it out")
    if "nack" in event:
        findings.add((*path, "nack"), "nothing is pushed", "write set, or leave it out")
    if "version" in event and target != "service":
        findings.add((*path, "version"), f"a {target} has none", "name the service, or leave it out")
    _check_rollout(path, event, findings)
    if event.get("component") == "control_plane" and event.get("rotate_root"):
        findings.add((*path, "rotate_root"), "has no effect on it", "write component: ca")
    if event.get("rotate_root") and (event.get("down") or "for" in event):
        other = "down" if event.get("down") else "for"
        remedy = "make it two events" if other == "down" else "write overlap, for how long old roots count"
        findings.add((*path, other), "doesn't go with rotate_root", remedy)
    if unfit or _misspelt(event, Event):
        return
    if all(event.get(effect) is None or event[effect] is False for effect in fitting):
        findings.add(path, f"nothing happens to the {target}", f"write {listed(fitting)}")


def _check_rollout(path: Path, event: dict[str, Any], findings: Findings) -> None:
    """Check an event after which there are other replicas."""
    rollouts = [key for key in OF_ROLLOUTS if event.get(key) is not None]
    others = [key for key in (*OF_REPLICAS, "for") if key in event]
    if rollouts and others:
        message = f"{rollouts[0]} doesn't go with {listed(others, 'and')}"
        remedy = "what is wanted stays wanted; leave for out" if others == ["for"] else "make it two events"
        findings.add((*path, rollouts[0]), message, remedy)
    restart = mapping(event.get("restart"))
    if restart.get("surge") == 0 and restart.get("unavailable", 0) == 0:
        message = "with neither surge nor unavailable nothing can be replaced"
        findings.add((*path, "restart"), message, "make one of them at least 1")


def _check_objective(path: Path, objective: dict[str, Any], findings: Findings) -> None:
    goals = [key for key in Objective.model_fields if key not in ("service", "endpoint")]
    if not any(_given(objective, goal) for goal in goals) and not _misspelt(objective, Objective):
        findings.add(path, "says nothing that must hold", f"write one of {listed(goals)}")

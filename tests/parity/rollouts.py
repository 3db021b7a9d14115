"""Control planes, and replicas that come and go, that Hypothesis makes up."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

from meshsim.scenario.model import Scenario
from meshsim.scenario.topology import Topology

Document = dict[str, Any]


@st.composite
def control_plane(draw: st.DrawFn, time: Any, apart: Any) -> Document:
    """Slow ones and quick ones; a debounce that is about as long as changes are apart."""
    made: Document = {"debounce": draw(st.just("0s") | apart(5, 120, 0.3391))}
    if draw(st.integers(0, 3)) > 0:
        made["debounce_max"] = draw(apart(121, 200, 0.2293))
    if draw(st.integers(0, 3)) > 0:
        made["time"] = draw(time(0.5, 30))
    if draw(st.integers(0, 2)) > 0:
        made["workers"] = draw(st.sampled_from([1, 1, 2, 3]))
    if draw(st.booleans()):
        made["ordered"] = False
    return made


@st.composite
def scaling(draw: st.DrawFn, services: Document, ms: Any) -> Document:
    """A deployment is scaled, restarted, or both."""
    name = draw(st.sampled_from(list(services)))
    versions = list(services[name].get("versions", {}))
    event: Document = {"at": draw(ms(100, 1200)), "service": name}
    kind = draw(st.sampled_from(["scale", "scale", "restart", "both"]))
    if kind != "restart":
        event["replicas"] = draw(st.integers(0, 5))
    if kind != "scale":
        surge = draw(st.integers(0, 2))
        event["restart"] = {"surge": surge, "unavailable": draw(st.integers(0 if surge else 1, 2))}
    if versions and (kind != "restart" or draw(st.booleans())):
        event["version"] = draw(st.sampled_from(versions))
    return event


@st.composite
def splitting(draw: st.DrawFn, services: Document, ms: Any) -> Document | None:
    """Another version is sent requests; None where no service has versions."""
    names = [name for name, service in services.items() if service.get("versions")]
    if not names:
        return None
    name = draw(st.sampled_from(names))
    versions = draw(st.sampled_from([["v1"], ["v2"], ["v1", "v2"], []]))
    split = {version: draw(st.integers(1, 9)) for version in versions}
    return {"at": draw(ms(100, 1200)), "set": {f"policies.{name}.split": split}}


@st.composite
def rolling(draw: st.DrawFn, document: Document, time: Any, apart: Any, ms: Any) -> None:
    """Gives a scenario a control plane, most often; its replicas change, and proxies refuse some of it."""
    services, mesh = document["services"], document.setdefault("mesh", {})
    events: list[Document] = document["events"]
    if draw(st.integers(0, 3)) > 0:
        mesh["control_plane"] = draw(control_plane(time, apart))
    if draw(st.integers(0, 2)) > 0:
        mesh["push_delay"] = draw(time(1, 150))
    for service in services.values():
        for place in (service, *service.get("versions", {}).values()):
            if draw(st.booleans()):
                place["startup"] = draw(apart(5, 200, 0.1439))
            if draw(st.booleans()):
                place["drain"] = draw(apart(5, 200, 0.1583))
    for _ in range(draw(st.integers(0, 5))):
        events.append(draw(scaling(services, ms)))
    if draw(st.booleans()):
        for policy in document["policies"].values():  # so that versions are news to callers
            policy.pop("split", None)
    for _ in range(draw(st.integers(0, 3))):
        event = draw(splitting(services, ms))
        events += [event] if event else []
    for _ in range(draw(st.sampled_from([0, 0, 1, 2]))):
        down = {"component": "control_plane", "down": True, "for": draw(ms(20, 500))}
        events.append({"at": draw(ms(100, 1200)), **down})
    later = [
        replica.name for replica in Topology(Scenario.model_validate(document)).replicas if replica.added
    ]
    for event in events:
        if later and "replica" in event and draw(st.booleans()):
            event["replica"] = draw(st.sampled_from(later))
    for event in events:
        versions = list(services.get(event.get("service"), {}).get("versions", {}))
        if versions and ("down" in event or "slow" in event) and draw(st.booleans()):
            event["version"] = draw(st.sampled_from(versions))
        if "set" in event and draw(st.integers(0, 2)) == 0:
            names = st.sampled_from([*services, "client"])
            event["nack"] = draw(st.lists(names, min_size=1, max_size=2, unique=True))

"""Identities and access rules that Hypothesis makes up, for a scenario that has sidecars."""

from __future__ import annotations

from typing import Any

from hypothesis import strategies as st

Document = dict[str, Any]

MODES = st.sampled_from(["strict", "strict", "strict", "permissive", "permissive", "disable"])
PUSHED = st.sampled_from(["strict", "permissive", "disable", "disable"])


@st.composite
def mtls(draw: st.DrawFn, time: Any, apart: Any) -> Document:
    """Certificates that live shortly, and a CA that is slow, or at once."""
    made: Document = {
        "certificate_ttl": draw(apart(150, 900, 0.2339)),
        "rotate_at": draw(st.sampled_from(["30%", "50%", "80%", "97%"])),
        "jitter": draw(st.sampled_from(["0%", "1%", "20%", "50%"])),
        "round_trips": draw(st.sampled_from([0, 1, 1, 2])),
    }
    if draw(st.integers(0, 3)) > 0:
        made["mode"] = draw(MODES)
    if draw(st.integers(0, 3)) > 0:
        made["handshake"] = draw(time(0.5, 20))
    ca: Document = {}
    if draw(st.integers(0, 3)) > 0:
        ca["time"] = draw(time(1, 60))
    if draw(st.booleans()):
        ca["workers"] = draw(st.sampled_from([1, 2]))
    if draw(st.integers(0, 3)) > 0:
        ca["retry"] = {"base": draw(apart(5, 60, 0.1733)), "max": draw(apart(60, 300, 0.1873))}
    return {**made, "ca": ca}


@st.composite
def rule(draw: st.DrawFn, services: Document) -> Document:
    """A rule for one service or for several."""
    to = draw(st.sampled_from(list(services)))
    match: Document = {"to": draw(st.sampled_from([to, [to], f"{to[:2]}*", "*"]))}
    entries = {
        "from": [*services, "client", "*", "c*"],
        "endpoints": [*services[to].get("endpoints", {}), "a*", "*t", "*"],
        "methods": ["GET", "PUT", "P*", "*T"],
        "paths": ["/", "/g*", "*d", "/all", "*"],
    }
    for field, values in entries.items():
        often = 1 if field == "from" else 4
        for name, rarely in ((field, often), (f"not_{field}", 5)):
            if draw(st.integers(0, rarely)) == 0:
                match[name] = draw(st.lists(st.sampled_from(values), max_size=2))
    return {draw(st.sampled_from(["deny", "allow"])): match}


def rules(services: Document) -> st.SearchStrategy[list[Document]]:
    """A few rules."""
    return st.lists(rule(services), min_size=1, max_size=3)


@st.composite
def secured(draw: st.DrawFn, document: Document, time: Any, apart: Any, ms: Any) -> None:
    """Gives a scenario with sidecars identities, rules, or both, and has them change."""
    identities, access = draw(st.sampled_from([(True, True), (True, False), (True, False), (False, True)]))
    services = document["services"]
    for service in services.values():
        if draw(st.integers(0, 3)) == 0:
            service["sidecar"] = False
    events: list[Document] = document["events"]
    if identities:
        document["mesh"]["mtls"] = draw(mtls(time, apart))
        for service in services.values():
            if service.get("sidecar", True) and draw(st.integers(0, 3)) == 0:
                service["mtls"] = draw(MODES)
        for _ in range(draw(st.integers(0, 2))):
            down = {"component": "ca", "down": True, "for": draw(ms(50, 600))}
            events.append({"at": draw(ms(100, 1200)), **down})
        for _ in range(draw(st.integers(0, 2))):
            rotation: Document = {"component": "ca", "rotate_root": True}
            if draw(st.booleans()):
                rotation["overlap"] = draw(ms(20, 500))
            events.append({"at": draw(ms(100, 1200)), **rotation})
        for _ in range(draw(st.integers(0, 3))):
            known = [name for name, service in services.items() if service.get("sidecar", True)]
            key = draw(st.sampled_from(["mesh.mtls.mode", *(f"services.{name}.mtls" for name in known)]))
            events.append({"at": draw(ms(300, 1200)), "set": {key: draw(PUSHED)}})
        for _ in range(draw(st.integers(0, 3))):
            down = {"service": draw(st.sampled_from(list(services))), "down": True}
            events.append({"at": draw(ms(100, 1200)), "for": draw(ms(10, 200)), **down})
    if access:
        document["access"] = draw(rules(services))
        if draw(st.booleans()):
            events.append({"at": draw(ms(300, 1200)), "set": {"access": draw(rules(services))}})

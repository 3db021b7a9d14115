"""No solver ignores a key of the scenario's models: each is declared by it, or refused by name."""

from __future__ import annotations

import re
from typing import Any, get_args

import pytest

from meshsim.scenario import loads
from meshsim.scenario.model import AccessRule, Event, Link, Load, Mesh, Model, Policy, Scenario, Service
from meshsim.scenario.settings import set_keys
from meshsim.theory import solve
from meshsim.theory.recognise import understood
from meshsim.theory.recognise.understood import CLOSED, CLOSED_LOAD, OPEN, OPEN_LOAD, RATE_LIMIT, RUN, unknown
from tests.unit.every_key import every_key

SOLVERS = {
    name: getattr(understood, name)
    for name in ("OPEN", "CLOSED", "PRODUCT_FORM", "IMPATIENT", "BUDGETED", "LOSS_SYSTEM")
}
KEYS = [key for key in every_key(Scenario) if re.split(r"[.=[]", key)[0] not in RUN]
EVENTS = {key for key in KEYS if key.startswith("events")}
BASE = loads("""
name: keys
duration: 10s
services:
  cart: {versions: {v1: {}, v2: {script: [{call: db}, {sleep: 1ms}]}}, script: [{call: db}, {sleep: 1ms}]}
  db: {}
links: {default: {latency: 0s}}
policies: {cart: {}}
load: [{to: cart, profile: [{at: 0s, rate: 1/s}]}]
""")


WITH_ENDPOINTS = loads("""
name: keys
duration: 10s
services:
  cart:
    endpoints: {get: {script: [{call: db}, {sleep: 1ms}]}}
    versions: {v1: {endpoints: {get: {script: [{call: db}, {sleep: 1ms}]}}}, v2: {}}
    script: [{call: db}, {sleep: 1ms}]
  db: {}
links: {default: {latency: 0s}}
policies: {cart: {}}
load: [{to: cart, endpoints: {get: 1}, profile: [{at: 0s, rate: 1/s}]}]
""")
NO_FORMULA = (".previous_hosts", ".host_attempts", ".keep_alive", ".sidecar")
"""Ends of keys that no solver knows."""

OTHER = 0.123456
"""What no key has by default."""


def changed(value: Any, names: list[str], new: object) -> Any:
    """A model with another value at a key, whatever its type, and the parts on the way."""
    if not names:
        return new
    name, *rest = names
    if name == "*":
        return {key: changed(entry, rest, new) for key, entry in value.items()}
    if name == "[*]":
        return tuple(changed(entry, rest, new) for entry in value)
    fields = {field.alias or own: (own, field) for own, field in type(value).model_fields.items()}
    if name not in fields:
        return value  # a step of the other kind
    own, field = fields[name]
    inside = getattr(value, own)
    if inside is None and new is not None:
        kinds = [kind for kind in get_args(field.annotation) if isinstance(kind, type)]
        part = next((kind for kind in kinds if issubclass(kind, Model)), None)
        if part is not None:
            needed = [key for key, each in part.model_fields.items() if each.is_required()]
            inside = part.model_construct(**dict.fromkeys(needed))
            new = inside if not rest else new
    return value.model_copy(update={own: changed(inside, rest, new)})


def having(key: str) -> Scenario:
    """A scenario that sets a key."""
    path, _, choice = key.partition("=")
    names = path.replace("[*]", ".[*]").split(".")
    lists: dict[str, Any] = {"events": (Event.model_construct(at=1.0),)} if key in EVENTS else {}
    if key.startswith("access"):
        lists = {"access": (AccessRule.model_construct(),)}
    base = WITH_ENDPOINTS if ".endpoints." in key else BASE
    made: Scenario = changed(base.model_copy(update=lists), names, choice or OTHER)
    return made


def shared(key: str) -> str:
    """A key as versions and endpoints share it with their service."""
    return key.replace("versions.*.", "").replace("endpoints.*.", "")


def test_every_key_is_decided_for_loads_of_both_kinds() -> None:
    keys = {shared(key) for key in KEYS}
    unsolved = re.compile("peak_ewma|failure_accrual")
    refused = {key for key in keys if unsolved.search(key) or key.endswith(NO_FORMULA)}
    assert keys - OPEN == EVENTS | (CLOSED_LOAD - {"load[*]"}) | refused
    assert keys - CLOSED == EVENTS | (OPEN_LOAD - {"load[*]"}) | RATE_LIMIT | refused
    for known in SOLVERS.values():
        for key in known - keys:
            assert any(re.match(rf"{re.escape(key)}[.[]", other) for other in keys), f"{key} is no key"


@pytest.mark.parametrize("solver", SOLVERS)
def test_a_key_is_declared_or_refused_by_name(solver: str) -> None:
    known, refused = SOLVERS[solver], 0
    for key in KEYS:
        found = dict(set_keys(having(key)))
        if key not in found:
            assert "=" in key, key  # silence chooses it
        elif shared(key) not in known:
            named = unknown(known, set_keys(having(key)))
            assert any(found[key] == name or found[key].startswith(f"{name}.") for name in named), key
            refused += 1
    assert refused


class NewPolicy(Policy):
    mirror: str = ""


class NewService(Service):
    mirrored: bool = False


class NewMesh(Mesh):
    gateway: str = ""


class NewLink(Link):
    jitter: float = 0.0


class NewLoad(Load):
    zone: str = ""


@pytest.mark.parametrize(
    ("part", "name"),
    [
        ({"policies": {"cart": NewPolicy.model_construct(mirror="v2")}}, "policies.cart.mirror"),
        ({"services": {"cart": NewService.model_construct(mirrored=True)}}, "services.cart.mirrored"),
        ({"mesh": NewMesh.model_construct(gateway="slow")}, "mesh.gateway"),
        ({"links": {"default": NewLink.model_construct(jitter=1.0)}}, "links.default.jitter"),
        ({"load": (NewLoad.model_construct(to="cart", rate=1.0, zone="z1"),)}, "load[0].zone"),
        ({"load": (NewLoad.model_construct(to="cart", users=1, zone="z1"),)}, "load[0].zone"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_key_that_theory_was_not_told_of_is_refused(part: dict[str, Any], name: str) -> None:
    solution = solve(BASE.model_copy(update=part))
    assert not solution.predictions
    assert solution.reasons == [f"no formula here takes into account: {name}"]


def test_what_no_load_reaches_is_not_asked() -> None:
    services = {**BASE.services, "alone": NewService.model_construct(sidecar=False)}
    policies = {"alone": NewPolicy.model_construct(mirror="v2")}
    assert solve(BASE.model_copy(update={"services": services, "policies": policies})).predictions


def test_closed_loads_refuse_rate_limits() -> None:
    policies = {"cart": Policy.model_validate({"rate_limit": {"burst": 1, "rate": "1/s"}})}
    load = (Load.model_validate({"to": "cart", "users": 2, "think": "1s"}),)
    solution = solve(BASE.model_copy(update={"policies": policies, "load": load}))
    assert solution.reasons == ["no formula here takes into account: policies.cart.rate_limit"]

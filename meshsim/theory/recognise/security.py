"""What identities and access rules make of calls, where that is the same for all of them.

mTLS makes opening a connection longer, by a constant time where latency and handshake are constant and no
handshake waits for a worker. Nothing else changes as long as every certificate is valid and nobody comes in
plaintext where that is refused. A rule changes nothing where it allows every call that is made.

Source:
    The model page (docs/background/model.md), *Identity*.
"""

from __future__ import annotations

from meshsim.scenario.model import ZERO
from meshsim.scenario.permissions import Permissions
from meshsim.scenario.times import ConstantTime
from meshsim.theory.recognise.structure import Structure, Target, UnsolvedError, service_of
from meshsim.units import UNLIMITED


def handshake(structure: Structure, caller: Target, target: Target) -> float:
    """How long the handshake of each connection takes, s; 0 without mTLS.

    Raises:
        UnsolvedError: it is not the same for all.
    """
    mtls = structure.scenario.mesh.mtls
    if mtls is None or not structure.scenario.secures(service_of(caller), service_of(target)):
        return 0.0
    latency = structure.link(caller, target).latency
    way = ZERO if mtls.round_trips == 0 else latency
    if not isinstance(mtls.handshake, ConstantTime) or not isinstance(way, ConstantTime):
        raise UnsolvedError(f"{caller} -> {target}: handshakes take random times")
    if mtls.handshake != ZERO and structure.scenario.mesh.proxy.workers < UNLIMITED:
        raise UnsolvedError(f"{caller} -> {target}: handshakes take the workers of sidecars")
    return 2.0 * (mtls.round_trips * way.build().mean + mtls.handshake.build().mean)


def refusals(structure: Structure) -> list[str]:
    """Why rules refuse calls, or mTLS may, of which no formula here knows when."""
    scenario = structure.scenario
    mtls = scenario.mesh.mtls
    edges = dict.fromkeys((service_of(caller), service_of(target)) for caller, target in structure.edges)
    calls = Permissions(scenario).calls() if scenario.access else ()
    found = [
        f"{call.caller} -> {call.service}/{call.endpoint}".removesuffix("/") + ": access rules deny it"
        for call in calls
        if not call.decision.allowed and (call.caller, call.service) in edges
    ]
    if mtls is None:
        return found
    for ends in edges:
        if scenario.refuses(*ends):
            found.append(f"{ends[0]} -> {ends[1]}: plaintext is refused by {ends[1]}, whose mode is strict")
    if mtls.renewed_late:
        found.append("certificates may expire before their renewal begins: rotate_at and jitter exceed 100 %")
    first = mtls.certificate_ttl * (mtls.rotate_at - mtls.jitter)
    signs_at_once = mtls.ca.time == ZERO and mtls.ca.workers == UNLIMITED
    if not signs_at_once and first < scenario.duration + scenario.drain_limit:
        found.append("certificates are renewed meanwhile, and may expire before the CA has signed the next")
    return found

"""What identities and access rules make of calls, where that is the same for all of them.

mTLS makes opening a connection longer, by a constant time where latency and handshake are constant and no
handshake waits for a worker. Nothing else changes as long as every certificate is valid and nobody comes in
plaintext where that is refused. A rule changes nothing where it allows every call that is made.

Source:
    The model page (docs/background/model.md), *Identity*.
"""

from __future__ import annotations

from collections.abc import Iterator

from meshsim.scenario.guards import access_policies
from meshsim.scenario.model import ZERO
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
    """Why calls are refused, for which there is no formula here."""
    scenario = structure.scenario
    mtls, found = scenario.mesh.mtls, [*_denied(structure)]
    if mtls is None:
        return found
    for caller, target in structure.edges:
        ends = service_of(caller), service_of(target)
        if scenario.mode(ends[1]) == "strict" and not scenario.secures(*ends):
            found.append(f"{caller} -> {target}: plaintext is refused by {ends[1]}, whose mode is strict")
    first = mtls.certificate_ttl * (mtls.rotate_at - mtls.jitter)
    signs_at_once = mtls.ca.time == ZERO and mtls.ca.workers == UNLIMITED
    if not signs_at_once and first < scenario.duration + scenario.drain_limit:
        found.append("certificates are renewed meanwhile, and may expire before the CA has signed the next")
    return found


def _denied(structure: Structure) -> Iterator[str]:
    """Calls that access rules deny."""
    scenario = structure.scenario
    policies = access_policies(scenario) if scenario.access else {}
    for caller, target in structure.edges:
        service, _, endpoint = target.partition("/")
        if service in policies:
            principal = scenario.identity(service_of(caller), service)
            if not policies[service].decide(principal, *scenario.services[service].address(endpoint)).allowed:
                yield f"{caller} -> {target}: access rules deny it"

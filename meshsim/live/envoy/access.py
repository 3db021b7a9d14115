"""Access rules as Envoy has them: two RBAC filters at the inbound listener, in Istio's order, DENY first.

A rule is a policy of a filter: permissions say what is asked for, principals who asks. The filters are given
their rules by the route, which comes over RDS, so a push of rules touches no connection.

Envoy looks at the path without its query (`url_path`), after normalisation (`NORMALISED`). Who asks is the
URI of the certificate: without mTLS no identity matches, and no `not_from` holds a request back.

Source: envoyproxy/envoy, api/envoy/config/rbac/v3; istio, pilot/pkg/security/authz (the order).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from meshsim.live.envoy.numbers import Json
from meshsim.live.envoy.policy import TYPE
from meshsim.policies.access import matches
from meshsim.scenario.access import Match, Pattern
from meshsim.scenario.identity import PREFIX
from meshsim.scenario.model import Scenario

DENY, ALLOW = "access.deny", "access.allow"
"""The names of the filters."""
NORMALISED: Json = {"normalize_path": True}
"""Of a listener with rules, as Istio has it: `..`, `.`, backslashes and needless escapes go; `//` stays."""

_RBAC = TYPE + "envoy.extensions.filters.http.rbac.v3."
_ANY: Json = {"any": True}


def filters() -> list[Json]:
    """The filters, which do nothing but what a route tells them."""
    return [{"name": name, "typed_config": {"@type": _RBAC + "RBAC"}} for name in (DENY, ALLOW)]


def per_route(scenario: Scenario, service: str) -> Json:
    """What a service's rules tell each filter; a filter without rules is not named."""
    found: dict[str, Json] = {DENY: {}, ALLOW: {}}
    for number, rule in enumerate(scenario.access):
        if any(matches(pattern, service) for pattern in rule.match.to):
            policies = found[DENY if rule.denies else ALLOW]
            policies[policy_name(number)] = _policy(scenario, service, rule.match)
    return {
        name: {
            "@type": _RBAC + "RBACPerRoute",
            "rbac": {"rules": {"action": name.rpartition(".")[2].upper(), "policies": policies}},
        }
        for name, policies in found.items()
        if policies
    }


def policy_name(number: int) -> str:
    """What Envoy's log calls a rule: its place among all that are in force, as `policies.access` names it."""
    return f"access[{number}]"


def _policy(scenario: Scenario, service: str, match: Match) -> Json:
    pages = {
        endpoint: _page(*scenario.services[service].address(endpoint))
        for endpoint in scenario.services[service].endpoints
    }

    def endpoint(pattern: Pattern) -> Json:
        return _or("rules", [page for name, page in pages.items() if matches(pattern, name)])

    asked = [
        *_field("rule", "rules", match.endpoints, match.not_endpoints, endpoint),
        *_field("rule", "rules", match.methods, match.not_methods, _method),
        *_field("rule", "rules", match.paths, match.not_paths, _path),
    ]
    asks = _field("id", "ids", match.callers, match.not_callers, _caller)
    return {"permissions": [_and("rules", asked)], "principals": [_and("ids", asks)]}


def _field(
    one: str,
    many: str,
    given: Iterable[Pattern] | None,
    excluded: Iterable[Pattern] | None,
    of: Callable[[Pattern], Json],
) -> list[Json]:
    """What a field of a rule and its `not_` ask for; `one` and `many` are Envoy's words for parts of it."""
    found = []
    if given is not None:
        found.append(_or(many, [of(pattern) for pattern in given]))
    if excluded is not None:
        found.append({f"not_{one}": _or(many, [of(pattern) for pattern in excluded])})
    return found


def _or(many: str, parts: list[Json]) -> Json:
    """Any of the parts; of none, nothing matches."""
    return {f"or_{many}": {many: parts}} if parts else {f"not_{many[:-1]}": _ANY}


def _and(many: str, parts: list[Json]) -> Json:
    """All of the parts; of none, everything matches."""
    return {f"and_{many}": {many: parts}} if parts else _ANY


def _text(pattern: Pattern, before: str = "") -> Json:
    """A string matcher; `before` is what comes before whatever the pattern is about."""
    if pattern == "*":
        return {"prefix": before} if before else {"safe_regex": {"regex": ".+"}}
    if pattern.endswith("*"):
        return {"prefix": before + pattern[:-1]}
    return {"suffix": pattern[1:]} if pattern.startswith("*") else {"exact": before + pattern}


def _caller(pattern: Pattern) -> Json:
    return {"authenticated": {"principal_name": _text(pattern, PREFIX)}}


def _method(pattern: Pattern) -> Json:
    return {"header": {"name": ":method", "string_match": _text(pattern)}}


def _path(pattern: Pattern) -> Json:
    return {"url_path": {"path": _text(pattern)}}


def _page(method: str, path: str) -> Json:
    return _and("rules", [_method(method), {"url_path": {"path": {"exact": path}}}])

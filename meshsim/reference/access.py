"""Access rules, as the sidecar of a service asks them: who may do what.

    a rule that denies matches --> denied
    rules allow something here, and none of them matches --> denied
    else --> allowed

A rule matches if each of its fields does. Texts are compared with patterns, which become regular expressions.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from meshsim.scenario.access import AccessRule, Match
from meshsim.scenario.model import Scenario


class Rules:
    """Those of a scenario that name a service. Without any, it denies nothing."""

    def __init__(self, scenario: Scenario, service: str) -> None:
        self.service = scenario.services[service]
        named = [rule for rule in scenario.access if like(rule.match.to, service)]
        self._deny = [rule for rule in named if rule.denies]
        self._allow = [rule for rule in named if not rule.denies]

    def deny(self, principal: str, endpoint: str) -> str:
        """Why a request is denied: by a ``rule``, or because ``none`` allows it; ``""`` if it is not."""
        if self._any(self._deny, principal, endpoint):
            return "rule"
        return "none" if self._allow and not self._any(self._allow, principal, endpoint) else ""

    def _any(self, rules: Iterable[AccessRule], principal: str, endpoint: str) -> bool:
        return any(self._matches(rule.match, principal, endpoint) for rule in rules)

    def _matches(self, match: Match, principal: str, endpoint: str) -> bool:
        asked = self.service.address(endpoint)
        names = [name for name in self.service.endpoints if self.service.address(name) == asked]
        method, path = asked
        looked_at = {"callers": [principal], "endpoints": names, "methods": [method], "paths": [path]}
        for field, texts in looked_at.items():
            wanted, excluded = getattr(match, field), getattr(match, f"not_{field}")
            if wanted is not None and not any(like(wanted, text) for text in texts):
                return False
            if excluded is not None and any(like(excluded, text) for text in texts):
                return False
        return True


def like(patterns: Iterable[str], text: str) -> bool:
    """Whether a text is as one of some patterns says."""
    return any(re.fullmatch(_expression(pattern), text, re.DOTALL) for pattern in patterns)


def _expression(pattern: str) -> str:
    return ".+" if pattern == "*" else re.escape(pattern).replace(r"\*", ".*")

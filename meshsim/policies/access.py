"""Access rules at the upstream's sidecar: who may call, and for what.

Without a rule, everybody may. The first rule that allows turns that round: what no rule allows is denied.

| a rule that denies matches | rules that allow | one of them matches | decision |
|---|---|---|---|
| yes | any | any | denied, by the rule that denies |
| no | none | - | allowed |
| no | some | yes | allowed, by that rule |
| no | some | no | denied, by none |

Its known failure mode is the last line: a first, harmless `allow` closes a service to all callers that were
not thought of. Another: a rule about callers matches nobody where they come without mTLS.

Source: Istio, AuthorizationPolicy reference; Envoy, RBAC filter.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

HEX = frozenset("0123456789abcdefABCDEF")
ROUNDS = 3
"""So often is a path decoded that its service does not know."""
Patterns = tuple[str, ...] | None
"""What one of must match; None is not asked."""


def matches(pattern: str, text: str) -> bool:
    """Whether a text is as a pattern says: exact, ``abc*``, ``*abc``, or ``*`` for any but the empty one."""
    if pattern == "*":
        return text != ""
    if pattern.endswith("*"):
        return text.startswith(pattern[:-1])
    if pattern.startswith("*"):
        return text.endswith(pattern[1:])
    return text == pattern


class Decision(NamedTuple):
    """Whether a request may pass, and the number of the rule that says so.

    Without a rule it may if no rule allows anything to this service; it may not if some do.
    """

    allowed: bool
    rule: int | None

    @property
    def matched(self) -> str:
        """The policy that matched, as an access log names it."""
        return "none" if self.rule is None else f"access[{self.rule}]"


class Asked(NamedTuple):
    """What rules look at: who calls (empty for nobody known), and what for (an endpoint's name, or empty)."""

    principal: str
    endpoint: str
    method: str
    path: str


@dataclass(frozen=True, slots=True)
class Rule:
    """One rule for a service: what it matches, and what becomes of that.

    Attributes:
        number: its place among all rules.
        denies: what matches; otherwise it allows it.
        fields: (what it looks at, a place in `Asked`; patterns; whether one must match, or none may).
    """

    number: int
    denies: bool
    fields: tuple[tuple[int, tuple[str, ...], bool], ...]

    def matches(self, asked: Asked) -> bool:
        """Whether all fields match."""
        return all(
            any(matches(pattern, asked[place]) for pattern in patterns) is wanted
            for place, patterns, wanted in self.fields
        )


class AccessPolicy:
    """The rules for one service.

    Attributes:
        rules: that name the service, in order.
        endpoints: of the service: names by method and path.
    """

    def __init__(self, rules: Sequence[Rule], endpoints: Mapping[tuple[str, str], str]) -> None:
        self.rules = sorted(rules, key=lambda rule: (not rule.denies, rule.number))
        self.endpoints = endpoints
        self._known: dict[tuple[str, str, str], Decision] = {}

    def decide(self, principal: str, method: str, path: str) -> Decision:
        """Whether a request may pass.

        A method and path of the service's endpoints, or ``GET /``, are taken as they are. Any other request
        is decided as it is, and as a lenient program would understand it (`readings`): it may pass only if
        it may in each way. So an odd spelling never gets through where the plain one does not.

        Args:
            principal: the caller's name on an authenticated connection, else empty.
            method: of the request.
            path: without the query.
        """
        if not self.rules:
            return Decision(allowed=True, rule=None)
        known = self._known.get((principal, method, path))
        if known is not None:
            return known
        if (method, path) in self.endpoints or (method, path) == ("GET", "/"):
            found = self._decide(principal, method, path)
            self._known[principal, method, path] = found  # callers and endpoints are few, other paths are not
            return found
        found = self._decide(principal, method, path)
        for verb, page in readings(method, path) if found.allowed else ():
            other = self._decide(principal, verb, page)
            if not other.allowed:
                return other
        return found

    def _decide(self, principal: str, method: str, path: str) -> Decision:
        asked = Asked(principal, self.endpoints.get((method, path), ""), method, path)
        for rule in self.rules:  # those that deny come first
            if rule.matches(asked):
                return Decision(not rule.denies, rule.number)
        return Decision(not self.rules or self.rules[-1].denies, None)


def readings(method: str, path: str) -> list[tuple[str, str]]:
    """How else programs may read a request: method and path, each other than the one before.

    They may decode ``%61`` (and ``%2561``, twice), read a backslash as a slash, leave out what comes after a
    semicolon, an empty segment or a last slash, and follow dots. Paths have upper and lower case.
    """
    found = [(method, path)]
    for _ in range(ROUNDS):
        plain = _plain(_decoded(path))
        if found[-1] != (method.upper(), plain):
            found.append((method.upper(), plain))
        path = plain
    return found[1:]


def _decoded(path: str) -> str:
    """A path with its ``%61`` as what they stand for, a character for each byte."""
    first, *pieces = path.split("%")
    return first + "".join(
        chr(int(piece[:2], 16)) + piece[2:] if len(piece) > 1 and HEX.issuperset(piece[:2]) else f"%{piece}"
        for piece in pieces
    )


def _plain(path: str) -> str:
    kept: list[str] = []
    for piece in path.replace("\\", "/").split("/"):
        segment = piece.partition(";")[0]
        if segment == "..":
            del kept[-1:]
        elif segment not in ("", "."):
            kept.append(segment)
    return "/" + "/".join(kept)

"""Access rules at the upstream's sidecar: who may call, and for what.

Without a rule, everybody may. The first rule that allows turns that round: what no rule allows is denied.
That is its failure mode: a first, harmless `allow` closes a service to all callers that were not thought of.
"""

from __future__ import annotations


def matches(pattern: str, text: str) -> bool:
    """Whether a text is as a pattern says: exact, ``abc*``, ``*abc``, or ``*`` for any but the empty one."""
    if pattern == "*":
        return text != ""
    if pattern.endswith("*"):
        return text.startswith(pattern[:-1])
    if pattern.startswith("*"):
        return text.endswith(pattern[1:])
    return text == pattern

"""The identities that certificates name, as access rules, metrics and logs have them.

Source: SPIFFE-ID, section 2; Istio's form of the path.
"""

from __future__ import annotations

TRUST_DOMAIN = "cluster.local"
PREFIX = f"spiffe://{TRUST_DOMAIN}/ns/default/sa/"
"""Of every identity: what follows is the service's name."""


def uri_of(service: str) -> str:
    """The identity of a service (or the client)."""
    return PREFIX + service

"""TLS between a proxy and the authority: the proxy knows the authority by its root, and has only a token.

The authority's own certificate is of a root of its own, which the launcher hands to everybody: what it signs
for others can't pass for it.
"""

from __future__ import annotations

from typing import Any

from cryptography import x509
from OpenSSL import SSL, crypto

from meshsim.live.identity.signing import Root, new_key
from meshsim.live.tls.context import Tls, blank
from meshsim.live.tls.engine import Engine, Sort
from meshsim.live.tls.refusal import RefusedError, verification

NAME = "authority"
"""What the authority's own certificate calls it; its root alone counts."""
LIFETIME = 365 * 86400.0


class AuthorityTls(Tls):
    """The authority's side: it shows its certificate, and asks for none. `root` is to be handed out.

    That is a new one, unless it is given `own`.
    """

    def __init__(self, now: float, own: Root | None = None) -> None:
        super().__init__()
        root, key = own or Root.make(0, now), new_key()
        self.own = root
        self.root = root.certificate
        context = blank(SSL.TLS_SERVER_METHOD)
        context.use_certificate(root.sign(key.public_key(), NAME, now, now + LIFETIME))
        context.use_privatekey(key)
        self._accepting = Sort(context, None, servers=True)

    def peer(self, engine: Engine) -> str:
        return ""


class PinnedTls(Tls):
    """A client's side: it trusts one root, and has no certificate to show."""

    def __init__(self, root: x509.Certificate) -> None:
        super().__init__()
        context = blank(SSL.TLS_CLIENT_METHOD)
        store = context.get_cert_store()
        assert store is not None, "a context has one"
        store.add_cert(crypto.X509.from_cryptography(root))
        self._connecting = Sort(context, _pinned, servers=False)


def _pinned(engine: Engine, error: int, store: Any) -> None:
    if error:
        raise RefusedError(verification(error), "the authority's certificate")

"""The certificate authority itself: its roots, whom it signs for, and for how long.

The private keys of its roots are made here and never leave: what goes out are certificates.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from cryptography import x509
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

from meshsim.errors import MeshsimError
from meshsim.live import Message
from meshsim.live.identity.signing import RequestError, Root, pem, read_request
from meshsim.live.identity.tokens import Holder, Tokens
from meshsim.live.secret import hashed

UNWRITTEN = "unwritten"
"""Why a request is not signed now: the disk is full, or so."""
MARGIN = 120.0
"""How much longer than `ttl` what is signed before scenario time 0 is valid, s; it is renewed at 0."""


@dataclass(frozen=True, slots=True)
class Bundle:
    """What is trusted: roots as PEM, from the `oldest` generation to the `newest`."""

    oldest: int
    roots: tuple[bytes, ...]

    @property
    def newest(self) -> int:
        """The newest generation: that which signs."""
        return self.oldest + len(self.roots) - 1


@dataclass(frozen=True, slots=True)
class Request:
    """What the `holder` of a token has asked for: a certificate, of this `number`, for a public key."""

    holder: Holder
    number: int
    public: ec.EllipticCurvePublicKey


class Signer:
    """Signs what holders of `tokens` may ask for, valid for `ttl`, s.

    `wall` is the wall-clock time of scenario time 0, s, and None until that is known. To some the last second
    of a certificate belongs to its time (`inclusive`: OpenSSL 4, RFC 5280), to others not (BoringSSL). There
    are `roots` for so many `rotations`. What one that takes over has to know is given to `keep`: roots, and
    used tokens; MeshsimError where it can't be kept.

    Attributes:
        newest: generation of the root that signs.
    """

    def __init__(
        self, ttl: float, now: float, *, inclusive: bool = True, roots: Sequence[Root] = (),
        rotations: int = 0, keep: Callable[[Message], None] | None = None,
    ) -> None:  # fmt: skip
        self.ttl = ttl
        self.inclusive = inclusive
        self.tokens = Tokens()
        self.wall: float | None = None
        self._keep = keep or (lambda fact: None)
        self.newest = 0
        self._oldest = 0  # that is trusted
        kept = {each.generation: each for each in roots}
        self._roots = [kept.get(each) or self._made(each, now) for each in range(rotations + 1)]

    def _made(self, generation: int, now: float) -> Root:
        root = Root.make(generation, now)
        self._keep({"root": root.kept()})
        return root

    @property
    def bundle(self) -> Bundle:
        """What is trusted now."""
        trusted = self._roots[self._oldest : self.newest + 1]
        return Bundle(self._oldest, tuple(pem(each.certificate) for each in trusted))

    def rotate(self, generation: int) -> None:
        """Signs with the root of a generation from here on, or has done so."""
        self.newest = max(self.newest, generation)

    def drop_before(self, generation: int) -> None:
        """Trusts no roots before that of a generation any more."""
        self._oldest = max(self._oldest, generation)

    def read(self, token: str, following: str, number: int, csr: bytes) -> Request:
        """A request that is to be signed; the token is used up with it.

        Raises:
            RequestError: it is not to be signed, or not now, as that can't be kept.
        """
        holder = self.tokens.owner(token)
        public = read_request(csr, holder.name).public_key()
        assert isinstance(public, ec.EllipticCurvePublicKey), "of no other is a request read"
        key = public.public_bytes(Encoding.DER, PublicFormat.SubjectPublicKeyInfo)
        digest = hashed(token)
        used = {"used": {"token": digest, "key": key.hex(), "next": following}}
        try:
            self.tokens.use(digest, key, following, lambda: self._keep(used))
        except MeshsimError as error:
            raise RequestError(UNWRITTEN, str(error)) from None
        return Request(holder, number, public)

    def resume(self, used: Iterable[Message]) -> None:
        """These tokens have been used before."""
        for fact in used:
            self.tokens.use(fact["token"], bytes.fromhex(fact["key"]), fact["next"])

    def sign(self, request: Request, signed: float, now: float) -> x509.Certificate:
        """The certificate, signed at scenario time `signed`, which is wall-clock time `now`, s."""
        begins = now + MARGIN if self.wall is None else self.wall + signed
        until = begins + self.ttl - (1.0 if self.inclusive else 0.0)
        return self._roots[self.newest].sign(request.public, request.holder.name, now, until)

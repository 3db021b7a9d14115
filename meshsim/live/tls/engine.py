"""OpenSSL's state of one connection, in memory: bytes go in, bytes come out, and nothing here waits.

pyOpenSSL makes the contexts. Its `Connection` would do the same as an `Engine`, but a request passes four of
them, and a call there makes a buffer of its own and asks three times whether a callback has raised an error.
So the library beneath it is called here directly, with one buffer for all: engines belong to one thread.

Source: OpenSSL, SSL_read(3), SSL_write(3), SSL_CTX_set_verify(3), SSL_CTX_set_alpn_select_cb(3).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, ClassVar

from OpenSSL import SSL

from meshsim.live.tls.refusal import CLOSED, PROTOCOL, RefusedError, refusal

_lib: Any = SSL._lib  # type: ignore[attr-defined]
_ffi: Any = SSL._ffi  # type: ignore[attr-defined]

HTTP = b"http/1.1"
"""The one protocol that is spoken on TLS (ALPN)."""
OFFER = bytes([len(HTTP)]) + HTTP
ROOM = 1 << 16
"""Bytes that are taken out of OpenSSL at a time: some records."""

_buffer: Any = _ffi.new("char[]", ROOM)
_view: Any = _ffi.buffer(_buffer)
_chosen: Any = _ffi.new("unsigned char[]", HTTP)
_certificate: Any = _ffi.gc(_lib.BIO_new(_lib.BIO_s_mem()), _lib.BIO_free)
_WANTS = (_lib.SSL_ERROR_WANT_READ, _lib.SSL_ERROR_WANT_WRITE)

Check = Callable[["Engine", int, Any], None]
"""Looks at a certificate of the peer's: OpenSSL's complaint is given (``X509_V_ERR_...``, or 0), and what
`depth_of` and `shown` know more of. It raises a RefusedError, or all is well."""


class Sort:
    """What engines of one kind have in common: a `context`, and whether they are `servers`.

    `check` is asked about each certificate of a peer; None: OpenSSL's own opinion, or that of nobody.
    """

    def __init__(self, context: SSL.Context, check: Check | None, servers: bool) -> None:
        self.context: Any = context
        self.check = check
        self.servers = servers
        raw = self.context._context
        _lib.SSL_CTX_clear_mode(raw, _lib.SSL_MODE_ENABLE_PARTIAL_WRITE)  # what is written is taken whole
        if check is not None:
            mode = SSL.VERIFY_PEER | SSL.VERIFY_FAIL_IF_NO_PEER_CERT
            _lib.SSL_CTX_set_verify(raw, mode, _look)
        if servers:
            _lib.SSL_CTX_set_alpn_select_cb(raw, _select, _ffi.NULL)


class Engine:
    """One connection of a `sort`.

    `wanted` is the service that is to be at the other end, any if it is empty; `found` the one that is there.
    """

    shaking: ClassVar[Engine | None] = None
    """Whose handshake OpenSSL is at."""

    def __init__(self, sort: Sort, wanted: str = "") -> None:
        self.sort = sort
        self.wanted = wanted
        self.found = ""
        self.problem: Exception | None = None
        ssl = _lib.SSL_new(sort.context._context)
        self._ssl: Any = _ffi.gc(ssl, _lib.SSL_free)
        self._in: Any = _lib.BIO_new(_lib.BIO_s_mem())
        self._out: Any = _lib.BIO_new(_lib.BIO_s_mem())
        _lib.SSL_set_bio(ssl, self._in, self._out)  # which frees them
        if sort.servers:
            _lib.SSL_set_accept_state(ssl)
        else:
            _lib.SSL_set_connect_state(ssl)

    def feed(self, data: bytes) -> None:
        """These have come from the peer."""
        _lib.BIO_write(self._in, data, len(data))

    def take(self) -> bytes:
        """All that is to be sent to the peer."""
        return _drained(self._out)

    def shake(self) -> bool:
        """Goes on with the handshake; returns whether it is over, or raises a RefusedError."""
        Engine.shaking = self
        try:
            result = _lib.SSL_do_handshake(self._ssl)
        finally:
            Engine.shaking = None
        if result == 1:
            return True
        if self.problem is not None:
            _reasons()
            try:
                raise self.problem
            finally:
                self.problem = None  # which knows this
        self._raise(result)
        return False

    def read(self) -> bytes | None:
        """One record; empty if there is none for us, None if the peer has said that nothing more comes.

        Raises:
            RefusedError: what came is an alert, or no TLS.
        """
        size = _lib.SSL_read(self._ssl, _buffer, ROOM)
        if size > 0:
            data: bytes = _view[:size]
            return data
        return b"" if self._raise(size) else None

    def seal(self, data: bytes) -> bytes:
        """What is to be sent so that the peer reads this; a RefusedError if that can't be any more."""
        size = _lib.SSL_write(self._ssl, data, len(data))
        if size <= 0:
            self._raise(size)
        return _drained(self._out)

    def end(self) -> None:
        """Tells the peer that nothing more comes, if that can be told."""
        if _lib.SSL_shutdown(self._ssl) < 0:
            _reasons()

    def _raise(self, result: int) -> bool:
        """What a call was that did nothing: True if it wants more, False at the end, else a RefusedError."""
        error = _lib.SSL_get_error(self._ssl, result)
        if error in _WANTS:
            return True
        if error == _lib.SSL_ERROR_ZERO_RETURN:
            return False
        text = _reasons()
        raise refusal(text) if text else RefusedError(CLOSED)


def only_group(context: Any, group: bytes) -> None:
    """Has a context agree on keys in this group alone, which pyOpenSSL knows only of NIST's curves."""
    if _lib.SSL_CTX_set1_curves_list(context._context, group) != 1:
        raise ValueError(f"no group {group!r}: {_reasons()}")


def depth_of(store: Any) -> int:
    """How far up the chain the certificate is that a `Check` is asked about: 0 for the leaf."""
    return int(_lib.X509_STORE_CTX_get_error_depth(store))


def shown(store: Any) -> bytes:
    """The certificate that a `Check` is asked about."""
    _lib.i2d_X509_bio(_certificate, _lib.X509_STORE_CTX_get_current_cert(store))
    return _drained(_certificate)


def _drained(bio: Any) -> bytes:
    """All that is in a memory of OpenSSL's."""
    size = _lib.BIO_read(bio, _buffer, ROOM)
    data: bytes = _view[:size] if size > 0 else b""
    while size == ROOM:
        size = _lib.BIO_read(bio, _buffer, ROOM)
        data += _view[: max(size, 0)]
    return data


def _reasons() -> str:
    """Empties OpenSSL's queue of errors."""
    found = []
    while code := _lib.ERR_get_error():
        reason = _lib.ERR_reason_error_string(code)
        found.append(str(code) if reason == _ffi.NULL else _ffi.string(reason).decode())
    return "; ".join(found)


@_ffi.callback("int (*)(int, X509_STORE_CTX *)")  # type: ignore[untyped-decorator]
def _look(valid: int, store: Any) -> int:
    """OpenSSL has looked at a certificate of the peer's: 1 if we accept it."""
    engine = Engine.shaking
    assert engine is not None
    assert engine.sort.check is not None
    error = 0 if valid else _lib.X509_STORE_CTX_get_error(store)
    try:
        engine.sort.check(engine, error, store)
    except Exception as problem:  # which can't pass through OpenSSL
        engine.problem = problem
        return 0
    if error:
        _lib.X509_STORE_CTX_set_error(store, 0)
    return 1


@_ffi.callback(  # type: ignore[untyped-decorator]
    "int (*)(SSL *, unsigned char **, unsigned char *, const unsigned char *, unsigned int, void *)"
)
def _select(ssl: Any, out: Any, out_size: Any, offered: Any, size: int, nothing: Any) -> int:
    """Chooses the protocol to speak, where the caller offers any: names, each after a byte of its length."""
    names = bytes(_ffi.buffer(offered, size))
    at = 0
    while at < size:
        if names[at : at + len(OFFER)] == OFFER:
            out[0], out_size[0] = _chosen, len(HTTP)
            return int(_lib.SSL_TLSEXT_ERR_OK)
        at += 1 + names[at]
    engine = Engine.shaking
    assert engine is not None
    engine.problem = RefusedError(PROTOCOL)
    return int(_lib.SSL_TLSEXT_ERR_ALERT_FATAL)

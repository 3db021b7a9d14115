"""TLS between proxies: who is at the other end is known, or there is no connection.

`Tls` has the credentials of one proxy, which may be renewed at any time; `Entrance` is the callee's side,
`Secured` and `connect` the caller's. Both put a `Channel` between the socket and the HTTP connection, which
is none the wiser. Private keys are in memory, never in files.

Sources:
    RFC 8446 (TLS 1.3); SPIFFE, X.509-SVID. Refusals are as Envoy 1.40 shows them to a caller: 503 UF where it
    refuses the upstream, 503 UC where the upstream refuses it.
"""

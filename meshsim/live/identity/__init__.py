"""Who proxies are, live: a certificate authority, and how proxies get and renew what it signs.

```
   launcher ── one-time token ──► proxy ── CSR and token, over TLS ──► authority
                                        ◄── certificate, roots, next token ──
```

Each private key stays in the process that made it. Certificates are X.509-SVIDs: a name, by one URI, for a
short time.

Sources:
    SPIFFE, X.509-SVID; RFC 2986 (CSRs); RFC 5280 (certificates).
"""

"""meshsim's own proxy with a certificate that a law has made: whom to trust, and what to show, are in a file.

python tests/laws/certified.py FILE
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from meshsim.live.child import Spec, main
from meshsim.live.roles.proxy import Proxy
from meshsim.live.tls.context import Credentials


class Certified(Proxy):
    """A proxy that asks no authority."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        found = json.loads(Path(sys.argv[1]).read_text())
        certificate = x509.load_pem_x509_certificate(found["certificate"].encode())
        roots = tuple(x509.load_pem_x509_certificate(each.encode()) for each in found["roots"])
        key = load_pem_private_key(found["key"].encode(), None)
        assert self.tls is not None
        self.tls.renew(Credentials(certificate, key, roots))  # type: ignore[arg-type]


if __name__ == "__main__":
    main({"proxy": "certified:Certified"})

"""Two proxies with mTLS between them, the caller's and the callee's: meshsim's, and Envoy's.

    wrk ──► proxy client/0 ══ TLS 1.3, both show certificates ══► proxy echo/0 ──► nginx

As a script this is one of our proxies, as `meshsim.live` starts them, with certificates from a folder.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
sys.path[:0] = [str(HERE.parent.parent.parent), str(HERE.parent)]

from cryptography import x509  # noqa: E402
from cryptography.hazmat.primitives.asymmetric import ec  # noqa: E402
from cryptography.hazmat.primitives.serialization import Encoding, load_pem_private_key  # noqa: E402
from proxies.sides import SCENARIO, Side, own_proxy  # noqa: E402

from meshsim.live import child  # noqa: E402
from meshsim.live.child import Spec  # noqa: E402
from meshsim.live.envoy import Envoy, process  # noqa: E402
from meshsim.live.envoy.policy import TYPE  # noqa: E402
from meshsim.live.envoy.proxy import INBOUND  # noqa: E402
from meshsim.live.roles import proxy  # noqa: E402
from meshsim.live.tls.context import Credentials  # noqa: E402
from meshsim.scenario import loads  # noqa: E402
from tests.live.tls.pki import Authority, pem  # noqa: E402

MEMBERS = {"client/0": "client", "echo/0": "echo"}
"""The proxies, and whose certificates they show."""
ONCE = "  echo:\n    connection: {max_requests: 1}\n    timeout"


def scenario(once: bool) -> str:
    """With mTLS, and with a connection for each request where it is to be used `once`."""
    text = SCENARIO.replace("{dataplane: sidecar}", "{dataplane: sidecar, mtls: {mode: strict}}")
    return text.replace("  echo:\n    timeout", ONCE) if once else text


def issue(folder: Path) -> None:
    """Certificates, keys and the root, as files."""
    folder.mkdir(parents=True, exist_ok=True)
    authority = Authority()
    (folder / "root.pem").write_bytes(authority.root.public_bytes(Encoding.PEM))
    for service in MEMBERS.values():
        (folder / f"{service}.pem").write_bytes(pem(authority.leaf(service)))


def credentials(folder: Path, service: str) -> Credentials:
    """What `issue` has written."""
    text = (folder / f"{service}.pem").read_bytes()
    own = load_pem_private_key(text, None)
    assert isinstance(own, ec.EllipticCurvePrivateKey)
    root = x509.load_pem_x509_certificate((folder / "root.pem").read_bytes())
    return Credentials(x509.load_pem_x509_certificate(text), own, (root,))


class Secured(proxy.Proxy):
    """A proxy whose certificates are in files: `folder` is the script's argument."""

    def __init__(self, spec: Spec) -> None:
        super().__init__(spec)
        if self.tls is not None:
            self.tls.renew(credentials(Path(sys.argv[1]), MEMBERS[spec.id]))


# ---- Envoy ----------------------------------------------------------------------------------------------


def secured_documents(folder: Path, service: str) -> Any:
    """`documents` with TLS on the inbound listener, and to the upstream."""
    plain = process.documents
    file = {"filename": str(folder / f"{service}.pem")}
    common = {
        "tls_params": {"tls_minimum_protocol_version": "TLSv1_3", "tls_maximum_protocol_version": "TLSv1_3"},
        "tls_certificates": [{"certificate_chain": file, "private_key": file}],
        "alpn_protocols": ["http/1.1"],
    }

    def validated(uri: str) -> dict[str, Any]:
        names = [{"san_type": "URI", "matcher": {"prefix": uri}}]
        trusted = {"filename": str(folder / "root.pem")}
        return {
            **common,
            "validation_context": {"trusted_ca": trusted, "match_typed_subject_alt_names": names},
        }

    def socket(kind: str, uri: str, **more: Any) -> dict[str, Any]:
        name = TYPE + f"envoy.extensions.transport_sockets.tls.v3.{kind}TlsContext"
        context = {"@type": name, "common_tls_context": validated(uri), **more}
        return {"name": "envoy.transport_sockets.tls", "typed_config": context}

    def documents(*given: Any, **more: Any) -> Any:
        found = plain(*given, **more)
        for cluster in found["cds.json"]:
            if cluster["name"] == "echo":
                uri = "spiffe://cluster.local/ns/default/sa/echo"
                cluster["transport_socket"] = socket("Upstream", uri, max_session_keys=0)
        for listener in found["lds.json"]:
            if listener["name"] == INBOUND:
                more_ = {"require_client_certificate": True, "disable_stateless_session_resumption": True}
                secure = socket("Downstream", "spiffe://cluster.local/", **more_)
                listener["filter_chains"][0]["transport_socket"] = secure
        return found

    return documents


@contextmanager
def envoy_pair(folder: Path, behind: int, once: bool) -> Iterator[Side]:
    """Two Envoys."""
    issue(folder)
    # by hand, for what Envoy is given of `mtls` elsewhere may differ
    written = loads(scenario(once).replace(", mtls: {mode: strict}", ""))
    plain, made, addresses, ports = process.documents, [], {}, None
    with ExitStack() as stack:
        stack.callback(setattr, process, "documents", plain)
        for id_, service in reversed(MEMBERS.items()):
            process.documents = secured_documents(folder, service)
            envoy = Envoy(written, id_, folder / service)
            stack.callback(envoy.stop)
            envoy.start()
            ports = envoy.listen()
            envoy.connect(addresses, None if id_ == "client/0" else ("127.0.0.1", behind))
            envoy.settle()
            addresses = {"echo/0": ("127.0.0.1", ports.inbound)}
            made.append(envoy.pid)
        assert ports is not None
        yield Side("Envoy", f"http://127.0.0.1:{ports.urls['echo']}/", *made[:1], tuple(made[1:]))


@contextmanager
def meshsim_pair(
    folder: Path, behind: int, once: bool, text: str | None = None, **spec: Any
) -> Iterator[Side]:
    """Two proxies of our own; `text` is another scenario, `spec` as `own_proxy` takes it."""
    issue(folder)
    command, text = [str(HERE / "secured.py"), str(folder)], text or scenario(once)
    app: list[str | int] = ["127.0.0.1", behind]
    with (
        own_proxy(command, "echo/0", text, folder / "echo", app=app, **spec) as (callee, one),
        own_proxy(
            command, "client/0", text, folder / "client", {"echo/0": ["127.0.0.1", callee["inbound"]]}, **spec
        ) as (caller, other),
    ):
        yield Side("meshsim", f"http://127.0.0.1:{caller['urls']['echo']}/", one, (other,))


PAIRS = {"meshsim": meshsim_pair, "envoy": envoy_pair}

if __name__ == "__main__":
    child.main({"proxy": "secured:Secured"})

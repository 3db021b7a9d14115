"""Mutual TLS as Envoy has it: what a listener accepts, what a cluster speaks, and where secrets are.

=====================  ================================================================================
mode of a service      its inbound listener
=====================  ================================================================================
``strict``             one filter chain, for TLS; plaintext finds none, and is closed
``permissive``         a chain for TLS and one for plaintext, by the first byte (`tls_inspector`)
``disable``            one chain, for plaintext; TLS finds none, and is closed
=====================  ================================================================================

A cluster of a caller speaks TLS where `Scenario.secures` says so, and wants the identity of its
service. The certificate with its key, and the trusted roots, are secrets: files of mode 0600, which Envoy
watches. A rotation replaces such a file, and neither listeners nor clusters; open connections live on.
(They hold PEM inline. Files that they named would have to be watched too, and a key could be read beside
another's certificate.)

Source: envoyproxy/envoy, api/envoy/extensions/transport_sockets/tls/v3 (common, secret, tls).
"""

from __future__ import annotations

import json
from pathlib import Path

from meshsim.live.envoy.numbers import Json
from meshsim.live.envoy.policy import TYPE
from meshsim.live.identity.signing import key_pem, pem
from meshsim.live.tls.context import Credentials
from meshsim.scenario.identity import TRUST_DOMAIN, uri_of

CERTIFICATE, ROOTS = "certificate", "roots"
"""The secrets; each is in a file of its own, as Envoy wants it."""
CURVE = "X25519"
"""Of the key exchange, as meshsim's proxy has it; Envoy's own first choice, X25519MLKEM768, costs more."""
TLS, RAW = "tls", "raw_buffer"
"""What Envoy calls the transport protocols of filter chains."""

_V3 = TYPE + "envoy.extensions.transport_sockets.tls.v3."
_SOCKET = "envoy.transport_sockets.tls"
_INSPECTOR = TYPE + "envoy.extensions.filters.listener.tls_inspector.v3.TlsInspector"
MEMBERS = f"spiffe://{TRUST_DOMAIN}/"
"""How the identities of all members begin."""


def filter_chains(mode: str | None, filters: list[Json], folder: Path) -> list[Json]:
    """The filter chains of an inbound listener: the same filters behind each transport that is accepted."""
    if mode is None:
        return [{"filters": filters}]
    accepted = {"strict": [TLS], "permissive": [TLS, RAW], "disable": [RAW]}[mode]
    return [
        {
            "name": protocol,
            "filter_chain_match": {"transport_protocol": protocol},
            "filters": filters,
            **({"transport_socket": downstream(folder)} if protocol == TLS else {}),
        }
        for protocol in accepted
    ]


def listener_filters() -> list[Json]:
    """What finds out the transport protocol of a connection."""
    return [{"name": "envoy.filters.listener.tls_inspector", "typed_config": {"@type": _INSPECTOR}}]


def downstream(folder: Path) -> Json:
    """TLS towards callers, who must show a certificate of a member."""
    return {
        "name": _SOCKET,
        "typed_config": {
            "@type": _V3 + "DownstreamTlsContext",
            "common_tls_context": _common(folder, {"prefix": MEMBERS}),
            "require_client_certificate": True,
            "disable_stateless_session_resumption": True,
            "disable_stateful_session_resumption": True,
        },
    }


def upstream(service: str, folder: Path) -> Json:
    """TLS towards a service, whose identity must be its own."""
    return {
        "name": _SOCKET,
        "typed_config": {
            "@type": _V3 + "UpstreamTlsContext",
            "common_tls_context": _common(folder, {"exact": uri_of(service)}),
            "max_session_keys": 0,
        },
    }


def _common(folder: Path, identity: Json) -> Json:
    """What both sides have: TLS 1.3 alone, a certificate, and whom they accept."""
    version = dict.fromkeys(("tls_minimum_protocol_version", "tls_maximum_protocol_version"), "TLSv1_3")
    return {
        "tls_params": {**version, "ecdh_curves": [CURVE]},
        "tls_certificate_sds_secret_configs": [_secret(CERTIFICATE, folder)],
        "combined_validation_context": {
            "default_validation_context": {
                "match_typed_subject_alt_names": [{"san_type": "URI", "matcher": identity}]
            },
            "validation_context_sds_secret_config": _secret(ROOTS, folder),
        },
        "alpn_protocols": ["http/1.1"],
    }


def _secret(name: str, folder: Path) -> Json:
    place = {"path_config_source": {"path": str(folder / file_of(name))}, "resource_api_version": "V3"}
    return {"name": name, "sds_config": place}


def file_of(secret: str) -> str:
    """The file of a secret."""
    return f"sds-{secret}.json"


def documents(credentials: Credentials) -> dict[str, str]:
    """The contents of both secrets' files: roots; certificate and key. Their version is ``?``."""
    chain = pem(credentials.certificate).decode()
    key = key_pem(credentials.key).decode()
    certificate: Json = {"certificate_chain": {"inline_string": chain}, "private_key": {"inline_string": key}}
    bundle = {"name": TRUST_DOMAIN, "trust_bundle": {"inline_string": pem(*credentials.roots).decode()}}
    validator = {
        "name": "envoy.tls.cert_validator.spiffe",
        "typed_config": {"@type": _V3 + "SPIFFECertValidatorConfig", "trust_domains": [bundle]},
    }
    found: dict[str, Json] = {
        ROOTS: {"validation_context": {"custom_validator_config": validator}},
        CERTIFICATE: {"tls_certificate": certificate},
    }
    kind = _V3 + "Secret"
    return {
        file_of(name): json.dumps({"version_info": "?", "resources": [{"@type": kind, "name": name, **each}]})
        for name, each in found.items()
    }

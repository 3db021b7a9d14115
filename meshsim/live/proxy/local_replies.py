"""Local replies: what a proxy answers by itself, to the downstream and in the access log.

Source: Envoy, response code details; measured on 1.40.
"""

from __future__ import annotations

from meshsim.policies.outcome import DC, DPE, FI, NC, NO_FLAG, NR, RL, SI, UC, UF, UH, UO, UPE, UT

PLAIN = [(b"content-type", b"text/plain")]

BEFORE, AFTER = "upstream_reset_before_response_started", "upstream_reset_after_response_started"
LOCAL_REPLIES = {
    UH: (b"no healthy upstream", "no_healthy_upstream"),
    UF: (b"upstream connect error: connection failure", f"{BEFORE}{{connection_failure}}"),
    UC: (b"upstream connect error: connection termination", f"{BEFORE}{{connection_termination}}"),
    UO: (b"upstream connect error: overflow", f"{BEFORE}{{overflow}}"),
    UPE: (b"upstream protocol error", f"{BEFORE}{{protocol_error}}"),
    UT: (b"upstream request timeout", "response_timeout"),
    RL: (b"local_rate_limited", "local_rate_limited"),
    FI: (b"fault filter abort", "fault_filter_abort"),
    NC: (b"", "cluster_not_found"),
    NR: (b"no route", "route_not_found"),
    DPE: (b"Bad Request", "http1.codec_error"),
    SI: (b"stream timeout", "stream_idle_timeout"),
}  # fmt: skip
"""Body and details of an answer, by the flag that ended the call."""

CUT_OFF = {
    DC: "downstream_remote_disconnect",
    UC: f"{AFTER}{{connection_termination}}",
    UPE: f"{AFTER}{{protocol_error}}",
}
"""Details of a response that is cut off, where they are not those of `LOCAL_REPLIES`."""

DENIED = b"RBAC: access denied"
"""Body of what access rules deny."""


def denial(matched: str) -> str:
    """Details of what access rules deny, by the rule that matched."""
    return f"rbac_access_denied_matched_policy[{matched}]"


MALFORMED = DPE, "http1.codec_error"
REFUSED = {
    403: (NO_FLAG, "upgrade_failed"),
    404: (NR, "route_not_found"),
    408: (NO_FLAG, "request_header_timeout"),
    431: (DPE, "http1.headers_too_large"),
    501: (DPE, "http1.invalid_transfer_encoding"),
}
"""Flag and details of a head that gets no further, by the status of its answer; of others `MALFORMED`."""

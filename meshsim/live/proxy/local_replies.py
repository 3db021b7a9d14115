"""Local replies: what a proxy answers by itself, to the downstream and in the access log.

Source: Envoy, response code details; measured on 1.40.
"""

from __future__ import annotations

from meshsim.policies.outcome import DC, DPE, FI, NC, NO_FLAG, NR, RL, SI, UC, UF, UH, UO, UPE, UT

PLAIN = [(b"content-type", b"text/plain")]

BEFORE, AFTER = "upstream_reset_before_response_started", "upstream_reset_after_response_started"
LOCAL_REPLIES = {
    UH: (b"no healthy upstream", "no_healthy_upstream"),
    UT: (b"upstream request timeout", "response_timeout"),
    RL: (b"local_rate_limited", "local_rate_limited"),
    FI: (b"fault filter abort", "fault_filter_abort"),
    NC: (b"", "cluster_not_found"),
    NR: (b"no route", "route_not_found"),
    DPE: (b"Bad Request", "http1.codec_error"),
    SI: (b"stream timeout", "stream_idle_timeout"),
}  # fmt: skip
"""Body and details of an answer, by the flag that ended the call, where no try was reset."""

RESETS = {
    UF: "remote connection failure",
    UC: "connection termination",
    UO: "overflow",
    UPE: "protocol error",
}
"""What became of the last try, by the flag that ended the call."""
CONNECT_TIMED_OUT = "connection_timeout"
"""Why there was no connection, where it took too long."""

CUT_OFF = {
    DC: "downstream_remote_disconnect",
    UC: f"{AFTER}{{connection_termination}}",
    UPE: f"{AFTER}{{protocol_error}}",
}
"""Details of a response that is cut off, where they are not those of `LOCAL_REPLIES`."""


def local_reply(flag: int, failure: str, retried: bool, within_timeout: bool) -> tuple[bytes, str]:
    """Body and details of an answer, by the flag that ended the call.

    `failure` is why there was no connection, `retried` whether there was more than one try; a time-out was
    the last try's own if the route's was not over.
    """
    reason = RESETS.get(flag)
    if reason is None:
        body, details = LOCAL_REPLIES.get(flag, (b"", "direct_response"))
        return body, "upstream_per_try_timeout" if flag == UT and within_timeout else details
    more = ""
    if flag == UF and failure == CONNECT_TIMED_OUT:
        reason = "connection timeout"
    elif flag == UF and failure:
        more = f"|{failure}"
    latest = "retried and the latest reset reason" if retried else "reset reason"
    body = f"upstream connect error or disconnect/reset before headers. {latest}: {reason}".encode()
    return body, f"{BEFORE}{{{reason.replace(' ', '_')}{more}}}"


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

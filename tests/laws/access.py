"""Laws of access rules (SEMANTICS 7): which request a replica's proxy answers 403 instead of passing it on.

A request comes with an identity, or in plaintext without one. The application answers what it gets, 200.
"""

from __future__ import annotations

from typing import Any

import mtls
from findings import Finding
from subjects import CALLEE, Subject
from traffic import Connection, Host

LAW = "access"
SERVICES = {
    CALLEE: {
        "endpoints": {
            "get": {"path": "/cart"},
            "put": {"method": "PUT", "path": "/cart"},
            "admin": {"path": "/admin/keys"},
        }
    },
    "other": {},
    "otter": {},
}
NOBODY = ""
"""Who sends plaintext."""

OPEN = 0
"""What the law leaves open: Envoy takes such a path as it is, meshsim's proxy also as others may read it."""
Asked = tuple[str, str]
"""Who asks, and for which page."""


def rule(kind: str, **match: Any) -> dict[str, Any]:
    """A rule of the callee's; `by` is its `from`."""
    if "by" in match:
        match["from"] = match.pop("by")
    return {kind: {"to": CALLEE, **match}}


ONES, OTHERS = ("other", "GET /cart"), ("otter", "GET /cart")
PLAIN = (NOBODY, "GET /cart")
SETS: list[tuple[str, list[dict[str, Any]], dict[Asked, int]]] = [
    ("no rules", [], {ONES: 200, PLAIN: 200}),
    ("rules of another service", [{"allow": {"to": "other", "from": "client"}}], {ONES: 200, PLAIN: 200}),
    ("the first allow", [rule("allow", by=["other"])], {ONES: 200, OTHERS: 403, PLAIN: 403}),
    ("a deny alone", [rule("deny", by=["other"])], {ONES: 403, OTHERS: 200, PLAIN: 200}),
    ("deny after allow", [rule("allow"), rule("deny", by="other")], {ONES: 403, OTHERS: 200, PLAIN: 200}),
    ("allow of nothing", [rule("allow", by=[])], {ONES: 403, PLAIN: 403}),
    ("allow of everything", [rule("allow")], {ONES: 200, PLAIN: 200}),
    ("deny of nothing", [rule("deny", by=[])], {ONES: 200, PLAIN: 200}),
    ("deny of everything", [rule("deny")], {ONES: 403, PLAIN: 403}),
    ("from *", [rule("allow", by="*")], {ONES: 200, PLAIN: 403}),
    ("from a prefix", [rule("allow", by="oth*")], {ONES: 200, OTHERS: 403, PLAIN: 403}),
    ("from a suffix", [rule("allow", by="*ter")], {ONES: 403, OTHERS: 200, PLAIN: 403}),
    ("not_from", [rule("allow", not_from="other")], {ONES: 403, OTHERS: 200, PLAIN: 200}),
    ("not_from of nobody", [rule("allow", not_from=[])], {ONES: 200, PLAIN: 200}),
    ("from, not_from", [rule("allow", by="o*", not_from="other")], {ONES: 403, OTHERS: 200, PLAIN: 403}),
    (
        "fields together",
        [rule("allow", by="other", methods="GET"), rule("allow", by="otter", methods=["PUT", "POST"])],
        {ONES: 200, OTHERS: 403, ("otter", "PUT /cart"): 200, ("other", "PUT /cart"): 403},
    ),
    (
        "endpoints",
        [rule("allow", endpoints=["get"])],
        {ONES: 200, ("other", "PUT /cart"): 403, ("other", "GET /cart?x=1"): 200, ("other", "GET /"): 403},
    ),
    (
        "not_endpoints",
        [rule("deny", not_endpoints=["get", "p*"])],
        {ONES: 200, ("other", "PUT /cart"): 200, ("other", "GET /admin/keys"): 403, ("other", "GET /"): 403},
    ),
    (
        "methods, not_methods",
        [rule("deny", methods="P*"), rule("deny", not_methods=["*"])],
        {ONES: 200, ("other", "PUT /cart"): 403, ("other", "PATCH /x"): 403, ("other", "DELETE /x"): 200},
    ),
    (
        "paths",
        [rule("deny", paths=["/admin*", "*.key"])],
        {
            ("other", f"GET {path}"): status
            for path, status in {
                "/": 200, "/admin": 403, "/admin/x?y": 403, "/x?/admin": 200, "/a.key": 403, "/a.key?x": 403,
                "/x/../admin": 403, "/./admin": 403, "/x/%2e%2e/admin": 403, "/%61dmin": 403,
                "/x\\..\\admin": 403, "http://h/admin": 403, "/ADMIN": 200, "/admin%3Fx": 403,
                "//admin": OPEN, "/%2Fadmin": OPEN, "/x%5c..%5cadmin": OPEN, "/a.key;x": OPEN,
            }.items()
        },
    ),
    ("not_paths", [rule("allow", not_paths="/cart")], {ONES: 403, ("other", "GET /x"): 200}),
]  # fmt: skip
DETAILS = {
    "the first allow": ("rbac_access_denied_matched_policy[none]", OTHERS),
    "deny after allow": ("rbac_access_denied_matched_policy[access[1]]", ONES),
}
"""What is logged of a request that is denied."""


async def measure(subject: Subject) -> list[Finding]:
    """Each set of rules on a proxy of its own, which lets plaintext in."""
    found = []
    for name, rules, asked in SETS:
        own = mtls.AUTHORITY.leaf(CALLEE)
        app = Host()
        async with subject.serve(app, "permissive", own, services=SERVICES, access=rules) as running:
            answers = {one: await _ask(running.inbound, *one) for one in asked}
        passed = sum(answer == 200 for answer in answers.values())
        for (who, page), expected in asked.items():
            shown = str(answers[who, page])
            case = f"{name}: {who or 'plaintext'} asks {page}"
            agrees = shown == str(expected) or expected == OPEN
            found.append(Finding(LAW, case, str(expected or "?"), shown, agrees))
        reached = len(app.arrivals)
        found += [] if reached == passed else [Finding(LAW, name, f"{passed} passed", str(reached), False)]
        if name in DETAILS:
            said, (who, page) = DETAILS[name]
            denied = {row.details for row in running.log.values() if row.status == 403}
            shown = " ".join(sorted(denied))
            found.append(Finding(LAW, f"{name}: logged", said, shown, shown == said))
    return found


async def _ask(port: int, who: str, page: str) -> int:
    if who != NOBODY:
        method, _, path = page.partition(" ")
        return await mtls.ask_with(port, who, path, method)
    connection = await Connection.open(port)
    answer = await connection.ask(page=page)
    await connection.close()
    return answer.status

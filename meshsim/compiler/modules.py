"""What is compiled."""

OPEN = {
    "Event",
    "Clock",
    "Stream",
    "Transport",
    "Issuer",
    "Disruption",
    "Balancer",
    "RetryRule",
    "Distribution",
    "Owner",
    "Handler",
    "Reply",
    "SocketTransport",
    "Delivery",
    "LiveClock",
}
"""Classes whose methods Python code overrides: bodies, and users with policies of their own."""

OPEN_METHODS = {"Visit": {"go_home", "vanish", "refuse", "parent"}, "Recorder": {"certificate"}}
"""Of other classes, these methods alone. All that no source overrides are called directly."""

PASSING = {
    "Attempt",
    "Call",
    "ClientRequest",
    "HedgeTimer",
    "Journey",
    "Nap",
    "Notice",
    "Pass",
    "Request",
}
"""Classes whose objects a request makes, and takes with it: see `meshsim.compiler.pool`."""

SELF_INDEXED = {"Gauge", "HeapClock", "RowRecorder", "Tracer"}
"""Classes that find or give out all their indices themselves: no look at the bounds of their columns."""

ENGINE = [
    "meshsim.random",
    "meshsim.policies.backoff",
    "meshsim.policies.breaker",
    "meshsim.policies.budget",
    "meshsim.policies.certificate",
    "meshsim.policies.connection",
    "meshsim.policies.endpoint",
    "meshsim.policies.balance",
    "meshsim.policies.ewma",
    "meshsim.policies.fault",
    "meshsim.policies.hedge",
    "meshsim.policies.limit",
    "meshsim.policies.outcome",
    "meshsim.policies.success_rate",
    "meshsim.policies.outlier",
    "meshsim.policies.accrual",
    "meshsim.policies.retry",
    "meshsim.policies.split",
    "meshsim.mesh.columns",
    "meshsim.mesh.gauge",
    "meshsim.mesh.recorder",
    "meshsim.mesh.rows",
    "meshsim.mesh.histogram",
    "meshsim.mesh.totals",
    "meshsim.mesh.streams",
    "meshsim.mesh.clock",
    "meshsim.mesh.request",
    "meshsim.mesh.spans",
    "meshsim.mesh.station",
    "meshsim.mesh.link",
    "meshsim.mesh.certificate",
    "meshsim.mesh.connection",
    "meshsim.mesh.hosts",
    "meshsim.mesh.cluster",
    "meshsim.mesh.policy",
    "meshsim.mesh.work",
    "meshsim.mesh.proxy",
    "meshsim.mesh.attempt",
    "meshsim.mesh.call",
    "meshsim.mesh.queue",
    "meshsim.mesh.replica",
    "meshsim.mesh.visit",
    "meshsim.mesh.journey",
    "meshsim.mesh.network",
    "meshsim.mesh.load",
    "meshsim.mesh.mesh",
    "meshsim.mesh.disruption",
    "meshsim.mesh.teardown",
    "meshsim.engine.heap",
]
"""What engines run, in the order of imports."""

LIVE = [
    "meshsim.live.wire.limits",
    "meshsim.live.wire.heads",
    "meshsim.live.wire.chunks",
    "meshsim.live.wire.framing",
    "meshsim.live.wire.write",
    "meshsim.live.wire.request",
    "meshsim.live.wire.answering",
    "meshsim.live.wire.server",
    "meshsim.live.wire.client",
    "meshsim.live.clock",
    "meshsim.live.context",
    "meshsim.live.pool",
    "meshsim.live.tls.channel",
    "meshsim.live.transport",
    "meshsim.live.proxy.series",
    "meshsim.live.proxy.access",
    "meshsim.live.proxy.route",
    "meshsim.live.proxy.visits",
    "meshsim.live.proxy.exchange",
    "meshsim.live.proxy.delivery",
    "meshsim.live.proxy.listener",
]
"""What a live proxy runs for each request; these stand on the engine's.

A part of its own: a change in it leaves the engine's extension as good as before."""

MODULES = [*ENGINE, *LIVE]
PARTS = {"engine": ENGINE, "live": LIVE}
"""Each is compiled to one extension: calls within it are C's own, and the compiler can inline them."""

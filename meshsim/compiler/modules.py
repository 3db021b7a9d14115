"""What is compiled."""

OPEN = {"Event", "Clock", "Stream", "Transport", "Disruption", "Balancer", "RetryRule", "Distribution"}
"""Classes that Python code derives from: bodies, and users with policies of their own."""

MODULES = [
    "meshsim.random",
    "meshsim.policies.backoff",
    "meshsim.policies.breaker",
    "meshsim.policies.budget",
    "meshsim.policies.endpoint",
    "meshsim.policies.balance",
    "meshsim.policies.fault",
    "meshsim.policies.hedge",
    "meshsim.policies.limit",
    "meshsim.policies.outcome",
    "meshsim.policies.outlier",
    "meshsim.policies.retry",
    "meshsim.policies.split",
    "meshsim.mesh.columns",
    "meshsim.mesh.gauge",
    "meshsim.mesh.recorder",
    "meshsim.mesh.rows",
    "meshsim.mesh.histogram",
    "meshsim.mesh.streams",
    "meshsim.mesh.clock",
    "meshsim.mesh.spans",
    "meshsim.mesh.dataplane",
    "meshsim.mesh.link",
    "meshsim.mesh.cluster",
    "meshsim.mesh.route",
    "meshsim.mesh.attempt",
    "meshsim.mesh.call",
    "meshsim.mesh.queue",
    "meshsim.mesh.replica",
    "meshsim.mesh.journey",
    "meshsim.mesh.visit",
    "meshsim.mesh.network",
    "meshsim.mesh.load",
    "meshsim.mesh.mesh",
    "meshsim.mesh.disruption",
    "meshsim.engine.heap",
]
"""Modules, in the order of their imports."""

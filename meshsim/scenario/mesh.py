"""The mesh itself: its data plane, its control plane, and the links between services."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from meshsim import units
from meshsim.scenario.fields import Later, Model, PositiveCount, Ratio, not_yet
from meshsim.scenario.services import ZERO
from meshsim.scenario.times import Time


class Proxy(Model):
    """One traversal of a sidecar; a queue like any other (first in, first out, unlimited room).

    Attributes:
        time: of one pass.
        workers: passes at once.
    """

    time: Time = ZERO
    workers: PositiveCount = units.UNLIMITED


class Mesh(Model):
    """The data plane and its control plane.

    Attributes:
        dataplane: whether every replica has a sidecar.
        preset: whose defaults fill what policies leave out.
        proxy: what a sidecar costs.
        push_delay: how long a changed policy takes to reach a proxy.
    """

    dataplane: Annotated[
        Literal["none", "sidecar"], not_yet(("node", "ambient"), "write none or sidecar")
    ] = "none"
    preset: Literal["none", "envoy", "istio", "linkerd"] = "none"
    proxy: Proxy = Field(default_factory=Proxy)
    mtls: Later = None
    push_delay: Time = ZERO


class Link(Model):
    """The way between a caller's proxy and an upstream's, both directions alike.

    Attributes:
        latency: of one message, one way.
        loss: share of transmissions lost; TCP sends again after 200 ms, doubling.
        connect: how long a connection takes to open, or to be refused.
    """

    latency: Time = ZERO
    loss: Ratio = 0.0
    connect: Time = ZERO

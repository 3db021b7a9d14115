"""The mesh itself: its data plane, its control plane, and the links between services."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field, PrivateAttr

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
    preset: Annotated[Literal["none"], not_yet(("envoy", "istio", "linkerd"), "write the policies out")] = (
        "none"
    )
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

    _own: Time | None = PrivateAttr(default=None)

    @property
    def closing(self) -> Time:
        """How long the word that a connection is closed takes: the latency, without what a hop costs."""
        return self.latency if self._own is None else self._own

    def with_latency(self, latency: Time) -> Link:
        """The link as it is measured: messages take this long, hops included."""
        found = self.model_copy(update={"latency": latency})
        found._own = self.closing
        return found

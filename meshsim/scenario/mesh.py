"""The mesh itself: its data plane, its control plane, and the links between services."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from meshsim import units
from meshsim.scenario.fields import (
    Duration,
    Model,
    PositiveCount,
    PositiveDuration,
    Ratio,
    not_yet,
)
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


MtlsMode = Literal["strict", "permissive", "disable"]
"""What a sidecar accepts of its callers: mTLS alone, plaintext too, or plaintext alone."""


class CaRetry(Model):
    """The wait of a proxy that the CA has refused: uniform below a bound that doubles each time.

    Attributes:
        base: the first bound.
        max: the largest.
    """

    base: PositiveDuration = 1.0
    max: PositiveDuration = 30.0


class Ca(Model):
    """The certificate authority, a queue like any other (first in, first out, unlimited room).

    Attributes:
        time: to sign a certificate.
        workers: certificates at once.
        retry: how long a refused proxy waits before it asks again.
    """

    time: Time = ZERO
    workers: PositiveCount = units.UNLIMITED
    retry: CaRetry = Field(default_factory=CaRetry)


class Mtls(Model):
    """Mutual TLS between sidecars, which use it where both sides have one.

    Attributes:
        mode: what sidecars accept, unless their service says otherwise.
        handshake: the work of a handshake, at a worker of the caller's sidecar and at one of the upstream's.
        round_trips: of a handshake over the link.
        certificate_ttl: how long a certificate is valid.
        rotate_at: the share of that after which its proxy asks for the next.
        jitter: how far from that it may be, earlier or later: another share of `certificate_ttl`.
        ca: who signs certificates.
    """

    mode: MtlsMode = "permissive"
    handshake: Time = ZERO
    round_trips: Annotated[int, Field(ge=0, le=10)] = 1
    certificate_ttl: PositiveDuration = 86400.0
    rotate_at: Annotated[Ratio, Field(gt=0, lt=1)] = 0.5
    jitter: Annotated[Ratio, Field(le=0.5)] = 0.01
    ca: Ca = Field(default_factory=Ca)

    @property
    def renewed_late(self) -> bool:
        """Whether a certificate may expire before its renewal begins."""
        return self.rotate_at + self.jitter > 1.0


class ControlPlane(Model):
    """What makes the configuration of proxies and sends it to them; a queue like any other.

    Attributes:
        debounce: a push waits until nothing has changed for so long.
        debounce_max: but no longer than so, from the first change on.
        time: to make one proxy's configuration.
        workers: configurations at once.
        ordered: whether a proxy gets clusters before the routes that name them; else the two travel apart,
            balancer, breaker, detection and connections with the clusters.
    """

    debounce: Duration = 0.1
    debounce_max: Duration = 10.0
    time: Time = ZERO
    workers: PositiveCount = units.UNLIMITED
    ordered: bool = True


class Mesh(Model):
    """The data plane and its control plane.

    Attributes:
        dataplane: whether every replica has a sidecar.
        preset: whose defaults fill what policies leave out.
        proxy: what a sidecar costs.
        mtls: identities and encryption; None: there are none.
        push_delay: how long changed policies and endpoints take to reach a proxy.
        control_plane: how they are made and sent; None: they are on their way at once.
    """

    dataplane: Annotated[
        Literal["none", "sidecar"], not_yet(("node", "ambient"), "write none or sidecar")
    ] = "none"
    preset: Literal["none", "envoy", "istio", "linkerd"] = "none"
    proxy: Proxy = Field(default_factory=Proxy)
    mtls: Mtls | None = None
    push_delay: Time = ZERO
    control_plane: ControlPlane | None = None


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

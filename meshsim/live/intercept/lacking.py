"""What may be lacking for pods, and what helps."""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator

from meshsim.errors import MeshsimError
from meshsim.scenario.model import Scenario

CONTAINER = "in a container, allow it (docker run --privileged)"
NAMESPACES = (
    "allow users to make them: sysctl -w user.max_user_namespaces=10000 (max_net_namespaces and"
    f" max_mnt_namespaces likewise), and on Debian sysctl -w kernel.unprivileged_userns_clone=1; {CONTAINER}"
)
CAPABILITIES = (
    "this system restricts what users may do in namespaces: on Ubuntu, sysctl -w"
    f" kernel.apparmor_restrict_unprivileged_userns=0; {CONTAINER}"
)
RULES = "the kernel needs nf_tables with NAT: modprobe nft_chain_nat nft_redir nft_reject_ipv4"


def refuse_interception(scenario: Scenario, proxy: str) -> None:
    """Raises MeshsimError where there can be no pods: for this proxy or scenario, or on this machine."""
    if proxy != "meshsim":
        raise MeshsimError(
            f"--intercept: {proxy} can't make sockets in a pod; leave out --proxy, or leave out --intercept"
        )
    if scenario.mesh.dataplane != "sidecar":
        raise MeshsimError(
            "--intercept: without sidecars there is nobody to take a program's calls; write mesh.dataplane:"
            " sidecar, or add --set mesh.dataplane=sidecar"
        )
    if not any(map(scenario.has_sidecar, scenario.services)):
        raise MeshsimError(
            "--intercept: no service has a sidecar, so none would be in a pod; leave it out, or write"
            " sidecar: true"
        )
    if sys.platform != "linux":
        raise MeshsimError("--intercept needs the namespaces of Linux; leave it out, or run it there")


@contextlib.contextmanager
def needed(what: str, remedy: str) -> Iterator[None]:
    """Says what is lacking, and what helps, where the system refuses it."""
    try:
        yield
    except OSError as error:
        raise MeshsimError(f"--intercept: {what}: {error.strerror}; {remedy}") from error

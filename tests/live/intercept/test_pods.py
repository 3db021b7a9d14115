"""Making a pod, what may be lacking for it, and what is said then."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest

from meshsim.errors import MeshsimError
from meshsim.lab.live import run_live
from meshsim.live.intercept import lacking as words
from meshsim.live.intercept import namespaces, network, pods
from meshsim.live.intercept.addresses import addresses, hosts, name_service
from meshsim.live.intercept.pods import Pods, Wanted, make
from meshsim.scenario import loads
from tests.live.intercept.pods import lacking, wanted

linux = pytest.mark.skipif(sys.platform != "linux", reason="namespaces are Linux's")
able = pytest.mark.skipif(bool(lacking()), reason=lacking())
SHOP = "{duration: 1s, services: {shop: {}}, load: [{to: shop, rate: 1/s}]"
PR_SET_DUMPABLE = 4
SIDECARS = ", mesh: {dataplane: sidecar}}"


def in_child(work: Callable[[], str]) -> str:
    """What a function returns, or the message of its error, in a process of its own."""
    read, write = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            said = work()
        except BaseException as error:
            said = f"{type(error).__name__}: {error}"
        os.write(write, said.encode())
        os._exit(0)
    os.close(write)
    with os.fdopen(read) as pipe:
        found = pipe.read()
    os.waitpid(child, 0)
    return found


def test_services_have_addresses_and_names_of_the_machine_stay() -> None:
    found = addresses(["shop", "cart"])
    assert found == {"shop": "240.240.0.1", "cart": "240.240.0.2"}
    own = "127.0.0.1 localhost\n# cart\n10.1.2.3 cart cart.example # ours\n::1 localhost\n"
    assert hosts(found, own) == "240.240.0.1 shop\n240.240.0.2 cart\n127.0.0.1 localhost\n::1 localhost\n"
    assert "127.0.0.1 localhost\n" in hosts(found, "")
    assert name_service("passwd: files\nhosts: resolve dns\n") == "passwd: files\nhosts: files\n"


@able
def test_a_plain_user_makes_one_and_programs_in_it_are_his() -> None:
    def work() -> str:
        if os.getuid() == 0:
            os.setgroups([])
            os.setresgid(65534, 65534, 65534)
            os.setresuid(65534, 65534, 65534)
            namespaces.control(PR_SET_DUMPABLE, 1)  # as after an exec
        own = os.getuid(), os.getgid()
        make(known).enter()
        read = Path("/etc/hosts").read_text()
        return f"{(os.getuid(), os.getgid()) == own} {read.splitlines()[0]}"

    with wanted("cart") as known:
        known.hosts.parent.chmod(0o755)
        assert in_child(work).startswith("True 240.240.0.1 cart")


@able
def test_a_pod_lasts_as_long_as_somebody_is_in_it() -> None:
    descriptors = len(list(Path("/proc/self/fd").iterdir()))
    kept = Pods()
    with wanted("cart") as known:
        kept.want(known)
        assert kept.find(None) is None
        pod = kept.find("cart/0")
        assert pod is not None
        assert kept.find("cart/0") is pod
        kept.joined(pod, 1)
        kept.joined(pod, 2)
        kept.left(1)
        assert kept.find("cart/0") is pod
        kept.left(2)
        assert len(list(Path("/proc/self/fd").iterdir())) == descriptors
        other = kept.find("cart/0")
        assert other is not pod
        kept.joined(other, 3)
        kept.left(3)


@able
def test_the_kernel_allows_no_more_namespaces() -> None:
    """A limit that is real, of a user namespace around."""

    def work() -> str:
        namespaces.unshare(namespaces.NEW_USER)
        Path("/proc/sys/user/max_net_namespaces").write_text("0")
        make(known)
        return "made"

    with wanted("cart") as known:
        said = in_child(work)
    assert said.startswith("MeshsimError: --intercept: this system makes no namespaces for this user"), said
    assert "sysctl -w user.max_user_namespaces=10000" in said


def denied(*_: object) -> None:
    raise PermissionError(1, "Operation not permitted")


@linux
@pytest.mark.parametrize(
    ("where", "name", "said", "remedy"),
    [
        (
            namespaces,
            "unshare",
            "this system makes no namespaces for this user",
            "unprivileged_userns_clone=1",
        ),
        (namespaces, "keep_identity", "a namespace of users can't be set up", "max_user_namespaces"),
        (
            network,
            "set_up",
            "the network of a pod can't be set up",
            "apparmor_restrict_unprivileged_userns=0",
        ),
        (namespaces, "bind", "names can't be given to a pod", "docker run --privileged"),
    ],
)
def test_what_the_system_refuses_is_said_with_the_remedy(
    where: object, name: str, said: str, remedy: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "bind" and lacking():
        pytest.skip(lacking())
    monkeypatch.setattr(where, name, denied)
    known = Wanted(Path("/etc/hosts"), Path("/etc/nsswitch.conf"))
    if name == "bind":
        monkeypatch.setattr(network, "set_up", lambda: None)
    elif name != "unshare" and lacking():
        pytest.skip(lacking())
    before = children()
    with pytest.raises(MeshsimError, match="Operation not permitted") as caught:
        make(known)
    assert said in str(caught.value)
    assert remedy in str(caught.value)
    assert children() == before


def children() -> set[str]:
    """The processes that this one has started and not yet taken leave of."""
    return {pid for each in Path("/proc/self/task").glob("*/children") for pid in each.read_text().split()}


@able
def test_a_kernel_that_does_not_know_the_rules(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(network, "_others", lambda: [network._compared(99, b"x")])
    with wanted("cart") as known, pytest.raises(MeshsimError) as caught:
        make(known)
    assert str(caught.value) == (
        f"--intercept: the rules of nftables are refused: Invalid argument; {words.RULES}"
    )


@linux
def test_who_may_not_change_a_network_is_refused_as_by_any_system_call() -> None:
    def work() -> str:
        if os.getuid() == 0:
            os.setresuid(65534, 65534, 65534)
        network.set_up()
        return "changed"

    assert in_child(work) == "PermissionError: [Errno 1] Operation not permitted"


def test_what_is_refused_before_anything_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(MeshsimError, match=r"write mesh.dataplane: sidecar, or add --set"):
        run_live(loads(SHOP + "}"), intercept=True)
    with pytest.raises(MeshsimError, match="envoy can't make sockets in a pod; leave out --proxy"):
        run_live(loads(SHOP + SIDECARS), intercept=True, proxy="envoy")
    monkeypatch.setattr(sys, "platform", "darwin")
    with pytest.raises(MeshsimError, match="needs the namespaces of Linux"):
        run_live(loads(SHOP + SIDECARS), intercept=True)


@able
def test_a_mesh_that_can_have_no_pods_starts_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def work() -> str:
        namespaces.unshare(namespaces.NEW_USER)
        Path("/proc/sys/user/max_net_namespaces").write_text("0")
        run_live(loads(SHOP + SIDECARS), intercept=True)
        return "run"

    monkeypatch.setenv("TMPDIR", str(tmp_path))
    monkeypatch.setattr(tempfile, "tempdir", None)
    said = in_child(work)
    assert said.startswith("MeshsimError: --intercept: this system makes no namespaces for this user"), said
    assert not list(tmp_path.glob("meshsim-*"))
    assert pods.NETWORK_FD == 3

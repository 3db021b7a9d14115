"""A live mesh refuses what it does not know of the data plane, by name."""

import pytest

from meshsim.errors import MeshsimError
from meshsim.lab.live import options_of
from meshsim.live import understood
from meshsim.scenario import loads

TEXT = """
services: {shop: {time: 1ms}}
mesh: {dataplane: sidecar, push_delay: 1s}
load: [{to: shop, rate: 1/s}]
duration: 1s
"""


def test_what_a_live_mesh_knows_is_run() -> None:
    assert options_of(loads(TEXT), "meshsim", "127.0.0.1", None, None)


@pytest.mark.parametrize("key", ["mesh.dataplane=sidecar", "mesh.push_delay"])
def test_what_it_does_not_know_is_refused(key: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a data plane that is new to the models."""
    monkeypatch.setattr(understood, "MESH", understood.MESH - {key})
    with pytest.raises(MeshsimError, match=f"can't do {key} yet"):
        options_of(loads(TEXT), "meshsim", "127.0.0.1", None, None)

import pytest

from meshsim.engine.heap import HeapClock
from meshsim.mesh.network import Network
from meshsim.mesh.proxy import Proxy
from meshsim.mesh.recorder import Recorder
from meshsim.mesh.spans import Tracer
from meshsim.mesh.station import WorkerStation
from meshsim.random import Constant


@pytest.mark.parametrize("shared", [False, True])
def test_a_proxy_that_several_replicas_share_outlives_each_of_them(shared: bool) -> None:
    clock = HeapClock()
    station = WorkerStation(clock, Constant(0.001), 1)
    proxy = Proxy(clock, Recorder(), Tracer(), Network(), 1, 1, station, shared)
    proxy.stop()
    assert station.life == (0 if shared else 1)

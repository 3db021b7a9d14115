"""An authority that listens, in a test's own loop."""

import contextlib
import time

from meshsim.live.clock import LiveClock
from meshsim.live.identity.client import AuthorityClient
from meshsim.live.identity.pinned import AuthorityTls
from meshsim.live.identity.server import LIMITS, SigningServer
from meshsim.live.identity.signer import Signer
from meshsim.live.identity.signing import new_key, pem, request
from meshsim.live.identity.tokens import Holder
from meshsim.live.secret import hashed, new_token
from meshsim.live.servers import Listening
from meshsim.live.tls.entrance import STRICT, Entrance
from meshsim.mesh.station import Station, WorkerStation
from meshsim.random import Constant


class Authority:
    """Signs for holders of tokens; `time` is what that takes, s, of one worker."""

    def __init__(self, loop, ttl=60.0, signing=0.0, limits=LIMITS):
        self.clock = LiveClock(loop, ideal=False)
        self.clock.begin(time.monotonic() - 1.0)
        self.signer = Signer(ttl, time.time(), rotations=1)
        self.signer.wall = time.time() - 1.0
        station = WorkerStation(self.clock, Constant(signing), 1) if signing else Station()
        self.server = SigningServer(self.clock, self.signer, station, 1)
        self.connections = set()
        self.server.opened, self.server.closed = self.connections.add, self.connections.discard
        self.tls = AuthorityTls(time.time())
        self.entrance = Entrance(self.tls, lambda: STRICT, limits)
        self.listening = Listening(self.server, entrance=self.entrance)
        self.listening.limits = limits
        self.address = ("127.0.0.1", 0)

    async def open(self):
        self.address = ("127.0.0.1", await self.listening.open("127.0.0.1"))

    def close(self):
        self.listening.close()
        for connection in list(self.connections):
            connection.abort()
        self.clock.close()

    @property
    def root(self):
        return pem(self.tls.root)

    def client(self, **more):
        return AuthorityClient(self.address, self.root, **more)

    def token(self, name="cart", number=1):
        token = new_token()
        self.signer.tokens.add(hashed(token), Holder(number, name))
        return token


@contextlib.asynccontextmanager
async def authority(loop, **more):
    found = Authority(loop, **more)
    await found.open()
    try:
        yield found
    finally:
        found.close()


class Wisher:
    """Who asks: a key, its CSR, a token and the next."""

    def __init__(self, token, name="cart"):
        self.key = new_key()
        self.csr = pem(request(self.key, name))
        self.token = token
        self.following = new_token()

    def ask(self, client, number=1):
        return client.certificate(self.token, hashed(self.following), number, self.csr)

    def next(self, name="cart"):
        return Wisher(self.following, name)

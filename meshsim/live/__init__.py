"""The live body of the mesh: a scenario runs on this machine, behind real sidecar proxies, over real sockets.

The proxies decide with the very same classes of `policies` and `mesh` that the engines run; this package
gives them a clock, a transport and processes to live in. `wire` is HTTP/1.1 and knows nothing of the mesh.
"""

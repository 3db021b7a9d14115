"""What a sidecar decides, one mechanism a file: small machines without clock, loop or generator.

Every method takes `now` and keys as arguments, so the same classes run on the SimPy clock, compiled, and
behind real sockets.
"""

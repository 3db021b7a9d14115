"""The live body: the mesh as processes and sockets on this machine."""

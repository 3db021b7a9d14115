"""The mesh run for real on this machine: sidecars, services, load generator, and who starts them.

Every part is a process of its own. They decide with the very classes that the engines run, on an asyncio
clock and over sockets.
"""

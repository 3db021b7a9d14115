"""Literal transparency: each replica in a pod of Linux namespaces of its own, whose calls its sidecar gets.

```
   pod cart/0: network, mount and user namespace           │ this machine's network
                                                           │
   program ──http://prices/──► 240.240.0.4:80              │
                               │ nftables: redirect        │
                               ▼                           │
                               127.0.0.1:15001 ═════════ proxy cart/0 ──────► proxy prices/0 ══► …
   program ◄── 127.0.0.1:8080 ══════════════════════════ proxy cart/0 ◄────── callers' proxies
```

A pod has no wire: its network is a loopback interface and nothing else. The sidecar's process lives outside.
A socket belongs for ever to the namespace in which it was made, so one thread of the sidecar goes into the
pod to make sockets (``═``): one to listen where calls are redirected to, and those over which it reaches the
program. So nothing reaches the program but through its sidecar, and nothing leaves it otherwise; and the mesh
outside is the one that it always is, with its links, its mTLS and its control plane.

The keeper holds the namespaces by descriptors alone. When it ends, however it ends, the kernel removes them.

Source: Istio, Traffic Interception (port 15001, addresses of 240.240.0.0/16); namespaces(7).
"""

"""The sidecar proxy: a caller's policies before real sockets.

    downstream ─► Listener ─► Exchange ─► Call ─► Attempt ─► Delivery ─► upstream
                  (wire)      (here)      (mesh: the same classes     (wire)
                                           that the engines run)

A `Listener` finds the `ListenerRoute` that a request takes; an `Exchange` is the request, from its first byte
to the last of its answer; what is decided about it is decided in `mesh` and `policies`. Places that are still
empty: a control plane in place of the pushes that `Proxy.start` schedules.
"""

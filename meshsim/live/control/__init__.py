"""The control plane of a live mesh: one process, a stream to each proxy, and what survives it.

    launcher ──who is there──► control plane ──version n: policies, rules, modes, endpoints──► each proxy
                                             ◄──ack, or nack with the reason──────────────────

What is sent, and when, is decided by `meshsim.mesh.control_plane`. Here are the messages (`messages`), the
stream that they travel on (`lines`), its two ends (`client`, `server`), what is kept for the process that
takes over when this one dies (`journal`), and its pages and requests from outside (`pages`, `orders`).
"""

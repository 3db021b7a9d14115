"""What the processes of a live mesh do: sidecar proxies, services, the load generator."""

"""Generated files for those who watch a mesh: a Prometheus scrape configuration, a Grafana dashboard."""

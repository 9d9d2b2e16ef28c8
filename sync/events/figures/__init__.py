"""What is counted and measured of a watch, for Prometheus."""

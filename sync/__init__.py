"""From a snapshot to web servers: verify, promote, push, status."""

"""Where images come from: registries by the distribution protocol, and OCI layouts on disk."""

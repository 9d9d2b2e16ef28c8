"""Events from registries, over HTTP."""

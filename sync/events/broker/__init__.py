"""Events from a message broker."""

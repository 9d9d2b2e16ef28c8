"""Real servers and the real flatpak client, started on loopback by tests. Nothing here imitates anything."""

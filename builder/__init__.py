"""From sources to a snapshot: configuration, sources, catalog, site, snapshot."""

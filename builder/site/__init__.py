"""From a catalog to the files of a site: pure functions, path by path."""

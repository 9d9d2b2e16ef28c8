"""Fills a stick: a site as files that any file system can hold, and as an OCI layout, sharing the blobs."""

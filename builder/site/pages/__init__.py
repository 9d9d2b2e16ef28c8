"""The pages that people see: from a catalog to HTML, a feed and a search index."""

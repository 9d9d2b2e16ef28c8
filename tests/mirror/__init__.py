"""Copies of a remote: of sources by rules, of objects by digest, through the command and real servers."""

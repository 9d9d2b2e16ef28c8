"""Copies of a remote, from sources that nobody need trust."""

"""The front door: what both packages are needed for."""

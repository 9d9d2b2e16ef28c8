"""Tests of flatdex: unit tests beside tests that run real servers and the real flatpak client."""

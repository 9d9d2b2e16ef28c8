"""Example Flatpak images, for trying flatdex without a registry and without building anything."""

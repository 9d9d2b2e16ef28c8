"""Spans of time as configurations write them."""

from __future__ import annotations

import re

_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 7 * 86400, "y": 365 * 86400}


def seconds(lifetime: str) -> int:
    """`30m` as 1800. Raises ValueError."""
    match = re.fullmatch(r"([0-9]+)([smhdwy])", lifetime)
    if match is None:
        raise ValueError(f"not a lifetime: {lifetime}")
    return int(match[1]) * _SECONDS[match[2]]


def fraction(lifetime: str) -> float:
    """`200ms` as 0.2, and all that `seconds` knows. Raises ValueError."""
    return int(lifetime[:-2]) / 1000 if lifetime.endswith("ms") else float(seconds(lifetime))

"""What the configuration says, as a watch needs it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sync.events.inbox import Takes
from sync.events.settings import Metrics, Settings


@dataclass(frozen=True)
class Setup:
    """`context` is what rounds work with, which goes to another process.

    `identity` is a text that is the same for this remote, store and machine, and for no other.
    """

    context: Any
    file: Path
    store: Path
    targets: tuple[str, ...]
    takes: Takes
    events: Settings
    metrics: Metrics
    identity: str

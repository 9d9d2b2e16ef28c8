"""Which way files get to a target."""

from __future__ import annotations

from builder.store import Store
from sync.by_rclone import RcloneCarrier
from sync.by_rsync import RsyncCarrier
from sync.carrier import Carrier
from sync.programs import Programs
from sync.targets import Kind, Target


def carrier(programs: Programs, store: Store, target: Target) -> Carrier:
    """How files get to a target."""
    return RcloneCarrier(programs, target) if target.kind is Kind.RCLONE else RsyncCarrier(programs, store, target)

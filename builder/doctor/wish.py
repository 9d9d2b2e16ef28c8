"""What somebody wants to have looked at, and how closely."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from builder.doctor.place import Place


@dataclass(frozen=True)
class Wish:
    """What is to be looked at. `public` is what files of the remote should name, in place of its own URL.

    No `tags` and `architectures`: those that the remote has. `sample` is how many images are pulled, None: all.
    `host_addresses` are asked too; `seconds` is how long a request may take.
    """

    place: Place
    public: str = ""
    tags: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    sample: int | None = 5
    repo_files: tuple[str, ...] = ()
    each_address: bool = False
    host_addresses: tuple[str, ...] = ()
    ca: Path | None = None
    seconds: float = 60.0

    @property
    def patience(self) -> float:
        """How many seconds all of it may take, be the servers as slow as they like."""
        return 1800.0 if self.sample is not None else 86400.0

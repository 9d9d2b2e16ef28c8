"""Looks at things that may never answer, such as a dead network file system: each in a thread that can be left."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping
from typing import TypeVar

_Key = TypeVar("_Key")
_Found = TypeVar("_Found")


def each(seconds: float, looks: Mapping[_Key, Callable[[], _Found]]) -> dict[_Key, _Found]:
    """What all of them came to that were done in time; who is not among the keys was not, or failed with OSError.

    A thread that waits in the kernel can't be ended: it is left behind, and doesn't keep the program from ending.
    """
    found: dict[_Key, _Found] = {}

    def run(key: _Key, look: Callable[[], _Found]) -> None:
        try:
            found[key] = look()
        except OSError:
            return

    threads = [threading.Thread(target=run, args=item, daemon=True) for item in looks.items()]
    deadline = time.monotonic() + seconds
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return dict(found)

"""The same for many things at once, over a bounded number of threads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


def mapped(threads: int, function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """The results, in the order of `items`. After an error nothing more is begun.

    After Ctrl-C what is under way isn't waited for either: `function` must leave nothing half done that counts.
    """
    waiting = list(items)
    if not waiting:
        return
    pool = ThreadPoolExecutor(min(threads, len(waiting)))
    try:
        yield from pool.map(function, waiting)
    finally:
        pool.shutdown(wait=isinstance(sys.exception(), Exception | None), cancel_futures=True)

"""Many things at once, over a bounded number of threads."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")


@contextmanager
def threads(number: int) -> Iterator[ThreadPoolExecutor]:
    """So many threads to give work to. After an error nothing more is begun.

    After Ctrl-C what is under way isn't waited for either: the work must leave nothing half done that counts.
    """
    pool = ThreadPoolExecutor(number)
    try:
        yield pool
    finally:
        pool.shutdown(wait=isinstance(sys.exception(), Exception | None), cancel_futures=sys.exception() is not None)


def mapped(number: int, function: Callable[[_Item], _Result], items: Iterable[_Item]) -> Iterator[_Result]:
    """The results, in the order of `items`."""
    waiting = list(items)
    if waiting:
        with threads(min(number, len(waiting))) as pool:
            yield from pool.map(function, waiting)

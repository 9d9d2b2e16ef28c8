"""What pure functions came to, for a process that does much the same work twice."""

from __future__ import annotations

from collections.abc import Callable, Hashable
from typing import Any, TypeVar

_Result = TypeVar("_Result")


class Memo:
    """Results by what they were made of, which has to decide them wholly: a digest, say, under one configuration.

    Most processes build once: theirs keeps nothing. Threads may share it: two that make the same make it alike.
    """

    def __init__(self, keeps: bool = False) -> None:
        self._found: dict[Hashable, Any] | None = {} if keeps else None

    def of(self, key: Hashable, make: Callable[[], _Result]) -> _Result:
        """What `make` gives, now or earlier. What it raises is not kept."""
        if self._found is None:
            return make()
        if key not in self._found:
            self._found[key] = make()
        result: _Result = self._found[key]
        return result

    def has(self, key: Hashable) -> bool:
        """Whether `of` would have to make nothing."""
        return self._found is not None and key in self._found


NOTHING = Memo()

"""Figures as the configuration wants them, if it wants any."""

from __future__ import annotations

from collections.abc import Callable

from builder.errors import FlatdexError
from sync.events.figures.counting import Figures, Watched
from sync.events.settings import Metrics


class Unasked(Figures):
    """Counts nothing, but may begin to when another configuration asks for it."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say = say

    def configure(self, watched: Watched, metrics: Metrics) -> Figures:
        return figures(watched, metrics, self._say)


def figures(watched: Watched, metrics: Metrics, say: Callable[[str], None]) -> Figures:
    """Figures as the configuration wants them; `say` is told, once, why they can't be written.

    Raises FlatdexError if a package is missing, or if the place to ask at can't be used.
    """
    if metrics == Metrics():
        return Unasked(say)
    try:
        from sync.events.figures.metrics import Measured  # takes a while to import, and is an extra
    except ModuleNotFoundError as error:
        if error.name != "prometheus_client":
            raise
        fix = "`pip install 'flatdex[metrics]'` in the environment that flatdex is installed in, or drop `metrics`."
        raise FlatdexError("figures need the Python package prometheus_client, which is not installed", fix) from error
    made = Measured(watched, say)
    made.configure(watched, metrics)
    return made

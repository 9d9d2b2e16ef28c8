"""The origins of events that a configuration asks for, begun, ended and changed."""

from __future__ import annotations

from collections.abc import Callable, Mapping

from builder.errors import FlatdexError
from sync.events.broker.amqp import Amqp
from sync.events.broker.fedora import broker
from sync.events.broker.messages import hint_of
from sync.events.inbox import Events
from sync.events.kept.journal import Journal
from sync.events.kept.spool import Spool
from sync.events.model import Hint, Origin
from sync.events.settings import Settings
from sync.events.web.webhook import Webhook


class Origins:
    """Those that run."""

    def __init__(self, inbox: Events, journal: Journal, identity: str) -> None:
        self._inbox = inbox
        self._journal = journal
        self._identity = identity
        self._settings = Settings()
        self._running: dict[str, Origin] = {}

    def start(self, settings: Settings) -> None:
        """Begins all of them. Raises FlatdexError, and then none runs."""
        made = {name: make() for name, make in self._makers(settings).items()}
        try:
            for name, origin in made.items():
                origin.start()
                self._running[name] = origin
        except FlatdexError:
            self.stop()
            raise
        self._settings = settings

    @property
    def names(self) -> frozenset[str]:
        """Of those that run."""
        return frozenset(self._running)

    def change(self, settings: Settings) -> None:
        """Lets others run; those that are to stay as they are go on. If FlatdexError is raised, all is as it was.

        What one that ends has offered and is not done comes again: from the broker, the folder, or the journal.
        """
        before = self._settings
        new, old = _parts(settings), _parts(before)
        changed = [name for name in old.keys() | new.keys() if old.get(name) != new.get(name)]
        try:
            self._replace(changed, settings)
            self._settings = settings
            for origin in self._running.values():
                if isinstance(origin, Webhook):
                    origin.reload()  # another secret may be in the file
        except FlatdexError:
            self._replace(changed, before)
            self._settings = before
            raise

    def _replace(self, names: list[str], settings: Settings) -> None:
        for name in names:
            if name in self._running:
                self._running.pop(name).stop()
        makers = self._makers(settings)
        for name in sorted(makers.keys() & set(names)):
            origin = makers[name]()
            origin.start()
            self._running[name] = origin

    def _makers(self, settings: Settings) -> Mapping[str, Callable[[], Origin]]:
        amqp, webhook, spool = settings.amqp, settings.webhook, settings.spool
        makers: dict[str, Callable[[], Origin]] = {}
        if amqp:
            makers["amqp"] = lambda: Amqp(self._inbox, broker(amqp, self._identity), hint_of)
        if webhook:
            makers["webhook"] = lambda: Webhook(
                self._inbox, webhook, self._journal, self._is_wanted, self._inbox.waiting
            )
        if spool:
            makers["spool"] = lambda: Spool(spool, self._inbox)
        return makers

    def _is_wanted(self, hint: Hint) -> bool:
        found = self._inbox.takes(hint)
        return found is None or bool(found)

    def stop(self) -> None:
        """Ends all of them."""
        while self._running:
            self._running.popitem()[1].stop()


def _parts(settings: Settings) -> dict[str, object]:
    parts = {"amqp": settings.amqp, "webhook": settings.webhook, "spool": settings.spool}
    return {name: part for name, part in parts.items() if part}

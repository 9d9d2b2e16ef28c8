"""A steady stream of events for a watch: news, what is no news, what is nobody's business, and what is no event."""

from __future__ import annotations

import json
import random
import threading
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path

import requests

from bench import fill

_FORGED = {"Authorization": "Bearer " + "0" * 40}
_UNKNOWN = "nobody/takes/this"
_MISSING = "apps/org.example.missing"
"""A repository that the configuration takes and the registry has not."""
_LARGE = b"[" + b" " * (2 << 20)


@dataclass
class Stream:
    """What comes in while `running`: by a registry that tells of pushes itself, by the webhook at `url` to which
    `headers` are the key, and by a spool folder. `metrics` is a URL that is asked, too.

    `sent` counts what was sent, by kind; `wrong` has the answers that should have been others.
    """

    registry: str
    url: str
    headers: Mapping[str, str]
    metrics: str
    spool: Path
    sent: Counter[str] = field(default_factory=Counter)
    wrong: Counter[str] = field(default_factory=Counter)

    @contextmanager
    def running(self, repositories: int) -> Iterator[None]:
        """Sends all the time, from threads of its own."""
        ending = threading.Event()
        kinds = self._kinds(repositories)
        threads = [
            threading.Thread(target=self._repeat, args=(kind, *each, ending), name=kind, daemon=True)
            for kind, each in kinds.items()
        ]
        for thread in threads:
            thread.start()
        try:
            yield
        finally:
            ending.set()
            for thread in threads:
                thread.join(30)

    def _repeat(self, kind: str, every: float, send: Callable[[], object], ending: threading.Event) -> None:
        while not ending.wait(every * random.uniform(0.7, 1.3)):
            try:
                send()
                self.sent[kind] += 1
            except (OSError, requests.RequestException) as error:
                self.wrong[f"{kind}: {type(error).__name__}"] += 1

    def _kinds(self, repositories: int) -> dict[str, tuple[float, Callable[[], object]]]:
        """What is sent: every so many seconds, and how."""

        def known() -> str:
            return fill.name(random.randrange(repositories))

        versions, names = count(1), count()
        post = self._post
        return {
            "pushes": (1, lambda: fill.push(self.registry, random.randrange(repositories), next(versions))),
            "told again": (2, lambda: post(_envelope(known()), self.headers, 202)),
            "of a missing repository": (3, lambda: post(_envelope(_MISSING), self.headers, 202)),
            "of unknown ones": (0.2, lambda: post(_envelope(_UNKNOWN), self.headers, 202)),
            "forged": (0.2, lambda: post(_envelope(known()), _FORGED, 401)),
            "malformed": (1, lambda: post(b"{" * 2000, self.headers, 400)),
            "too large": (3, lambda: post(_LARGE, self.headers, 413)),
            "spooled": (1.5, lambda: self._drop(f"{next(names)}", known())),
            "spooled, unknown": (0.7, lambda: self._drop(f"unknown-{next(names)}", _UNKNOWN)),
            "scrapes": (2, self._scrape),
        }

    def _post(self, body: bytes, headers: Mapping[str, str], status: int) -> None:
        """Over a connection of its own, as senders that tell of something now and then do."""
        answer = requests.post(self.url, data=body, headers=dict(headers), timeout=20)
        if answer.status_code != status:
            self.wrong[f"{answer.status_code} for {status}"] += 1

    def _scrape(self) -> None:
        if not requests.get(self.metrics, timeout=20).text.startswith("# HELP"):
            self.wrong["no figures"] += 1

    def _drop(self, name: str, repository: str) -> None:
        hidden = self.spool / f".{name}"
        hidden.write_text(f"{repository}\n")
        hidden.rename(self.spool / name)


def _envelope(repository: str) -> bytes:
    """A notification as a registry sends it."""
    target = {"mediaType": "application/vnd.oci.image.index.v1+json", "repository": repository, "tag": "latest"}
    return json.dumps({"events": [{"action": "push", "target": target}]}).encode()

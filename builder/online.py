"""Asks the sources whether they answer, and registries whether clients without a login may pull from them."""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from builder.config import Config, LayoutSource, RegistrySource, Source, Token
from builder.errors import Exit, FlatdexError
from builder.report import Report, counted
from builder.sources import access, layouts
from builder.sources.cache import Cache
from builder.sources.reading import RegistryReading

_MOST_SHOWN = 10


@dataclass(frozen=True)
class Answer:
    """What a source said: how many repositories it has, or an error; and which of them are for no anonymous client."""

    source: str
    repositories: int = 0
    error: str = ""
    private: tuple[str, ...] = ()
    login_expected: bool = False

    @property
    def good(self) -> bool:
        """Whether nobody needs to do anything."""
        return not self.error and (self.login_expected or not self.private)

    @property
    def text(self) -> str:
        """In a line or two."""
        if self.error:
            return f"flatdex: {self.error}"
        line = f"source {self.source}: answers, {counted(self.repositories, 'repository')}"
        if not self.private:
            return line
        if self.login_expected:
            return f"{line}, {len(self.private)} of them with a login only, as `token: required` says"
        more = len(self.private) - _MOST_SHOWN
        names = ", ".join(self.private[:_MOST_SHOWN]) + (f" and {more} more" if more > 0 else "")
        return (
            f"{line}\n  {len(self.private)} of them can't be pulled without a login: {names}\n"
            "  Make them public, or say `token: required` if all clients have a login."
        )


def answers(config: Config, report: Report, *, anonymous: bool) -> tuple[Answer, ...]:
    """The answers of all sources, in their order."""
    return tuple(_answer(config, source, report, anonymous) for source in config.sources)


def exit_code(found: Iterable[Answer]) -> Exit:
    """What they come to."""
    found = list(found)
    if any(answer.error for answer in found):
        return Exit.FAILED
    return Exit.PARTLY if not all(answer.good for answer in found) else Exit.DONE


def as_json(answer: Answer) -> dict[str, object]:
    """For a script."""
    if answer.error:
        return {"source": answer.source, "error": answer.error}
    return {"source": answer.source, "repositories": answer.repositories, "private": list(answer.private)}


def _answer(config: Config, source: Source, report: Report, anonymous: bool) -> Answer:
    try:
        if not isinstance(source, RegistrySource):
            return Answer(source.name, len(layouts.folders(source)) if isinstance(source, LayoutSource) else 0)
        with tempfile.TemporaryDirectory(prefix="flatdex-") as folder, Cache(Path(folder)) as nothing:
            with access.opened(source, nothing, os.environ) as registry:
                registry.ping()
                names = registry.repositories()
            private = _private(config, source, names, nothing, report) if anonymous else ()
            return Answer(source.name, len(names), "", private, source.token is Token.REQUIRED)
    except FlatdexError as error:
        return Answer(source.name, error=str(error))


def _private(
    config: Config, source: RegistrySource, names: list[str], nothing: Cache, report: Report
) -> tuple[str, ...]:
    """The repositories of which an anonymous client gets nothing. Raises FlatdexError if that can't be told."""
    tags = config.tags_of(source)
    with access.opened(source, nothing, os.environ, anonymous=True) as registry:
        reading = RegistryReading(registry, source, tags, nothing, report.progress, names=names)
        reading.look()
    refused = [failure for failure in reading.failures if failure.code in ("unauthorized", "forbidden")]
    other = next((failure for failure in reading.failures if failure not in refused), None)
    if other:
        raise FlatdexError(other.why)
    return tuple(sorted(failure.repository for failure in refused))

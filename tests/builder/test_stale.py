"""A failure is not an empty answer: what could not be read stays, as long as it may."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.catalog import Catalog, Failure, Image
from builder.config import Config, RegistrySource, Source
from builder.stale import Stale, key, with_kept
from tests.builder.helpers import GOOD, image, loaded, ref_of

NOW = 1_700_000_000
ALL = Failure("main", "", "unreachable", "down")


def failure(repository: str, source: str = "main") -> Failure:
    """A repository that could not be read."""
    return Failure(source, repository, "server-error", "answered 500")


def config_of(folder: Path, max_stale: int | None = None) -> Config:
    """A configuration with the sources `main` and `local`."""
    config = loaded(folder, GOOD)
    sources = tuple(
        replace(source, max_stale=max_stale) if isinstance(source, RegistrySource) else source
        for source in config.sources
    )
    return replace(config, sources=sources)


def of(repository: str, source: str = "main", name: str = "Hello") -> Image:
    """An image of a repository."""
    return image(ref_of(name), repository=repository, source=source)


HAD = (of("a"), of("b"), of("b", name="Other"), of("a", "local"))


def had(source: Source) -> tuple[Image, ...]:
    """The images that a source had."""
    return tuple(replace(each, kept=True) for each in HAD if each.source == source.name)


def places(found: Catalog) -> list[tuple[str, str, bool]]:
    """Where images are from, and whether they are kept."""
    return [(each.source, each.repository, each.kept) for each in found.images]


def test_a_repository_that_fails_keeps_its_images_and_no_others(tmp_path: Path) -> None:
    found = Catalog((of("a"), of("new")), (), (failure("b"),))
    kept, stale = with_kept(config_of(tmp_path), found, had, {}, NOW)
    assert places(kept) == [("main", "a", False), ("main", "b", True), ("main", "b", True), ("main", "new", False)]
    assert stale == (Stale("main", "b", "server-error", "answered 500", NOW, 2),)


def test_a_source_that_fails_keeps_all_of_it_whatever_else_failed(tmp_path: Path) -> None:
    found = Catalog((of("a", "local"), of("new")), (), (ALL, failure("b"), failure("gone")))
    kept, stale = with_kept(config_of(tmp_path), found, had, {}, NOW)
    assert places(kept) == [
        ("local", "a", False),
        ("main", "a", True),
        ("main", "b", True),
        ("main", "b", True),
    ]
    assert [(each.repository, each.kept) for each in stale] == [("", 3)]


def test_a_repository_that_had_nothing_keeps_nothing_and_is_told(tmp_path: Path) -> None:
    kept, stale = with_kept(config_of(tmp_path), Catalog(failures=(failure("c"),)), had, {}, NOW)
    assert kept.images == ()
    assert "nothing is kept of it" in stale[0].text


def test_since_is_when_it_was_first_seen_but_never_in_the_future(tmp_path: Path) -> None:
    found = Catalog(failures=(failure("a"), failure("b")))
    since = {key(failure("a")): NOW - 500, key(failure("b")): NOW + 500}
    _, stale = with_kept(config_of(tmp_path), found, had, since, NOW)
    assert [each.since for each in stale] == [NOW - 500, NOW]
    assert "since 2023-11-14T22:05:00Z, kept as it was: 1 image: answered 500" in stale[0].text


@given(
    age=st.integers(0, 100),
    most=st.none() | st.integers(0, 100),
)
def test_max_stale_ends_it(tmp_path_factory: pytest.TempPathFactory, age: int, most: int | None) -> None:
    config = config_of(tmp_path_factory.mktemp("config"), most)
    found = Catalog(failures=(failure("b"), Failure("local", "", "unreadable", "gone")))
    kept, stale = with_kept(config, found, had, {key(failure("b")): NOW - age}, NOW)
    ended = most is not None and age > most
    assert [place[:2] for place in places(kept)] == [("local", "a"), *([] if ended else [("main", "b")] * 2)]
    assert {each.source: each.kept for each in stale} == {"local": 1, "main": 0 if ended else 2}


@given(st.permutations([of("a"), of("new"), of("a", "local")]), st.permutations([failure("b"), failure("c")]))
def test_the_order_doesn_t_matter(
    tmp_path_factory: pytest.TempPathFactory, images: list[Image], failures: list[Failure]
) -> None:
    config = config_of(tmp_path_factory.mktemp("config"))
    kept, stale = with_kept(config, Catalog(tuple(images), (), tuple(failures)), had, {}, NOW)
    assert places(kept) == sorted(places(kept))
    assert [each.repository for each in stale] == ["b", "c"]


def test_thousands_of_failures_take_no_time(tmp_path: Path) -> None:
    many = tuple(of(f"r{number:05}") for number in range(6000))
    looks: list[Image] = []

    class Counted(tuple[Image, ...]):
        def __iter__(self):  # type: ignore[no-untyped-def]
            looks.append(self[0])
            return super().__iter__()

    found = Catalog((), (), tuple(failure(f"r{number:05}") for number in range(6000)))
    kept, stale = with_kept(config_of(tmp_path), found, lambda source: Counted(many), {}, NOW)
    assert len(kept.images) == len(stale) == 6000
    assert len(looks) == 1, "each image is looked at once, not once for each failure"

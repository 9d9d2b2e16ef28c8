"""One good site for all tests of a process, and a copy of it for each test."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.doctor.site import Copy, build, build_two_tags, copied
from tests.e2e.site import Flatdex
from tests.real.files import readable_folder


@pytest.fixture(scope="session")
def built() -> Iterator[Flatdex]:
    """A store with a good site, of which tests change nothing."""
    with readable_folder() as folder:
        yield build(folder / "flatdex")


@pytest.fixture(scope="session")
def two_tags_built() -> Iterator[Flatdex]:
    """A store with a good site of two tags, of which tests change nothing."""
    with readable_folder() as folder:
        yield build_two_tags(folder / "flatdex")


@pytest.fixture
def two_tags(two_tags_built: Flatdex, real_tmp: Path) -> Copy:
    """A site of two tags, of the test's own."""
    return copied(two_tags_built, real_tmp)


@pytest.fixture
def copy(built: Flatdex, real_tmp: Path) -> Copy:
    """A site of the test's own."""
    return copied(built, real_tmp)

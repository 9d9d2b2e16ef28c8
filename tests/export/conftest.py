"""Each test works on a copy of its own."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.sync.site import Site, with_images, with_snapshots


@pytest.fixture
def site(real_tmp: Path) -> Site:
    """A configuration and a store with three snapshots, and an empty folder `stick`."""
    (real_tmp / "stick").mkdir()
    return with_snapshots(real_tmp)


@pytest.fixture
def images(real_tmp: Path) -> Site:
    """A configuration and OCI layouts, no store yet, and an empty folder `stick`."""
    (real_tmp / "stick").mkdir()
    return with_images(real_tmp)

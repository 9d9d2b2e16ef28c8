"""Killed before any system call that changes anything: readers see a whole site, old or new, and the next run mends."""

from __future__ import annotations

import os
import re
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.calls import thinned
from tests.crash.scenes import SCENES, Scene
from tests.crash.stage import Stage, Worker, worker
from tests.real.files import remove
from tests.real.process import require, run, unavailable

_WORKERS = 2
_MEMORY = Path("/dev/shm")  # noqa: S108
_SHOWN = 5


@pytest.fixture
def folder(real_tmp: Path) -> Iterator[Path]:
    """In memory, where there is such a place: who is killed loses nothing that was written, and a disk takes long."""
    require("strace", "rsync")
    if run(["strace", "-o", real_tmp / "trace", "true"], check=False).returncode:
        unavailable("strace may not trace here")
    if not os.access(_MEMORY, os.W_OK):
        yield real_tmp
        return
    made = Path(tempfile.mkdtemp(prefix="flatdex-", dir=_MEMORY))
    made.chmod(0o755)
    try:
        yield made
    finally:
        remove(made)


@pytest.fixture
def workers(folder: Path) -> list[Worker]:
    """Places to play at."""
    return [worker(number, folder) for number in range(_WORKERS)]


@pytest.mark.parametrize("scene", [pytest.param(scene, id=scene.name) for scene in SCENES])
def test_a_kill_at_any_point_leaves_a_whole_site_and_is_mended_by_the_next_run(
    scene: Scene, folder: Path, workers: list[Worker]
) -> None:
    stage = Stage(scene, folder)
    points = stage.points(workers[0])
    print(f"{scene.name}: {len(points)} points")
    assert len(points) >= scene.fewest, points
    failed = stage.failures(workers, points)
    told = "\n".join(f"{point}: {what}" for point, what in [*failed.items()][:_SHOWN])
    assert not failed, f"{len(failed)} of {len(points)} points\n{told}"


@pytest.mark.parametrize(
    ("verb", "broken", "told"),
    [
        pytest.param("promote", "flip", "store shows None", id="a flip in two steps"),
        pytest.param("build", "name", r"snapshot\.json|is missing", id="a name from the start"),
        pytest.param("prune", "removal", r"snapshot\.json|is missing", id="a name to the end"),
        pytest.param("export", "stage", "JSONDecodeError|has other bytes", id="a stick written in place"),
        pytest.param("export", "note", "has other bytes|nobody|no export", id="a stick without a note"),
    ],
)
def test_what_is_not_safe_is_noticed(verb: str, broken: str, told: str, folder: Path, workers: list[Worker]) -> None:
    [scene] = (scene for scene in SCENES if scene.name == verb)
    stage = Stage(scene, folder, broken)
    failed = stage.failures(workers, thinned(stage.points(workers[0]), every=8))
    assert any(re.search(told, what) for what in failed.values()), failed

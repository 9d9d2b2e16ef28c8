"""Killed while objects are fetched: what has its name is whole, and what came is never fetched again."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.crash.calls import RECORDING, Depth, Point, points
from tests.crash.runner import Runner
from tests.mirror.objects import lay_out, named, things
from tests.real.files import remove
from tests.real.nginx import Nginx
from tests.real.process import located, require

_KILLED = -9
_FEWEST = 40


class Scene:
    """Objects here and there, of which an earlier run has left a part, a whole one without a name, and rubbish."""

    def __init__(self, folder: Path, url: str) -> None:
        self._folder, self._url = folder, url
        self._served, self._mounted = things(4, 600_000, seed=2), things(3, 400_000, seed=3)
        self._store = folder / "store"
        self._pool = self._store / "mirror" / "objects"
        self._runner = Runner(0, folder, folder / "said", "tests.crash.fetching")
        lay_out(folder / "site", self._served)
        lay_out(folder / "stick", self._mounted)

    @property
    def _all(self) -> dict[str, bytes]:
        return {thing.sha256: thing.data for thing in (*self._served, *self._mounted)}

    def _prepare(self) -> None:
        remove(self._store)
        self._pool.mkdir(parents=True)
        begun, whole, rubbish, *_ = self._served
        (self._pool / f"{begun.sha256}.part").write_bytes(begun.data[:300_000])
        (self._pool / f"{whole.sha256}.part").write_bytes(whole.data)
        (self._pool / f"{rubbish.sha256}.part").write_bytes(bytes(1000))

    def _run(self, *strace: str) -> int:
        sizes = [{thing.sha256: len(thing.data) for thing in some} for some in (self._served, self._mounted)]
        where = dict(zip((self._url, f"{(self._folder / 'stick').as_uri()}/"), sizes, strict=True))
        self.last = self._runner.run(str(self._store), json.dumps(where), strace=strace)
        return self.last.code

    def points(self) -> list[Point]:
        """Where one may be killed."""
        self._prepare()
        record = self._folder / "record"
        assert self._run(located("strace"), "-o", str(record), *RECORDING) == 0, self.last.said
        assert named(self._pool) == self._all
        return points([record], self._store, 0, Depth.ALL)

    def strike(self, point: Point) -> None:
        """Kills there, looks, and runs to the end. AssertionError if anything is wrong."""
        self._prepare()
        code = self._run(located("strace"), "-o", str(self._folder / "record"), *point.options)
        assert code == _KILLED, f"exit code {code}: {self.last.said}"
        lacking = self._lacking()
        assert self._run() == 0, self.last.said
        assert named(self._pool) == self._all
        assert {file.stat().st_mode & 0o777 for file in self._pool.iterdir()} == {0o644}
        came = int(self.last.said)
        assert came == lacking, f"{came} bytes came in the second run, {lacking} were lacking"

    def _lacking(self) -> int:
        """How many bytes are to come yet, after making sure that names tell the truth.

        What rubbish is gone on with comes, too, before that is noticed.
        """
        lacking = sum(map(len, self._all.values()))
        for name, data in named(self._pool).items():
            sha256, _, part = name.partition(".")
            assert part in ("", "part"), name
            whole = self._all[sha256]
            assert part or data == whole, f"{name} has {len(data)} of {len(whole)} bytes"
            lacking += -len(data) if whole.startswith(data) else len(whole) - len(data)
        return lacking


@pytest.fixture
def scene(real_tmp: Path) -> Iterator[Scene]:
    require("strace", "nginx")
    (real_tmp / "site").mkdir()
    with Nginx(real_tmp / "nginx", real_tmp / "site") as server:
        yield Scene(real_tmp, server.url)


def test_a_kill_at_any_point_leaves_what_the_next_run_goes_on_with(scene: Scene) -> None:
    found = scene.points()
    assert len(found) >= _FEWEST, found
    assert {point.call for point in found} >= {"rename", "syncfs", "write"}
    failed = {}
    for point in found:
        try:
            scene.strike(point)
        except AssertionError as error:
            failed[point] = str(error)
    assert not failed, f"{len(failed)} of {len(found)} points: {failed}"

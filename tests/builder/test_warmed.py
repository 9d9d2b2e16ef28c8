"""A build that takes what a process has made ahead makes the very site that it would have made without."""

from __future__ import annotations

import random
import shutil
from pathlib import Path

import pytest

from builder import flatpak
from builder.build import build, warmed
from builder.config import Config
from builder.memo import NOTHING, Memo
from builder.store import Store
from tests.builder import test_reading
from tests.builder.helpers import icon_uri, loaded
from tests.builder.test_build import files, report
from tests.builder.test_partial import only
from tests.builder.test_reading import Fake, run

fake = test_reading.fake
NAMES = "abcdefg"


def offer(fake: Fake, chance: random.Random, name: str, turn: int) -> None:
    """An image with an icon, a title and releases of its own; or with what others have, too."""
    mark = chance.choice([turn, 0])
    releases = "".join(f'<release version="{mark}.{each}" date="2024-01-{each + 1:02}"/>' for each in range(2))
    appdata = (
        f'<components><component type="desktop"><id>{name}</id><name>{name} {mark}</name>'
        f"<summary>S{mark}</summary><releases>{releases}</releases></component></components>"
    )
    labels = {flatpak.APPDATA: appdata, test_reading.ICON: icon_uri(64, (mark, chance.randrange(3), 0))}
    tags = chance.choice([("latest",), ("testing",), ("latest", "testing")])
    fake.offer(f"apps/{name}", f"{name.upper()}", *tags, **labels)


def site(config: Config, only_these: set[str], memo: Memo) -> dict[str, bytes]:
    """The files that a build makes."""
    store = Store(config.store)
    with store.locked("build", create=True):
        done = build(config, report(), only(*only_these), memo)
    return files(store.find(done.snapshot))


@pytest.mark.parametrize("seed", range(4))
def test_any_row_of_builds(tmp_path: Path, fake: Fake, seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    chance = random.Random(seed)

    def make(folder: Path) -> Config:
        return loaded(folder, test_reading.CONFIG.format(url=fake.url, more=""))

    (tmp_path / "one").mkdir()
    config = make(tmp_path / "one")
    for name in NAMES:
        offer(fake, chance, name, 0)
    run(config)
    now = 1_900_000_000
    for turn in range(1, 9):
        moment = now + 100 * turn
        monkeypatch.setattr("builder.build.time.time", lambda moment=moment: moment)
        memo = warmed(config, report())
        assert memo is not NOTHING
        changed = chance.sample(NAMES, chance.randrange(1, 3))
        for name in changed:
            offer(fake, chance, name, turn)
        shutil.copytree(tmp_path / "one", tmp_path / "other", symlinks=True)
        asked = {f"apps/{name}" for name in changed}
        without = site(make(tmp_path / "other"), asked, NOTHING)
        assert site(config, asked, memo) == without, turn
        shutil.rmtree(tmp_path / "other")

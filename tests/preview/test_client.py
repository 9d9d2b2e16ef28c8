"""The real flatpak client uses the preview as it uses any remote."""

from __future__ import annotations

from pathlib import Path

from demo.host import shell
from demo.images import APPLICATION, RUNTIME
from tests.preview.server import preview
from tests.real.flatpak import Flatpak
from tests.sync.site import NEW, OLD, Site


def versions(flatpak: Flatpak) -> dict[str, str]:
    lines = flatpak.run("list", "--columns=application,version").stdout.splitlines()
    return {words[0]: words[1] for words in map(str.split, lines)}


def test_the_real_client_installs_from_the_preview_and_updates(site: Site, real_tmp: Path) -> None:
    flatpak = Flatpak(real_tmp / "client")
    site.promote(OLD)
    with preview(site) as server:
        flatpak.remote_add("demo", server.url)
        listed = flatpak.run("remote-ls", "--columns=application", "demo").stdout.split()
        assert sorted(listed) == [APPLICATION, RUNTIME]
        flatpak.run("install", "--noninteractive", "demo", APPLICATION)
        assert versions(flatpak) == {APPLICATION: "1.0", RUNTIME: "1.0"}
        site.promote(NEW)
        flatpak.run("update", "--noninteractive")
        assert versions(flatpak) == {APPLICATION: "1.2", RUNTIME: "1.0"}
        if flatpak.can_run and shell():
            assert flatpak.run("run", APPLICATION).stdout == "Hello from flatdex, version 1.2\n"

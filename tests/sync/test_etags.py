"""A name is served by one kind of server: Apache and nginx form ETags differently, and check tells."""

from __future__ import annotations

from pathlib import Path

import pytest

from sync.etags import Answered, findings, told
from sync.targets import target
from tests.real.apache import Apache
from tests.real.nginx import Nginx
from tests.real.process import free_port
from tests.sync.site import DONE, NEW, PARTLY, Site

ID = "20260101T000000Z-00000000"


def answered(target: str, host: str, server: str = "Apache", etag: str = '"1"', **more: str) -> Answered:
    """What an address said."""
    return Answered(target, host, "127.0.0.1", **{"server": server, "snapshot": ID, "etag": etag, **more})


@pytest.mark.parametrize(
    ("asked", "good", "word"),
    [
        ([answered("a", "x"), answered("b", "x")], True, "shows"),
        ([answered("a", "x"), answered("b", "x", "nginx", '"2"')], False, "under one name: let one kind"),
        ([answered("a", "x"), answered("b", "y", "nginx", '"2"')], True, "don't let them share a name"),
        ([answered("a", "x"), answered("b", "x", etag='"2"', snapshot="20260101T000001Z-00000000")], True, "shows"),
        ([answered("a", "x"), Answered("b", "x", "127.0.0.2", error="no answer: refused")], False, "no answer"),
    ],
    ids=["alike", "one name", "two names", "another snapshot", "no answer"],
)
def test_what_addresses_say_comes_to(asked: list[Answered], good: bool, word: str) -> None:
    found = list(findings(asked))
    assert all(each.good for each in found) == good
    assert any(word in each.text for each in found), found


def test_two_that_differ_are_told_once(real_tmp: Path) -> None:
    many = [answered("a", "x", address) for address in ("Apache", "Apache")] + [answered("b", "x", "nginx", '"2"')] * 3
    assert sum(not each.good for each in findings(many)) == 1


def test_check_asks_real_servers(site: Site) -> None:
    site.promote(NEW)
    site.configure({name: {"rsync": f"./{name}"} for name in ("one", "two", "three")})
    site.flatdex("push", code=DONE)
    (site.folder / "images").mkdir()
    (site.folder / "images" / "none").mkdir()
    with (
        Apache(site.folder / "apache-1", site.folder / "one" / "current") as one,
        Apache(site.folder / "apache-2", site.folder / "two" / "current") as two,
        Nginx(site.folder / "nginx", site.folder / "three" / "current") as three,
    ):
        urls = {"one": one.url, "two": two.url}
        site.configure({name: {"rsync": f"./{name}", "url": url} for name, url in urls.items()})
        said = site.flatdex("check", "--online", code=DONE).stdout
        assert f"target one, 127.0.0.1: shows {site.current}" in said and "two ETags" not in said
        urls["three"] = three.url
        site.configure({name: {"rsync": f"./{name}", "url": url} for name, url in urls.items()})
        result = site.flatdex("check", "--online", code=PARTLY)
        wanted = "one (Apache) and three (nginx) give one file two ETags, under one name: let one kind of server serve"
        assert wanted in result.stderr and "there is something to act on" in result.stdout
        found = site.json("check", "--online", code=PARTLY)
        assert [each["good"] for each in found["targets"]] == [True, True, True, False, False]


def test_what_does_not_answer_is_told(tmp_path: Path) -> None:
    url = f"http://127.0.0.1:{free_port()}/"
    (refused,) = told([target("web", {"rsync": "./web", "url": url}, tmp_path)])
    assert not refused.good and "no answer" in refused.text
    (unknown,) = told([target("web", {"rsync": "./web", "url": "http://no-such-host.invalid/"}, tmp_path)])
    assert not unknown.good and "can't be resolved" in unknown.text

"""A new store takes over from what is live, and readers notice nothing: the same bytes, dates, ETags and inodes."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.description import read_snapshot
from tests.builder.helpers import Answer
from tests.e2e.site import get
from tests.real.apache import Apache
from tests.real.nginx import Nginx
from tests.real.process import free_port, run
from tests.real.rclone import Webdav
from tests.real.rsyncd import Rsyncd
from tests.real.tokens import listening
from tests.sync.command import FLATDEX
from tests.sync.site import DONE, FAILED, Site, new_version, served, tree


@pytest.fixture
def lost(images: Site) -> Site:
    """A site with a target "web" that is two versions old, so that its snapshot keeps files of an earlier one."""
    images.configure({"web": {"rsync": "./web"}})
    images.flatdex("publish", code=DONE)
    new_version(images, "2.0")
    images.flatdex("publish", code=DONE)
    return images


@pytest.fixture
def heir(lost: Site) -> Site:
    """The same configuration and images on another machine, without a store."""
    (lost.folder / "heir").mkdir()
    heir = Site(lost.folder / "heir")
    run(["cp", "-a", lost.folder / "images", heir.folder / "images"])
    heir.configure({"web": {"rsync": "../web"}})
    return heir


def live(lost: Site) -> Path:
    """What the target shows."""
    return (lost.folder / "web" / "current").resolve()


def state(folder: Path) -> dict[str, tuple[int, int, int, int, int]]:
    """What would tell of any change to what is below a folder, also of one that was undone."""
    states = {path: path.lstat() for path in [folder, *folder.rglob("*")]}
    return {
        str(path): (each.st_ino, each.st_mode, each.st_nlink, each.st_mtime_ns, each.st_ctime_ns)
        for path, each in states.items()
    }


def takes_over(lost: Site, heir: Site, source: str) -> None:
    """Adopts, builds, pushes: the new store has the old one's snapshot, and the target is not touched."""
    web = lost.folder / "web"
    before = state(web)
    found = heir.json("adopt", source)
    snapshot = read_snapshot(lost.store / "snapshots" / str(lost.current))
    wanted = {"snapshot": snapshot.id, "version": snapshot.version, "files": len(snapshot.all_files)}
    assert wanted.items() <= found.items()
    assert heir.ids == [lost.current] and heir.current == lost.current
    assert tree((heir.store / "current").resolve()) == tree(live(lost))
    heir.flatdex("verify", code=DONE)
    built = heir.json("build")
    assert (built["snapshot"], built["changed"]) == (lost.current, False)
    assert heir.flatdex("push", code=DONE).stdout == f"web: already has {lost.current}\n"
    assert heir.flatdex("publish", code=DONE).stdout.splitlines()[-1] == f"web: already has {lost.current}"
    assert state(web) == before


def test_from_a_target_by_its_name(lost: Site, heir: Site) -> None:
    takes_over(lost, heir, "web")


@pytest.mark.parametrize("source", ["../web", "../web/", "{}/web"])
def test_from_a_folder(lost: Site, heir: Site, source: str) -> None:
    takes_over(lost, heir, source.format(lost.folder))


def test_from_the_old_store_itself(lost: Site, heir: Site) -> None:
    takes_over(lost, heir, "../store")


def test_from_a_daemon(lost: Site, heir: Site) -> None:
    with Rsyncd(lost.folder / "rsyncd", lost.folder / "web", munge=False) as daemon:
        takes_over(lost, heir, daemon.url())


@pytest.fixture
def apache(lost: Site) -> Iterator[Apache]:
    with Apache(lost.folder / "apache", lost.folder / "web" / "current") as server:
        yield server


def test_from_a_site_served_by_apache(lost: Site, heir: Site, apache: Apache) -> None:
    """Which hands out no .htaccess: the description has their text."""
    assert (live(lost) / ".htaccess").is_file() and get(f"{apache.url}.htaccess").status == 403
    takes_over(lost, heir, apache.url)


@pytest.mark.parametrize("end", ["", "/"])
def test_from_a_site_served_by_nginx_below_a_path(lost: Site, heir: Site, end: str) -> None:
    web = lost.folder / "web" / "current"
    extra = f'location /flat/packs/ {{ alias "{web}/"; }}\nlocation ~ /\\.ht {{ deny all; }}'
    with Nginx(lost.folder / "nginx", lost.folder, extra=extra) as server:
        takes_over(lost, heir, f"{server.url}flat/packs{end}")


def test_apache_shows_the_same_etags_afterwards(lost: Site, heir: Site, apache: Apache) -> None:
    paths = ["index/static", "index/static?tag=latest&architecture=amd64", "index/latest.json", "snapshot.json"]
    before = [get(f"{apache.url}{path}").headers["etag"] for path in paths]
    assert not [etag for etag in before if etag.startswith("W/")], "a file is dated in the second that it is served in"
    assert (live(lost) / "snapshot.json").stat().st_mtime < read_snapshot(live(lost)).created
    heir.flatdex("adopt", apache.url, code=DONE)
    heir.flatdex("publish", code=DONE)
    assert [get(f"{apache.url}{path}").headers["etag"] for path in paths] == before
    with Apache(lost.folder / "other-apache", heir.store / "current") as other:
        assert [get(f"{other.url}{path}").headers["etag"] for path in paths] == before


def test_what_comes_next_is_linked_to_what_was_adopted(lost: Site, heir: Site) -> None:
    """The new store goes on from there: the versions continue, and what did not change is not sent."""
    heir.flatdex("adopt", "web", code=DONE)
    new_version(heir, "3.0")
    heir.flatdex("publish", code=DONE)
    old, new = (read_snapshot(path) for path in sorted((heir.store / "snapshots").iterdir()))
    assert (new.version, new.previous) == (old.version + 1, old.id)
    assert served(lost.folder / "web") == new.id
    web = lost.folder / "web" / "snapshots"
    same = [path for path, entry in new.by_path.items() if old.by_path.get(path) == entry]
    assert len(same) > 5 and all((web / old.id / each).samefile(web / new.id / each) for each in same)
    assert [line["verb"] for line in heir.json("log")] == ["adopt", "publish"]


def test_adopting_again_changes_nothing(lost: Site, heir: Site) -> None:
    heir.flatdex("adopt", "web", code=DONE)
    before = state(heir.store / "snapshots")
    said = heir.flatdex("adopt", "web", code=DONE).stdout
    assert str(lost.current) in said
    after = state(heir.store / "snapshots")
    top = str(heir.store / "snapshots")
    assert {**after, top: before[top]} == before, "but for the folder itself, where it was put together"
    assert len(heir.json("log")) == 1


def test_what_was_built_in_vain_goes(lost: Site, heir: Site) -> None:
    """A new store that was filled before anybody thought of adopting, of a lower version."""
    heir.flatdex("build", code=DONE)
    [vain] = heir.ids
    takes_over(lost, heir, "web")
    assert vain not in heir.ids


# What is not taken over.


def refused(heir: Site, source: str, *args: str) -> str:
    """Adopts in vain: nothing is left of it. Gives what is said."""
    before = heir.ids if (heir.store / "snapshots").is_dir() else []
    current = heir.current
    result = heir.flatdex("adopt", source, *args, code=FAILED, timeout=100)
    first, *more = result.stderr.splitlines()
    assert first.startswith("flatdex: ") and all(line.startswith("  ") for line in more), result.stderr
    assert result.stdout == "" and "[" not in first.replace("[Receiver]", "").replace("[sender]", "")
    left = (
        {path.name for path in (heir.store / "snapshots").iterdir()} if (heir.store / "snapshots").exists() else set()
    )
    assert left == set(before) and heir.current == current
    return result.stderr


def test_into_a_store_that_is_ahead(lost: Site, heir: Site) -> None:
    run(["cp", "-a", lost.store, heir.store])
    new_version(heir, "3.0")
    heir.flatdex("build", code=DONE)
    said = refused(heir, "web")
    assert f"the store has {heir.ids[-1]}, version 3; what is live is {lost.current}, version 2" in said
    assert "--store" in said


def test_into_a_store_that_has_another_snapshot_of_the_same_version(lost: Site, heir: Site) -> None:
    for version in ("2.5", "2.6"):
        new_version(heir, version)
        heir.flatdex("build", code=DONE)
    said = refused(heir, "web")
    assert f"the store has {heir.ids[-1]}, version 2" in said


def spoil(folder: Path) -> str:
    file = folder / "index" / "latest.json"
    times, data = file.stat(), file.read_bytes()
    file.write_bytes(bytes([data[0] ^ 1]) + data[1:])
    os.utime(file, ns=(times.st_atime_ns, times.st_mtime_ns))
    return "index/latest.json"


def lose(folder: Path) -> str:
    shutil.rmtree(folder / "icons")
    return "icons/"


def shorten(folder: Path) -> str:
    file = folder / "index" / "static"
    file.write_bytes(file.read_bytes()[:-1])
    return "index/static"


@pytest.mark.parametrize("damage", [spoil, lose, shorten])
@pytest.mark.parametrize("way", ["folder", "url"])
def test_from_a_site_that_is_damaged(lost: Site, heir: Site, damage: Callable[[Path], str], way: str) -> None:
    named = damage(live(lost))
    if way == "folder":
        said = refused(heir, "web")
    else:
        extra = "location ~ /\\.ht { deny all; }"
        with Nginx(lost.folder / "nginx", lost.folder / "web" / "current", extra=extra) as server:
            said = refused(heir, server.url)
    assert named in said and "adopted" in said
    assert heir.flatdex("list", code=DONE).stdout.startswith("no snapshots in ")


def test_from_a_folder_with_something_beside_it(lost: Site, heir: Site) -> None:
    (live(lost) / "extra").write_text("not ours")
    assert "extra: is not in snapshot.json" in refused(heir, "web")


@pytest.mark.parametrize(
    ("document", "words"),
    [(b"<!DOCTYPE html>", "shows no snapshot"), (b"{}", "shows no snapshot"), (b"", "shows no snapshot")],
    ids=["html", "empty", "nothing"],
)
def test_from_a_site_that_is_none(heir: Site, document: bytes, words: str) -> None:
    with listening(lambda request: Answer(document)) as server:
        said = refused(heir, server.url)
    assert server.url in said and words in said and "Name a target, the URL of a site" in said


def test_from_a_site_that_shows_nothing(heir: Site) -> None:
    with listening(lambda request: Answer(b"", 404)) as server:
        said = refused(heir, server.url)
    assert f"{server.url}/snapshot.json" in said and "404" in said


def test_from_a_site_that_does_not_answer(heir: Site) -> None:
    port = free_port()
    assert f"http://127.0.0.1:{port}/snapshot.json" in refused(heir, f"http://127.0.0.1:{port}/")


def test_from_a_description_that_leads_elsewhere(lost: Site, heir: Site) -> None:
    """All that is fetched lies below the site's own URL."""
    document = json.loads((live(lost) / "snapshot.json").read_bytes())
    with listening(lambda request: Answer(b"{}")) as elsewhere:
        document["files"][0]["path"] = f"{elsewhere.url}/x"
        with listening(lambda request: Answer(json.dumps(document).encode())) as server:
            refused(heir, server.url)
        assert elsewhere.heard == []


@pytest.mark.parametrize("source", ["nowhere", "./images", "../web/current", "wbe"])
def test_from_a_folder_that_shows_nothing(heir: Site, source: str) -> None:
    said = refused(heir, source)
    assert source.rpartition("/")[2] in said
    assert "Name a target, the URL of a site, or a place that holds" in said


def test_an_unreadable_source_leaves_an_old_store_as_it_was(lost: Site) -> None:
    before = state(lost.store / "snapshots" / str(lost.current))
    refused(lost, "./nowhere")
    assert state(lost.store / "snapshots" / str(lost.current)) == before


# From object storage.


@pytest.fixture
def bucket(lost: Site, heir: Site) -> Iterator[Webdav]:
    """A storage that both have as their target "web"."""
    with Webdav(lost.folder / "dav", lost.folder / "bucket") as server:
        for site in (lost, heir):
            site.configure({"web": {"rclone": server.remote}})
        lost.flatdex("push", code=DONE)
        yield server


def test_from_object_storage(lost: Site, heir: Site, bucket: Webdav) -> None:
    """Where there are other things, too, which a push leaves alone."""
    (bucket.root / "robots.txt").write_text("ours")
    before = state(bucket.root)
    heir.flatdex("adopt", "web", code=DONE)
    assert tree((heir.store / "current").resolve()) == tree(live(lost))
    assert heir.json("build")["changed"] is False
    assert heir.flatdex("push", code=DONE).stdout == f"web: already has {lost.current}\n"
    assert state(bucket.root) == before


def test_from_object_storage_that_does_not_answer(heir: Site) -> None:
    heir.configure({"web": {"rclone": f":webdav,url='http://127.0.0.1:{free_port()}/':"}})
    assert "connection refused" in refused(heir, "web")


def test_a_killed_adoption_leaves_nothing_that_counts(lost: Site, heir: Site) -> None:
    (heir.store / "snapshots" / ".unfinished-adopted" / "half").mkdir(parents=True)
    assert heir.flatdex("list", code=DONE).stdout.startswith("no snapshots in ")
    takes_over(lost, heir, "web")


def test_the_command_alone_is_enough(lost: Site) -> None:
    """With a store that is named no configuration is needed."""
    result = run([FLATDEX, "--store", "new", "adopt", "web"], cwd=lost.folder / "web" / "..", check=False)
    assert result.returncode == DONE, result.stderr
    assert tree((lost.folder / "new" / "current").resolve()) == tree(live(lost))

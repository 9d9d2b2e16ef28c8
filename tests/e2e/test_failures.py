"""Sources that fail, as the command meets them: what was published stays, and whoever looks is told."""

from __future__ import annotations

import base64
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.builder.helpers import Answer, Blobs, flatpak_labels, hello_layout, icon_uri, ref_of, tagged
from tests.builder.test_reading import Fake, serving
from tests.builder.test_regindexer import OLD
from tests.builder.test_registry import put
from tests.e2e.site import Flatdex
from tests.e2e.test_cached import site
from tests.real.registry import DockerRegistry

DONE, FAILED, PARTLY = 0, 1, 4
ICON = "org.freedesktop.appstream.icon-64"
END = "org.flatpak.commit-metadata.ostree.endoflife"
CONFIG = """
store: ./store
remote: {{name: example, url: "http://127.0.0.1:8080/"}}
sources:
  main: {{registry: "{url}"}}
  local: {{layouts: ["./images/*"]}}
indexes:
  defaults: {{architectures: [amd64]}}
  stable: {{tags: [latest], sources: [main]}}
  here: {{tags: [here], sources: [local]}}
"""
REGISTRY = CONFIG.replace('  local: {{layouts: ["./images/*"]}}\n', "").partition("  here: ")[0]


@pytest.fixture
def fake() -> Iterator[Fake]:
    """A registry that can be made to fail, and layouts beside it."""
    fake = Fake()
    for name in "ABC":
        fake.offer(f"apps/{name.lower()}", name, "latest")
    with serving(fake):
        yield fake


@pytest.fixture
def flatdex(real_tmp: Path, fake: Fake) -> Flatdex:
    """The command, with a published site."""
    flatdex = Flatdex(real_tmp / "flatdex", CONFIG.format(url=fake.url))
    hello_layout(flatdex.folder / "images" / "hello", "here", **{ICON: icon_uri(64, (9, 9, 9))})
    flatdex.run("publish")
    return flatdex


def newest(flatdex: Flatdex) -> Any:
    """The newest snapshot.json."""
    folder = max((flatdex.store / "snapshots").iterdir())
    return json.loads((folder / "snapshot.json").read_bytes())


def partly(flatdex: Flatdex, *args: str) -> Any:
    """What a build says that is not whole."""
    done = flatdex.run("build", "--json", *args, check=False)
    assert done.returncode == PARTLY, done.stderr
    return json.loads(done.stdout)


@pytest.mark.parametrize(
    ("status", "code"), [(401, "unauthorized"), (403, "forbidden"), (500, "server-error"), (418, "bad-answer")]
)
def test_a_source_that_fails_leaves_the_site_and_is_told_with_exit_4(
    flatdex: Flatdex, fake: Fake, status: int, code: str
) -> None:
    before = site(flatdex)
    fake.change = lambda path: Answer(b"{}", status, {"Retry-After": "31"})
    done = partly(flatdex)
    assert site(flatdex) == before
    (stale,) = done["stale"]
    assert (stale["source"], stale["repository"], stale["code"], stale["kept"]) == ("main", "", code, 3)
    assert f"answered {status}" in stale["why"]
    told = flatdex.run("publish", check=False)
    assert told.returncode == PARTLY
    assert f"stale main: {code} since {stale['since']}, kept as it was: 3 images" in told.stderr
    assert ", 1 stale" in told.stdout
    fake.change = lambda path: None
    assert flatdex.json("build")["stale"] == []


def test_a_real_registry_that_is_down_leaves_the_site(real_tmp: Path) -> None:
    blobs = Blobs()
    entry = blobs.image(flatpak_labels(ref_of("Real"), **{ICON: icon_uri()}))
    with DockerRegistry(real_tmp / "registry") as registry:
        put(registry.url, "real", blobs, entry, "latest")
        flatdex = Flatdex(real_tmp / "flatdex", REGISTRY.format(url=registry.url))
        flatdex.run("publish")
        before = site(flatdex)
        registry.stop()
        (stale,) = partly(flatdex)["stale"]
        assert (stale["code"], stale["kept"]) == ("unreachable", 1)
        assert "connection refused" in stale["why"]
        assert site(flatdex) == before
        registry.start()
        assert flatdex.json("build")["stale"] == []


def test_a_repository_that_fails_stays_with_its_icon_while_others_move(flatdex: Flatdex, fake: Fake) -> None:
    before = site(flatdex)
    fake.change = lambda path: Answer(b"at 10.1.2.3", 500) if "apps/a/" in path else None
    fake.offer("apps/b", "B", "latest", new="1")
    fake.offer("apps/new", "New", "latest")
    done = partly(flatdex)
    assert done["changed"] and ref_of("New") in done["refs"] and ref_of("A") in done["refs"]

    def entry(files: dict[str, bytes]) -> Any:
        index = json.loads(files["index/latest.json"])
        return next(each for each in index["Results"] if each["Name"] == "apps/a")

    after = site(flatdex)
    assert entry(after) == entry(before)
    icon = entry(after)["Images"][0]["Labels"][ICON].removeprefix("../")
    assert after[icon] == before[icon]
    document = newest(flatdex)
    (stale,) = document["stale"]
    assert stale == {
        "source": "main",
        "repository": "apps/a",
        "code": "server-error",
        "since": done["stale"][0]["since"],
    }
    assert "answered 500" not in json.dumps(document)


def test_layouts_that_vanish_stay_with_their_blobs(flatdex: Flatdex, fake: Fake) -> None:
    before = site(flatdex)
    (flatdex.folder / "images").rename(flatdex.folder / "away")
    for _ in range(2):
        (stale,) = partly(flatdex)["stale"]
        assert (stale["source"], stale["kept"]) == ("local", 1)
        assert site(flatdex) == before
    fake.offer("apps/new", "New", "latest")
    partly(flatdex)
    after = site(flatdex)
    blobs = {path: data for path, data in before.items() if path.startswith("v2/hello/")}
    assert len(blobs) == 3
    assert blobs.items() <= after.items()
    assert "app/org.flatdex.Hello" in after["index/here.json"].decode()
    shutil.rmtree(flatdex.store / "cache")
    assert partly(flatdex)["stale"][0]["kept"] == 1
    assert site(flatdex) == after
    (flatdex.folder / "away").rename(flatdex.folder / "images")
    assert flatdex.run("build").returncode == DONE
    assert site(flatdex) == after


def test_one_source_that_is_down_doesn_t_hold_up_the_other(flatdex: Flatdex, fake: Fake) -> None:
    fake.change = lambda path: Answer(b"", 403)
    blobs = Blobs()
    entry = blobs.image(flatpak_labels(ref_of("Second")))
    blobs.layout(flatdex.folder / "images" / "second", tagged(entry, "here"))
    done = partly(flatdex)
    assert ref_of("Second") in done["refs"] and ref_of("A") in done["refs"]
    assert [each["source"] for each in newest(flatdex)["stale"]] == ["main"]


@pytest.mark.parametrize("part", ["_catalog", "apps/a/"])
def test_the_older_form_keeps_what_fails_too(real_tmp: Path, fake: Fake, part: str) -> None:
    config = OLD.replace("http://127.0.0.1:5000", fake.url)
    flatdex = Flatdex(real_tmp / "old", config, "config.yaml")
    flatdex.run("build", "--store", "store")
    before = site(flatdex)
    assert [path for path in before if path.startswith("app-icons/") and path.endswith(".png")]
    fake.change = lambda path: Answer(b"", 403) if part in path else None
    done = partly(flatdex, "--store", "store")
    assert site(flatdex) == before
    assert [each["source"] for each in done["stale"]] == ["registry"]
    assert [each["repository"] for each in done["stale"]] == ["apps/a" if "apps" in part else ""]
    fake.offer("apps/new", "New", "latest")
    if part == "apps/a/":
        partly(flatdex, "--store", "store")
        assert fake.url not in json.dumps(newest(flatdex)), "the address is not for the public"
        assert ref_of("A") in site(flatdex)["index/flatpak.json"].decode()


# Shrinking


def test_a_build_that_takes_too_much_away_is_refused_with_the_list(flatdex: Flatdex, fake: Fake) -> None:
    before, current = site(flatdex), flatdex.root.readlink()
    fake.tags = {"apps/a": fake.tags["apps/a"]}
    for verb in ("build", "publish"):
        refused = flatdex.run(verb, check=False)
        assert refused.returncode == FAILED
        assert "the index stable would lose 2 of 3 refs (`max_shrink` is 20%):" in refused.stderr
        assert f"  {ref_of('B')}\n  {ref_of('C')}\n" in refused.stderr
        assert "say `--allow-shrink`" in refused.stderr
    assert site(flatdex) == before and flatdex.root.readlink() == current
    assert len(flatdex.json("build", "--allow-shrink")["refs"]) == 2
    assert flatdex.run("build").returncode == DONE


@pytest.mark.parametrize(("most", "code"), [("0%", FAILED), ("33%", FAILED), ("34%", DONE), ("100%", DONE)])
def test_each_index_has_its_own_max_shrink(flatdex: Flatdex, fake: Fake, most: str, code: int) -> None:
    text = flatdex.config.read_text()
    more = f"{{tags: [latest], sources: [main], max_shrink: {most}}}"
    other = "  other: {tags: [other], sources: [main], max_shrink: 100%}\n"
    flatdex.config.write_text(text.replace("{tags: [latest], sources: [main]}", more) + other)
    fake.tags["apps/a"]["other"] = fake.tags["apps/a"]["latest"]
    flatdex.run("build")
    before = site(flatdex)
    del fake.tags["apps/a"]
    done = flatdex.run("build", check=False)
    assert done.returncode == code, done.stderr
    assert (site(flatdex) == before) == (code == FAILED)


def test_with_100_an_index_may_become_empty(real_tmp: Path, fake: Fake) -> None:
    text = REGISTRY.format(url=fake.url).replace("sources: [main]", "max_shrink: 100%")
    flatdex = Flatdex(real_tmp / "empty", text)
    flatdex.run("build")
    for name in "abc":
        fake.tags[f"apps/{name}"] = {}
    assert flatdex.json("build")["refs"] == []


# Advice


def test_advice_is_told_everywhere_and_changes_no_exit_code(flatdex: Flatdex, fake: Fake) -> None:
    ending = base64.b64encode(b"use another\0\0s").decode()
    labels = flatpak_labels(ref_of("Bare"), **{END: ending})
    fake.tags["bare"] = {"latest": fake.blobs.image(labels, media_type=None)}
    done = flatdex.json("build")
    told = {(each["code"], each["about"]): each["what"] for each in done["advice"]}
    runtime = "runtime/org.flatdex.Platform/x86_64/stable"
    assert set(told) == {
        ("no-media-type", ref_of("Bare")),
        ("end-of-life", ref_of("Bare")),
        ("runtime-missing", runtime),
    }
    assert told["end-of-life", ref_of("Bare")] == "is at its end of life: use another"
    assert "wanted here by 5 applications" in told["runtime-missing", runtime]
    assert newest(flatdex)["advice"] == done["advice"]
    again = flatdex.json("build")
    assert not again["changed"] and again["advice"] == done["advice"]
    shown = flatdex.run("build")
    assert shown.returncode == DONE
    assert f"note runtime-missing: {runtime}: no index offers it" in shown.stderr
    assert "note" not in flatdex.run("-q", "build").stderr
    fake.tags["platform"] = {"latest": fake.blobs.image(flatpak_labels(runtime))}
    assert "runtime-missing" not in [each["code"] for each in flatdex.json("build")["advice"]]

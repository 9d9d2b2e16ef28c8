"""Asking a few repositories: the others are as the last whole look saw them, and the site is that of a full build."""

from __future__ import annotations

import random
import re
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from builder.build import How
from builder.config import Config
from builder.errors import FlatdexError
from builder.oci import Descriptor
from builder.sources.cache import Cache
from builder.sources.reading import known_as
from builder.sources.registry import Registry
from tests.builder import test_reading
from tests.builder.helpers import Answer, Blobs, Json, flatpak_labels, loaded, ref_of
from tests.builder.test_build import files
from tests.builder.test_reading import Fake, config_of, failing, old_form, refs, run, site_of
from tests.real.registry import DockerRegistry

fake, at = test_reading.fake, test_reading.at


def only(*names: str) -> How:
    """Asks these repositories."""
    return How(allow_shrink=True, only=frozenset(names))


def asked(fake: Fake) -> set[str]:
    """The repositories that were asked since the last call, and `_catalog`."""
    return {re.sub(r"/(manifests|blobs|tags)/.*", "", path) for path, _, _ in fake.asked()}


@pytest.fixture
def config(tmp_path: Path, fake: Fake) -> Config:
    """A configuration whose registry was looked at."""
    config = config_of(tmp_path, fake)
    run(config)
    fake.asked()
    return config


# What is asked


def test_nobody_is_asked_but_those(config: Config, fake: Fake) -> None:
    fake.offer("apps/b", "Bnew")
    fake.offer("apps/c", "Cnew")
    done, _ = run(config, only("apps/b"))
    assert refs(done) == ["A", "Atest", "Bnew", "C", "D"] and done.whole
    log = fake.asked()
    assert [(path.partition("sha256")[0], status, conditional) for path, status, conditional in log] == [
        ("apps/b/blobs/", 200, False),
        ("apps/b/manifests/latest", 200, True),
        ("apps/b/manifests/testing", 404, False),
    ]
    assert refs(run(config)[0]) == ["A", "Atest", "Bnew", "Cnew", "D"]


def test_if_nothing_moved_there_it_is_the_same_snapshot(config: Config, fake: Fake) -> None:
    before = run(config)[1]
    fake.asked()
    assert run(config, only("apps/a"))[1].id == before.id
    assert fake.asked() == [("apps/a/manifests/latest", 304, True), ("apps/a/manifests/testing", 304, True)]


def test_without_any_nobody_is_asked(config: Config, fake: Fake) -> None:
    before = run(config)[1]
    fake.offer("apps/b", "Bnew")
    fake.asked()
    done, one = run(config, only())
    assert one.id == before.id and done.whole and fake.asked() == []
    (config.store / "cache" / "built.json").unlink()
    assert files(run(config, only())[1]) == files(before) and fake.asked() == []


@pytest.mark.parametrize("name", ["../apps/b", "apps//b", "apps/b?x=1", "Apps/B", "", "apps/b/", "apps/b\n", "é"])
def test_what_is_no_name_of_a_repository_is_not_asked(config: Config, fake: Fake, name: str) -> None:
    run(config, only(name))
    assert fake.asked() == []


def test_what_the_configuration_does_not_take_is_not_asked(tmp_path: Path, fake: Fake) -> None:
    config = config_of(tmp_path, fake, ', repositories: ["apps/*"], exclude: ["apps/d"]')
    run(config)
    fake.asked()
    run(config, only("apps/d", "other/x", "apps/a"))
    assert asked(fake) == {"apps/a"}


def test_a_new_repository_is_read_and_one_that_is_gone_goes(config: Config, fake: Fake) -> None:
    fake.offer("apps/new", "New")
    fake.offer("apps/other", "Other")
    del fake.tags["apps/d"], fake.tags["apps/c"]
    done, _ = run(config, only("apps/new", "apps/d"))
    assert refs(done) == ["A", "Atest", "B", "C", "New"] and done.whole
    assert asked(fake) == {"apps/new", "apps/d"}
    assert refs(run(config, only())[0]) == ["A", "Atest", "B", "C", "New"]
    assert refs(run(config)[0]) == ["A", "Atest", "B", "New", "Other"]


def test_what_is_not_there_leaves_nothing_behind(config: Config, fake: Fake) -> None:
    name = known_as(config.sources[0])  # type: ignore[arg-type]
    with Cache(config.store / "cache") as cache:
        before = cache.look(name)
    assert run(config, only(*(f"no/{number}" for number in range(50))))[0].whole
    with Cache(config.store / "cache") as cache:
        assert set(cache.look(name).tags) == set(before.tags)
    fake.asked()
    run(config, only())
    assert fake.asked() == []


@pytest.mark.parametrize("status", [401, 403])
def test_a_name_that_nobody_knows_and_nobody_may_read_is_no_failure(config: Config, fake: Fake, status: int) -> None:
    before = run(config)[1]
    failing(fake, "/v2/no/", Answer(b"{}", status))
    done, one = run(config, only("no/such"))
    assert done.whole and one.id == before.id
    failing(fake, "/v2/apps/b/", Answer(b"{}", status))
    assert [each.repository for each in run(config, only("apps/b"))[0].stale] == ["apps/b"]


def test_each_source_that_takes_it_asks_for_it(tmp_path: Path, fake: Fake) -> None:
    text = test_reading.CONFIG.format(url=fake.url, more="").replace(
        "indexes:", f'  other: {{registry: "{fake.url}", repositories: ["apps/b"]}}\nindexes:'
    )
    config = loaded(tmp_path, text)
    run(config)
    fake.asked()
    run(config, only("apps/b"))
    assert fake.asked() == [("apps/b/manifests/latest", 304, True)] * 2 + [("apps/b/manifests/testing", 404, False)] * 2


def test_full_asks_all_and_offline_asks_nobody(config: Config, fake: Fake) -> None:
    run(config, replace(only("apps/b"), full=True))
    assert asked(fake) == {"_catalog", "apps/a", "apps/b", "apps/c", "apps/d", "empty"}
    fake.offer("apps/b", "Bnew")
    assert refs(run(config, replace(only("apps/b"), offline=True))[0]) == ["A", "Atest", "B", "C", "D"]
    assert fake.asked() == []
    assert refs(run(config, only("apps/b"))[0]) == ["A", "Atest", "Bnew", "C", "D"]
    assert asked(fake) == {"apps/b"}


def test_a_moved_tag_costs_a_real_registry_a_handful_of_requests(tmp_path: Path) -> None:
    with DockerRegistry(tmp_path / "registry", access_log=True) as registry:
        blobs = Blobs()

        def push(name: str, subject: str) -> None:
            labels = [flatpak_labels(ref_of(name, arch), subject=subject) for arch in ("x86_64", "aarch64")]
            images = [blobs.image(labels[0]), blobs.image(labels[1], architecture="arm64")]
            platforms: list[Json] = [{"os": "linux", "architecture": each} for each in ("amd64", "arm64")]
            listed = [{**image, "platform": platform} for image, platform in zip(images, platforms, strict=True)]
            folder = blobs.layout(tmp_path / f"{name}-{subject}", blobs.index(*listed))
            for tag in ("latest", "testing"):
                registry.copy(folder, f"apps/{name.lower()}:{tag}", every_platform=True)

        for number in range(12):
            push(f"N{number}", "one")
        config = loaded(tmp_path, test_reading.CONFIG.format(url=registry.url, more=""))
        run(config)
        push("N3", "two")
        before = len(registry.log().splitlines())
        _, one = run(config, only("apps/n3"))
        lines = [
            re.sub(r'.*"([A-Z]+ \S+).*?" (\d+).*', r"\1 \2", line) for line in registry.log().splitlines()[before:]
        ]
        assert run(config)[1].id == one.id
    plain = sorted(re.sub("sha256:.*? ", "X ", line) for line in lines)
    assert plain == [
        *["GET /v2/apps/n3/blobs/X 200"] * 2,
        *["GET /v2/apps/n3/manifests/X 200"] * 2,
        "GET /v2/apps/n3/manifests/latest 200",
        "GET /v2/apps/n3/manifests/testing 200",
    ]


# When all are asked after all

EVERYBODY = {"_catalog", "apps/a", "apps/b", "apps/c", "apps/d", "empty"}


def tags_away(cache: Path) -> None:
    for file in (cache / "tags").iterdir():
        file.unlink()


def tags_damaged(cache: Path) -> None:
    (file,) = (cache / "tags").iterdir()
    file.write_bytes(file.read_bytes().replace(b"latest", b"newest"))


def tags_of_an_older_version(cache: Path) -> None:
    (file,) = (cache / "tags").iterdir()
    with Cache(cache) as kept:
        document = kept._document(file)
        kept._write(file, {key: document[key] for key in ("source", "repositories")})


@pytest.mark.parametrize("spoil", [shutil.rmtree, tags_away, tags_damaged, tags_of_an_older_version])
def test_without_a_sound_cache_all_are_asked(config: Config, fake: Fake, spoil: Callable[[Path], None]) -> None:
    spoil(config.store / "cache")
    fake.offer("apps/c", "Cnew")
    assert refs(run(config, only("apps/b"))[0]) == ["A", "Atest", "B", "Cnew", "D"]
    assert asked(fake) == EVERYBODY
    run(config, only("apps/b"))
    assert asked(fake) == {"apps/b"}


def test_without_any_look_before_all_are_asked(tmp_path: Path, fake: Fake) -> None:
    assert refs(run(config_of(tmp_path, fake), only())[0]) == ["A", "Atest", "B", "C", "D"]
    assert asked(fake) == EVERYBODY


@pytest.mark.parametrize(
    "more",
    [', repositories: ["apps/*"]', ', exclude: ["apps/a"]', ", auth_file: ./auth.json"],
)
def test_under_other_settings_all_are_asked(tmp_path: Path, config: Config, fake: Fake, more: str) -> None:
    (tmp_path / "auth.json").write_text("{}")
    (tmp_path / "auth.json").chmod(0o600)
    other = config_of(tmp_path, fake, more)
    run(other, only("apps/b"))
    assert {"_catalog", "apps/b", "apps/c", "apps/d"} <= asked(fake)
    run(other, only("apps/b"))
    assert asked(fake) == {"apps/b"}


def test_with_another_tag_all_are_asked(tmp_path: Path, config: Config, fake: Fake) -> None:
    fake.offer("apps/c", "Cbeta", "beta")
    text = test_reading.CONFIG.format(url=fake.url, more="").replace("tags: [latest]", "tags: [latest, beta]")
    assert refs(run(loaded(tmp_path, text), only("apps/b"))[0]) == ["A", "Atest", "B", "C", "Cbeta", "D"]
    assert asked(fake) == EVERYBODY


def test_settings_that_decide_nothing_ask_nobody(tmp_path: Path, config: Config, fake: Fake) -> None:
    done, _ = run(config_of(tmp_path, fake, ", connections: 3, max_stale: 5h, public: /, token: none"), only("apps/b"))
    assert done.changed and asked(fake) == {"apps/b"}


def test_missing_blobs_are_fetched(config: Config, fake: Fake) -> None:
    before = site_of(config)
    shutil.rmtree(config.store / "cache" / "blobs")
    (config.store / "cache" / "built.json").unlink()
    fake.asked()
    assert site_of(config, only("apps/b")) == before
    log = fake.asked()
    assert {path for path, _, _ in log if "sha256" not in path} == {
        f"apps/b/manifests/{t}" for t in ("latest", "testing")
    }
    assert len([path for path, _, _ in log if "/blobs/" in path]) == 5
    site_of(config, only("apps/b"))
    assert asked(fake) == {"apps/b"}


# What failed


def test_what_failed_is_asked_again_and_stays_stale_since_then(
    config: Config, fake: Fake, at: Callable[[float], None]
) -> None:
    failing(fake, "apps/b/", Answer(b"", 500))
    first = run(config)[0].stale[0].since
    for seconds, how in ((100, only("apps/c")), (200, only()), (9000, only("apps/b")), (9500, only("apps/c"))):
        fake.asked()
        at(seconds)
        done, _ = run(config, how)
        assert [(each.repository, each.since, each.kept) for each in done.stale] == [("apps/b", first, 1)]
        assert "apps/b" in asked(fake)
    fake.change = lambda path: None
    fake.offer("apps/b", "Bnew")
    done, _ = run(config, only("apps/c"))
    assert refs(done) == ["A", "Atest", "Bnew", "C", "D"] and done.stale == ()
    fake.asked()
    run(config, only("apps/c"))
    assert asked(fake) == {"apps/c"}


def test_what_fails_in_a_partial_look_is_asked_in_the_next_one(
    config: Config, fake: Fake, at: Callable[[float], None]
) -> None:
    fake.offer("apps/b", "Bnew")
    failing(fake, "apps/b/", Answer(b"", 500))
    done, _ = run(config, only("apps/b"))
    assert refs(done) == ["A", "Atest", "B", "C", "D"]
    at(5000)
    again, _ = run(config, only())
    assert [(each.repository, each.since) for each in again.stale] == [("apps/b", done.stale[0].since)]
    fake.change = lambda path: None
    assert refs(run(config, only())[0]) == ["A", "Atest", "Bnew", "C", "D"]


def test_max_stale_ends_it_in_partial_looks_too(tmp_path: Path, fake: Fake, at: Callable[[float], None]) -> None:
    config = config_of(tmp_path, fake, ", max_stale: 1h")
    run(config)
    failing(fake, "apps/b/", Answer(b"", 500))
    run(config)
    at(3500)
    assert run(config, only("apps/c"))[0].stale[0].kept == 1
    at(3700)
    assert refs(run(config, only("apps/c"))[0]) == ["A", "Atest", "C", "D"]


def test_a_config_that_could_not_be_fetched_is_asked_for_again(
    config: Config, fake: Fake, at: Callable[[float], None]
) -> None:
    fake.offer("apps/b", "Bnew")
    failing(fake, "/blobs/", Answer(b"", 500))
    first = run(config)[0].stale[0].since
    at(5000)
    done, _ = run(config, only("apps/c"))
    assert [(each.repository, each.since) for each in done.stale] == [("apps/b", first)]
    fake.change = lambda path: None
    assert refs(run(config, only("apps/c"))[0]) == ["A", "Atest", "Bnew", "C", "D"]


@pytest.mark.parametrize("part", ["_catalog", "/v2/"])
def test_after_a_source_failed_all_are_asked(
    config: Config, fake: Fake, part: str, at: Callable[[float], None]
) -> None:
    failing(fake, part, Answer(b"", 500))
    first = run(config, replace(only(), only=None))[0].stale[0].since
    at(5000)
    done, _ = run(config, only("apps/b"))
    assert [(each.repository, each.since) for each in done.stale] == [("", first)]
    fake.change = lambda path: None
    fake.offer("apps/c", "Cnew")
    fake.asked()
    assert refs(run(config, only("apps/b"))[0]) == ["A", "Atest", "B", "Cnew", "D"]
    assert asked(fake) == EVERYBODY


def test_after_a_full_build_failed_at_its_source_all_are_asked(config: Config, fake: Fake) -> None:
    failing(fake, "_catalog", Answer(b"", 500))
    run(config, How(full=True))
    fake.change = lambda path: None
    fake.asked()
    run(config, only("apps/b"))
    assert asked(fake) == EVERYBODY


def test_after_a_source_could_not_be_opened_all_are_asked(tmp_path: Path, config: Config, fake: Fake) -> None:
    assert run(config_of(tmp_path, fake, ", ca: ./missing.pem"), only("apps/b"))[0].stale[0].code == "bad-certificate"
    run(config_of(tmp_path, fake), only("apps/b"))
    assert asked(fake) == EVERYBODY


def test_what_a_look_left_out_is_left_out_again(tmp_path: Path, fake: Fake) -> None:
    config = config_of(tmp_path, fake, ', repositories: ["apps/*", "named/none"]')
    wrong = Answer(b"{}", 200, {"Docker-Content-Digest": "sha256:" + "0" * 64, "Content-Type": "text/x"})
    failing(fake, "apps/d/manifests/latest", wrong)
    first, _ = run(config)
    assert [skip.code for skip in first.skips] == ["digest-mismatch", "no-such-repository"]
    assert run(config, only("apps/a"))[0].skips == first.skips
    fake.change = lambda path: None
    fake.offer("named/none", "Now")
    assert refs(run(config, only())[0]) == ["A", "Atest", "B", "C", "D", "Now"]


# Interrupted


def interrupting(fake: Fake, monkeypatch: pytest.MonkeyPatch, part: str) -> None:
    """Lets Ctrl-C come while requests whose path has `part` are answered."""
    original = Registry.tagged

    def tagged(self: Registry, repository: str, tag: str, known: Descriptor | None) -> Descriptor:
        if part in repository:
            raise KeyboardInterrupt
        return original(self, repository, tag, known)

    monkeypatch.setattr(Registry, "tagged", tagged)


def test_after_an_interrupted_look_all_are_asked(config: Config, fake: Fake, monkeypatch: pytest.MonkeyPatch) -> None:
    fake.offer("apps/a", "Anew")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupting(fake, patch, "apps/c")
        run(config)
    fake.asked()
    assert refs(run(config, only("apps/b"))[0]) == ["Anew", "Atest", "B", "C", "D"]
    assert asked(fake) == EVERYBODY


def test_after_an_interrupted_partial_look_its_repositories_are_asked_again(
    config: Config, fake: Fake, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("a", "c", "d"):
        fake.offer(f"apps/{name}", f"{name.upper()}new")
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        interrupting(fake, patch, "apps/c")
        run(config, only("apps/a", "apps/c"))
    fake.asked()
    assert refs(run(config, only("apps/b"))[0]) == ["Anew", "Atest", "B", "Cnew", "D"]
    assert asked(fake) == {"apps/a", "apps/b", "apps/c"}
    run(config, only())
    assert asked(fake) == set()


# It is the site of a full build


@pytest.mark.parametrize("form", ["own", "regindexer's"])
@pytest.mark.parametrize("seed", range(4))
def test_any_row_of_builds_gives_the_sites_of_full_ones(tmp_path: Path, fake: Fake, seed: int, form: str) -> None:
    """What was asked is as it is, what was not is as it was seen last: a full build of both together agrees."""
    chance = random.Random(seed)

    def make(folder: Path) -> Config:  # pages tell of changes, and so of what was before
        text = test_reading.CONFIG.format(url=fake.url, more="") + "pages: false\n"
        return old_form(folder, fake) if form != "own" else loaded(folder, text)

    for folder in ("one", "other"):
        (tmp_path / folder).mkdir()
    config = make(tmp_path / "one")
    run(config)
    seen = {name: dict(tags) for name, tags in fake.tags.items()}
    failed: set[str] = set()
    for turn in range(14):
        for name in chance.sample("abcdefg", 3):
            repository = f"apps/{name}"
            if repository in fake.tags and chance.random() < 0.3:
                del fake.tags[repository]
            else:
                fake.offer(repository, f"{name.upper()}{turn}", chance.choice(["latest", "testing"]))
        broken = f"apps/{chance.choice('abcd')}" if chance.random() < 0.3 else ""
        fake.change = lambda path, part=f"/v2/{broken}/": Answer(b"", 500) if part in path else None  # type: ignore[misc]
        names = {f"apps/{name}" for name in chance.sample("abcdefg", chance.randrange(4))}
        how = only(*names) if chance.random() < 0.8 else How(allow_shrink=True)
        if chance.random() < 0.2:
            run(config, How(allow_shrink=True, offline=True))
        done, one = run(config, how)
        looked = names | failed if how.only is not None else {*fake.tags, *seen}
        failed = {each.repository for each in done.stale}
        assert failed <= {broken}
        for name in looked - failed:
            seen.pop(name, None)
            if name in fake.tags:
                seen[name] = dict(fake.tags[name])
        now, fake.tags, fake.change = fake.tags, seen, lambda path: None
        shutil.rmtree(tmp_path / "other")
        (tmp_path / "other").mkdir()
        assert files(one) == site_of(make(tmp_path / "other")), turn
        fake.tags = now


def test_the_guard_against_loss_holds(config: Config, fake: Fake) -> None:
    for name in "abcd":
        del fake.tags[f"apps/{name}"]
    with pytest.raises(FlatdexError, match="would lose"):
        run(config, How(only=frozenset({"apps/a", "apps/b", "apps/c"})))

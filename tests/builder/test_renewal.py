"""When what did not change is signed anew, and that nothing but its list changes then."""

from __future__ import annotations

import json
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from builder import renewal, snapshot
from builder.build import build
from builder.config import Config, Signing
from builder.description import Snapshot
from builder.errors import FlatdexError
from builder.signing import signers, unsealed
from builder.site import tree
from builder.site.tree import Site
from builder.snapshot import Written
from builder.store import Store
from tests.builder.helpers import hello_layout, loaded, problems
from tests.builder.test_build import report
from tests.builder.test_snapshot import NOW, site
from tests.real.keys import key, public
from tests.real.process import require

DAY = 86400
LIFE = 14 * DAY
LAYOUTS = """\
store: ./store
pages: false
remote: {name: example, url: "http://127.0.0.1:8080/"}
sources:
  local: {layouts: ["./images/*"]}
indexes:
  stable: {tags: [latest]}
"""


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the keys `one` and `two`."""
    require("ssh-keygen")
    folder = tmp_path_factory.mktemp("keys")
    for name in ("one", "two"):
        key(folder, name)
    return folder


@pytest.fixture
def plain(tmp_path: Path) -> Config:
    """A configuration that signs nothing."""
    return loaded(tmp_path, LAYOUTS)


@pytest.fixture
def config(plain: Config, keys: Path) -> Config:
    """One that signs with `one`."""
    return replace(plain, sign=Signing((keys / "one",), LIFE))


def write(config: Config, now: int, **files: str) -> tuple[Written, Snapshot]:
    """Writes a site, and gives what holds it then."""
    store = Store(config.store)
    done = snapshot.write(store, site(**(files or {"a": "one", "b__c": "two"})), config, now)
    return done, store.find(done.id)


def state(one: Snapshot) -> dict[str, tuple[int, int]]:
    """The inode and the mtime of each file of the site."""
    found = {entry.path: (one.folder / entry.path).stat() for entry in one.files}
    return {path: (each.st_ino, each.st_mtime_ns) for path, each in found.items()}


def test_what_is_signed_says_until_when_it_is_valid(config: Config, keys: Path) -> None:
    done, one = write(config, NOW)
    assert done == Written(one.id, changed=True, expires=NOW + LIFE)
    assert one.expires == one.created + LIFE
    assert one.document["expires"] == "2027-01-29T08:00:00Z"
    assert [each.text for each in signers(one.described)] == [public(keys / "one")]
    assert list(json.loads(one.described))[-1] == "signatures"


def test_but_for_that_a_signed_description_is_as_any(config: Config, plain: Config, tmp_path: Path) -> None:
    _, one = write(config, NOW)
    _, other = write(replace(plain, store=tmp_path / "other"), NOW)
    payload, signatures = unsealed(one.described)
    assert signatures
    assert other.expires is None
    assert b"signatures" not in other.described
    assert payload.replace(b'"expires": "2027-01-29T08:00:00Z",\n', b"") == other.described


def test_half_of_its_time_nothing_is_done(config: Config) -> None:
    _, one = write(config, NOW)
    for later in (1, LIFE // 2 - 1):
        assert write(config, NOW + later)[0] == Written(one.id, changed=False, expires=NOW + LIFE)
    assert renewal.at(one.expires, config.sign) == NOW + LIFE // 2


def test_then_it_is_signed_anew_and_nothing_else_changes(config: Config) -> None:
    _, one = write(config, NOW)
    done, two = write(config, NOW + LIFE // 2)
    assert done.changed
    assert "valid until 2027-01-29T08:00:00Z" in done.renewed
    assert (two.version, two.previous) == (one.version + 1, one.id)
    assert two.expires == done.expires == NOW + LIFE // 2 + LIFE
    assert two.files == one.files
    assert state(two) == state(one)
    same = one.document.keys() - {"id", "version", "created", "expires", "previous", "signatures"}
    assert {name: one.document[name] for name in same} == {name: two.document[name] for name in same}
    assert not write(config, NOW + LIFE // 2 + 10)[0].changed


def test_new_content_is_not_called_renewed(config: Config) -> None:
    write(config, NOW)
    done, _ = write(config, NOW + LIFE, a="two")
    assert done.changed
    assert not done.renewed


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ([], ["one"]),
        (["one"], []),
        (["one"], ["two"]),
        (["one"], ["one", "two"]),
        (["one", "two"], ["two"]),
    ],
)
def test_other_keys_sign_at_once(before: list[str], after: list[str], plain: Config, keys: Path) -> None:
    def signed_with(names: list[str]) -> Config:
        return replace(plain, sign=Signing(tuple(keys / name for name in names)) if names else None)

    _, one = write(signed_with(before), NOW)
    done, two = write(signed_with(after), NOW + 60)
    assert done.renewed
    assert two.version == 2
    assert state(two) == state(one)
    assert [each.text for each in signers(two.described)] == [public(keys / name) for name in after]
    assert (two.expires is None) == (not after)
    assert not write(signed_with(after), NOW + 120)[0].changed
    assert not write(signed_with(after[::-1]), NOW + 180)[0].changed


def test_a_key_that_was_replaced_in_place(config: Config, tmp_path: Path) -> None:
    own = key(tmp_path)
    changed = replace(config, sign=Signing((own,)))
    write(changed, NOW)
    for file in (own, tmp_path / "key.pub"):
        file.unlink()
    key(tmp_path)
    assert "other keys" in write(changed, NOW + 60)[0].renewed


@pytest.mark.parametrize(
    ("life", "renewed"), [(2 * LIFE - 200, False), (3 * LIFE, True), (LIFE // 2, True), (LIFE - 1, True)]
)
def test_another_time_of_validity(life: int, renewed: bool, config: Config) -> None:
    assert config.sign
    write(config, NOW)
    changed = replace(config, sign=replace(config.sign, valid_for=life))
    done, two = write(changed, NOW)
    assert bool(done.renewed) == renewed == (two.version == 2)
    assert not write(changed, NOW + 1)[0].changed


def test_a_clock_that_was_set_back_makes_no_snapshots(config: Config) -> None:
    write(config, NOW)
    for earlier in (1, DAY, LIFE, 10 * LIFE):
        assert not write(config, NOW - earlier)[0].changed


@pytest.mark.parametrize("change", [b"built by hand", b""])
def test_a_signature_that_does_not_hold_is_made_anew(change: bytes, config: Config) -> None:
    _, one = write(config, NOW)
    text = one.described.replace(b'"name": "example"', b'"name": "forged"')
    (one.folder / "snapshot.json").write_bytes(text if change else one.described.replace(b"SIGNATURE--", b"S--"))
    assert "other keys" in write(config, NOW + 60)[0].renewed


def test_without_its_key_nothing_is_written(config: Config, keys: Path, tmp_path: Path) -> None:
    _, one = write(config, NOW)
    lost = replace(config, sign=Signing((keys / "one", tmp_path / "lost")))
    before = sorted(Path(config.store).rglob("*"))
    for files in ({}, {"a": "new"}):
        with pytest.raises(FlatdexError, match="is not there"):
            write(lost, NOW + 60, **files)
    with pytest.raises(FlatdexError, match="is not there"):
        snapshot.republish(Store(config.store), one, NOW + 60, 0, lost.sign)
    assert sorted(Path(config.store).rglob("*")) == before


def test_what_goes_back_is_signed_now(config: Config, plain: Config, keys: Path) -> None:
    store = Store(config.store)
    _, one = write(plain, NOW)
    write(config, NOW + 60, a="two")
    again = store.find(snapshot.republish(store, one, NOW + 120, 0, config.sign).id)
    assert again.expires == NOW + 120 + LIFE
    assert [each.text for each in signers(again.described)] == [public(keys / "one")]
    # And what was signed goes back once more, signed by another key, or not at all.
    sign = Signing((keys / "two",), DAY)
    again = store.find(snapshot.republish(store, again, NOW + 180, 0, sign).id)
    assert again.expires == NOW + 180 + DAY
    assert [each.text for each in signers(again.described)] == [public(keys / "two")]
    again = store.find(snapshot.republish(store, again, NOW + 240, 0).id)
    assert again.expires is None
    assert b"signatures" not in again.described


def test_the_shortcut_of_an_unchanged_build_skips_no_renewal(
    config: Config, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    hello_layout(tmp_path / "images/hello")
    store = Store(config.store)
    full: list[str] = []

    def at(now: int, config: Config = config) -> tuple[bool, str]:
        """Builds then; whether it took the long way, and why the snapshot was renewed."""
        monkeypatch.setattr(time, "time", lambda: now)
        full.clear()
        with store.locked("build", create=True):
            done = build(config, report())
        return bool(full), done.renewed

    def long_way(*given: Any) -> Site:
        full.append("site")
        return tree.site(*given)

    monkeypatch.setattr("builder.build.site", long_way)
    assert at(NOW) == (True, "")
    assert at(NOW + 60) == (False, "")
    assert at(NOW + LIFE // 2 - 1) == (False, "")
    assert at(NOW + LIFE // 2)[0]
    assert len(list(store.complete())) == 2
    assert at(NOW + LIFE // 2 + 60) == (False, "")
    assert at(NOW + LIFE - 1) == (False, "")
    assert "valid until" in at(NOW + LIFE)[1]
    other = replace(config, sign=Signing((keys / "two",), LIFE))
    assert "other keys" in at(NOW + LIFE + 60, other)[1]
    assert at(NOW + LIFE + 120, other) == (False, "")
    own = replace(config, sign=Signing((key(tmp_path),), LIFE))
    assert at(NOW + LIFE + 180, own)[1]
    assert at(NOW + LIFE + 240, own) == (False, "")
    for name in ("key", "key.pub"):
        (tmp_path / name).unlink()
    key(tmp_path)
    assert "other keys" in at(NOW + LIFE + 300, own)[1]
    assert at(NOW + LIFE + 360, own) == (False, "")


def test_where_two_keys_are_named(tmp_path: Path) -> None:
    text = LAYOUTS + "sign: {key: [keys/old, /etc/flatdex/new.pub], valid_for: 2d}\n"
    assert loaded(tmp_path, text).sign == Signing((tmp_path / "keys/old", Path("/etc/flatdex/new.pub")), 2 * DAY)
    assert loaded(tmp_path, LAYOUTS + "sign: {key: key}\n").sign == Signing((tmp_path / "key",), LIFE)
    assert loaded(tmp_path, LAYOUTS).sign is None


@pytest.mark.parametrize(
    ("given", "place"),
    [
        *[("{}", "sign"), ("{key: []}", "sign.key"), ('{key: ""}', "sign.key"), ("{key: [a, a]}", "sign.key")],
        *[("{key: a, valid_for: 59m}", "sign.valid_for"), ("{key: a, valid_for: 0s}", "sign.valid_for")],
        *[("{key: a, valid_for: 11y}", "sign.valid_for"), ("{key: a, valid_for: 999999999y}", "sign.valid_for")],
        *[("{key: a, valid_for: 14}", "sign.valid_for"), ("{key: a, valid: 1d}", "sign.valid"), ("key", "sign")],
        *[("{key: [a, 1]}", "sign.key[1]"), ("{key: 1}", "sign.key"), ("[]", "sign")],
    ],
)
def test_what_is_wrong_in_the_configuration(given: str, place: str, tmp_path: Path) -> None:
    [found] = problems(tmp_path, LAYOUTS + f"sign: {given}\n")
    assert (found.key, found.line) == (place, LAYOUTS.count("\n") + 1)

"""A remote at a public host leads doctor to no private address: its operator's own network is none of its business."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from builder.doctor import look
from builder.sources import addresses, connection
from flatdex import main
from tests.builder.helpers import Answer, Scripted, scripted
from tests.doctor.site import Copy, Index, found, labels
from tests.real.apache import Apache

PUBLIC_ADDRESS = "127.0.0.2"


@pytest.fixture
def inside() -> Iterator[Scripted]:
    """A server at a private address, which should hear nothing."""
    with scripted(lambda path: Answer(b"secret")) as server:
        yield server


@pytest.fixture
def public(monkeypatch: pytest.MonkeyPatch) -> None:
    """One of this machine's addresses is taken for one of the internet's."""
    for module in (connection, look):
        monkeypatch.setattr(module, "is_public", lambda address: address == PUBLIC_ADDRESS)


def icon_of(url: str) -> Callable[[Index], None]:
    """Has the index name an icon."""

    def change(index: Index) -> None:
        for each in labels(index):
            each["org.freedesktop.appstream.icon-64"] = url

    return change


class Public(Apache):
    """Apache at two addresses, of which `url` names the public one."""

    def __init__(self, state: Path, copy: Copy, rules: str = "") -> None:
        super().__init__(state, copy.root)
        self.private, self.url = self.url, f"http://{PUBLIC_ADDRESS}:{self.port}/"
        self.extra = f"Listen {PUBLIC_ADDRESS}:{self.port}\n{rules}"


def told(url: str, code: str) -> str:
    """What is said of it, each time the same reason, however many are asked at once."""
    whats = [each.what for each in found(url) if each.code == code]
    assert whats and len({"a private address" in what for what in whats}) == 1, whats
    return whats[0]


def test_an_icon(real_tmp: Path, copy: Copy, inside: Scripted, public: None) -> None:
    copy.edit_indexes(icon_of(f"{inside.url}/icon.png"))
    with Public(real_tmp / "apache", copy) as apache:
        what = told(apache.url, "icon-unreachable")
        assert f"the public remote {PUBLIC_ADDRESS} leads to 127.0.0.1" in what and "a private address" in what
        assert not inside.asked
        assert "private" not in told(apache.private, "icon-broken") and inside.asked  # there all is as it was


def test_a_registry(real_tmp: Path, copy: Copy, inside: Scripted, public: None) -> None:
    copy.edit_indexes(lambda index: index.update(Registry=inside.url))
    with Public(real_tmp / "apache", copy) as apache:
        assert "a private address" in told(apache.url, "pull-failing") and not inside.asked
        found(apache.private)
    assert inside.asked


@pytest.mark.parametrize(("path", "code"), [("icons", "icon-unreachable"), ("v2", "pull-failing")])
def test_redirects(real_tmp: Path, copy: Copy, inside: Scripted, public: None, path: str, code: str) -> None:
    rules = f"RedirectMatch ^/{path}/ {inside.url}/secret"
    with Public(real_tmp / "apache", copy, rules) as apache:
        assert "a private address" in told(apache.url, code) and not inside.asked


def test_the_index_itself(real_tmp: Path, copy: Copy, inside: Scripted, public: None) -> None:
    rules = f"RedirectMatch ^/index/static {inside.url}/secret"
    with Public(real_tmp / "apache", copy, rules) as apache:
        assert "a private address" in told(apache.url, "unreachable") and not inside.asked


def test_a_file_that_names_a_private_remote(
    real_tmp: Path, copy: Copy, inside: Scripted, public: None, capsys: pytest.CaptureFixture[str]
) -> None:
    copy.edit("example.flatpakrepo", "https://flatpaks.example.org/", f"{inside.url}/")
    with Public(real_tmp / "apache", copy) as apache:
        assert main(["doctor", f"{apache.url}example.flatpakrepo"]) == 1
    assert "a private address" in capsys.readouterr().out and not inside.asked


def test_a_name_with_a_private_address(monkeypatch: pytest.MonkeyPatch, real_tmp: Path, copy: Copy) -> None:
    monkeypatch.setattr(look, "is_public", lambda address: address == PUBLIC_ADDRESS)
    monkeypatch.setattr(addresses, "of", lambda url: (PUBLIC_ADDRESS, "127.0.0.1"))
    with Public(real_tmp / "apache", copy) as apache:
        given = found(apache.url, each_address=True)
        log = apache.access_log()
    assert log and [(each.code, each.where) for each in given] == [("address-unreachable", "127.0.0.1")]
    assert "a private address" in given[0].what

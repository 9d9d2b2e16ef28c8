"""The announcement of a mirror: what it says, and that nothing in it breaks the file."""

from __future__ import annotations

import argparse
import dataclasses
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import FlatdexError, UsageError
from builder.site.rules import avahi, beside
from tests.builder.helpers import GOOD, loaded

NONE: dict[str, object] = dict.fromkeys(
    ("root", "prefix", "stick", "port", "pull_through", "cache", "size", "seed", "listen", "resolver", "authorities")
)


def announced(folder: Path, url: str, port: int | None = None, path: str = "") -> avahi.Announcement:
    """What is said of a remote with this URL of which nothing was promoted."""
    config = loaded(folder, GOOD.replace("http://127.0.0.1:8080/", url))
    return avahi.announcement(config, None, port, path)


@pytest.mark.parametrize(
    ("url", "port", "texts"),
    [
        ("http://mirror.lan/", 80, {"path": "/"}),
        ("http://mirror.lan", 80, {"path": "/"}),
        ("http://mirror.lan:8080/a/b", 8080, {"path": "/a/b/"}),
        ("http://[2001:db8::1]:8443/%61/", 8443, {"path": "/a/"}),
    ],
)
def test_where_a_site_is_comes_from_its_url(tmp_path: Path, url: str, port: int, texts: dict[str, str]) -> None:
    found = announced(tmp_path, url)
    assert found.port == port
    assert {key: value for key, value in found.texts.items() if key != "id"} == texts
    assert found.texts["id"]
    assert found.name == "Example"


def test_port_and_path_can_be_said(tmp_path: Path) -> None:
    found = announced(tmp_path, "http://mirror.lan/a/", 8888, "/other/")
    assert (found.port, found.texts["path"]) == (8888, "/other/")


def test_peers_come_without_tls(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at which port"):
        announced(tmp_path, "https://mirror.lan/a/")
    found = announced(tmp_path, "https://mirror.lan/a/", 8080)
    assert (found.port, found.texts["path"]) == (8080, "/a/")


def test_a_path_that_nobody_could_ask_for_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="misread the path '/a b/'"):
        announced(tmp_path, "http://mirror.lan/a%20b/")


def test_a_configuration_without_remote_needs_words(tmp_path: Path) -> None:
    config = dataclasses.replace(loaded(tmp_path, GOOD), remote=None)
    with pytest.raises(UsageError, match="at which port"):
        avahi.announcement(config, None)
    with pytest.raises(UsageError, match="nothing to announce"):
        avahi.announcement(config, None, 80)


@given(st.text(max_size=100), st.text(max_size=60), st.integers(1, 65535))
def test_any_text_makes_a_good_file(name: str, identity: str, port: int) -> None:
    text = avahi.service(avahi.Announcement(name, port, {"id": identity, "path": "/"}))
    root = ElementTree.fromstring(text)  # noqa: S314
    assert [child.tag for child in root] == ["name", "service"]
    assert [child.tag for child in root[1]] == ["type", "port", "txt-record", "txt-record"]
    assert root[1][1].text == str(port)
    assert root[1][2].text == "id=" + "".join(each for each in identity if each.isprintable())
    assert len((root[0].text or "").encode()) <= 63


@pytest.mark.parametrize(
    ("title", "identity", "name"),
    [
        ("Example", "example.org", "Example (example.org)"),
        ("example.org", "example.org", "example.org"),
        ("ä" * 40, "x", f"{'ä' * 29} (x)"),
        ("ä" * 40, "ö" * 40, f"{'ä' * 15} ({'ö' * 15})"),
        ("Example", "y" * 80, f"Example ({'y' * 31})"),
    ],
)
def test_a_name_tells_remotes_apart_and_is_cut_between_characters(title: str, identity: str, name: str) -> None:
    text = avahi.service(avahi.Announcement(title, 80, {"id": identity}))
    assert ElementTree.fromstring(text)[0].text == name  # noqa: S314
    assert len(name.encode()) <= 63


def test_markup_is_text() -> None:
    text = avahi.service(avahi.Announcement("<&>\"'</name>", 80, {"id": "]]></txt-record>%h"}))
    root = ElementTree.fromstring(text)  # noqa: S314
    assert root[0].text == "<&>\"'</name> (]]></txt-record>%h)"
    assert root[1][2].text == "id=]]></txt-record>%h"
    assert "replace-wildcards" not in text


def test_what_is_too_long_is_refused() -> None:
    assert "x" * 252 in avahi.service(avahi.Announcement("a", 80, {"id": "x" * 252}))
    with pytest.raises(FlatdexError, match="256 bytes of 255") as caught:
        avahi.service(avahi.Announcement("a", 80, {"id": "x" * 253}))
    assert "remote.id" in caught.value.fix


@pytest.mark.parametrize(
    ("server", "given_", "message"),
    [
        ("apache", {"port": 80}, "--port means nothing for the rules of a web server"),
        ("nginx", {"cache": "x"}, "--cache means nothing for the rules of a web server"),
        ("nginx", {"seed": "x"}, "--seed means nothing for the rules of a web server"),
        ("caddy", {"pull_through": "http://x/"}, "--pull-through is for nginx alone"),
        ("avahi", {"pull_through": "http://x/"}, "--pull-through is for nginx alone"),
        ("avahi", {"root": "x"}, "--root means nothing for avahi"),
        ("avahi", {"listen": ["80"]}, "--listen means nothing for avahi"),
        ("nginx", {"pull_through": "http://x/", "root": "x"}, "--root means nothing for --pull-through"),
        ("nginx", {"pull_through": "http://x/", "prefix": "x"}, "--prefix means nothing for --pull-through"),
        ("nginx", {"pull_through": "http://x/", "port": 1}, "--port means nothing for --pull-through"),
        ("nginx", {"authorities": "x"}, "--ca means nothing for the rules of a web server"),
    ],
)
def test_options_that_mean_nothing_are_refused(server: str, given_: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message) as caught:
        beside.check(argparse.Namespace(server=server, **NONE | given_))
    assert caught.value.fix


@pytest.mark.parametrize(
    ("server", "given_"),
    [
        ("apache", {"root": "x", "prefix": "y"}),
        ("avahi", {"port": 1, "prefix": "y"}),
        ("nginx", {"pull_through": "http://x/", "cache": "x", "seed": "y", "size": "1g", "listen": ["1"]}),
    ],
)
def test_options_that_belong_are_taken(server: str, given_: dict[str, object]) -> None:
    beside.check(argparse.Namespace(server=server, **NONE | given_))

"""The parts that need no server: URLs understood, lifetimes read, files and findings put into words."""

from __future__ import annotations

import errno
import gzip
import re
from pathlib import Path

import pytest
import urllib3

import builder.doctor
from builder.doctor import keyfiles
from builder.doctor.checks import CHECKS, findings
from builder.doctor.cli import summary, table
from builder.doctor.findings import CODES, Weight, finding
from builder.doctor.http_checks import lifetime
from builder.doctor.place import Place, is_loopback, named_by, query, understood
from builder.doctor.seen import LARGEST_INDEX, Address, Answer, Site, Visit, unpacked
from builder.errors import UsageError
from builder.sources import addresses
from tests.doctor.site import PUBLIC
from tests.sync.command import flatdex


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("https://x.example/", Place("https://x.example/")),
        ("https://x.example", Place("https://x.example")),
        ("oci+https://x.example/a/#testing", Place("https://x.example/a/", "testing")),
        (" http://127.0.0.1:8080/ ", Place("http://127.0.0.1:8080/")),
        ("https://x.example/a/index/static?tag=latest", Place("https://x.example/a/")),
        ("https://x.example/x.flatpakrepo", Place("https://x.example/x.flatpakrepo")),
    ],
)
def test_urls_are_understood(text: str, place: Place) -> None:
    assert understood(text) == place
    assert place.index == f"{place.url.rstrip('/')}/index/static"


@pytest.mark.parametrize(
    ("text", "word"),
    [
        ("x.example", "is not an http"),
        ("ftp://x.example/", "is not an http"),
        ("https://", "not the URL of any host"),
        ("https://x.example:port/", "is not a URL"),
        ("https://x.example:0/", "not the URL of any host"),
        ("https://me:secret@x.example/", "holds a login"),
        ("https://x.example/#a b", "not a tag"),
        ("https://x.exa mple/", "not the URL of any host"),
    ],
)
def test_what_is_no_remote_is_said(text: str, word: str) -> None:
    with pytest.raises(UsageError, match=word):
        understood(text)


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["x.example"],
        ["http://127.0.0.1/", "--tag", "a b"],
        ["http://127.0.0.1/", "--arch", "AMD 64"],
        ["http://127.0.0.1/", "--sample", "-1"],
        ["http://127.0.0.1/", "--timeout", "0"],
        ["http://127.0.0.1/", "--public", "nowhere"],
        ["http://127.0.0.1/", "--address", "foo"],
        ["http://127.0.0.1/", "--address", ""],
        ["http://127.0.0.1/", "--ca", "/nope"],
        ["http://127.0.0.1/", "--ca", "."],
        ["http://127.0.0.1/x.flatpakrepo", "--ca", "/nope"],
    ],
)
def test_wrong_usage_is_exit_code_2(tmp_path: Path, args: list[str]) -> None:
    ended = flatdex("doctor", *args, cwd=tmp_path)
    assert ended.returncode == 2 and "Traceback" not in ended.stderr


def test_an_authority_that_is_none_is_said(tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text("nothing")
    ended = flatdex("doctor", "http://127.0.0.1:1/", "--ca", "ca.pem", cwd=tmp_path)
    assert ended.returncode == 2 and "--ca" in ended.stderr and "ca.pem holds no certificate" in ended.stderr


def test_queries_in_both_orders() -> None:
    assert query("latest", "amd64") == "label%3Aorg.flatpak.ref%3Aexists=1&architecture=amd64&os=linux&tag=latest"
    assert query("a&b", "amd64", "annotation", turned=True).startswith("tag=a%26b&os=linux&architecture=amd64&annot")


DATE = "Sun, 06 Nov 1994 08:49:37 GMT"
LATER = "Sun, 06 Nov 1994 08:50:37 GMT"


@pytest.mark.parametrize(
    ("headers", "seconds"),
    [
        ({}, None),
        ({"cache-control": "no-store"}, None),
        ({"cache-control": "public"}, None),
        ({"cache-control": "no-cache"}, 0),
        ({"cache-control": "private, MAX-AGE=60"}, 60),
        ({"cache-control": "max-age=x"}, None),
        ({"cache-control": "max-age=60, no-cache"}, 0),
        ({"expires": LATER, "date": DATE}, 60),
        ({"expires": "0", "date": DATE}, None),
        ({"expires": LATER}, None),
        ({"expires": DATE, "date": LATER}, 0),
        ({"cache-control": "no-store", "expires": LATER, "date": DATE}, 60),
    ],
)
def test_lifetimes_are_read_as_clients_do(headers: dict[str, str], seconds: int | None) -> None:
    assert lifetime(headers) == seconds


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("[Flatpak Repo]\nUrl=oci+https://x/\n", {"Url": "oci+https://x/"}),
        ("# comment\n\n[Other]\nUrl=no\n[Flatpak Repo]\nUrl = yes \nTitle=a\\sb\\\\n=c\n[More]\nUrl=no\n", None),
        ("[Flatpak]\nUrl=x\n", None),
        ("[Flatpak Repo]\nnothing\n", None),
        ("<html>", None),
    ],
)
def test_key_files(text: str, expected: dict[str, str] | None) -> None:
    found = keyfiles.values(text.encode(), keyfiles.REPO_GROUP)
    assert found == ({"Url": "yes", "Title": "a b\\n=c"} if "More" in text else expected)
    assert keyfiles.values(b"\xff", keyfiles.REPO_GROUP) is None


def test_links_to_files() -> None:
    page = (
        b'<a href="/x.flatpakrepo">x</a> <A HREF=y.flatpakrepo> <a href="ftp://x/z.flatpakrepo"> href="x.flatpakrefs"'
    )
    assert list(keyfiles.links(page, "https://h/a/")) == ["https://h/x.flatpakrepo", "https://h/a/y.flatpakrepo"]


def test_urls_in_files_need_the_prefix() -> None:
    assert named_by(f"oci+{PUBLIC}#testing") == PUBLIC and named_by(PUBLIC) is None


@pytest.mark.parametrize(
    ("days", "code"), [(1, "tls-expiring"), (6.9, "tls-expiring"), (8, "tls-ageing"), (20, "tls-ageing"), (22, None)]
)
def test_certificates_of_all_ages(days: float, code: str | None) -> None:
    now = 784111777.0  # of which the date above is
    certificate = {"notAfter": "Nov  6 08:49:37 1994 GMT"}
    site = Site("https://h/", "https://h/", certificate=certificate, now=now - days * 86400)
    assert [each.code for each in findings(site)] == ([code] if code else [])


def test_addresses_that_this_machine_has_no_way_to() -> None:
    error = urllib3.exceptions.HTTPError("no connection")
    for number, address, no_way in (
        (errno.ENETUNREACH, "192.0.2.1", True),
        (errno.EHOSTUNREACH, "2001:db8::1", True),
        (errno.EHOSTUNREACH, "192.0.2.1", False),
        (errno.ECONNREFUSED, "2001:db8::1", False),
    ):
        error.__cause__ = OSError(number, "why")
        assert addresses._has_no_way(address, error) == no_way
    unasked = Address("2001:db8::1", "index", why="no answer", no_way=True)
    site = Site("https://h/", "https://h/", addresses=(unasked,))
    assert [each.code for each in findings(site)] == ["address-unasked"]


def test_gzip_is_unpacked_within_bounds() -> None:
    packed = gzip.compress(b"one")
    assert unpacked(packed) == (b"one", "") and unpacked(packed + gzip.compress(b"two")) == (b"onetwo", "")
    for broken, why in (
        (b"", "nothing"),
        (b"no", "broken"),
        (packed[:-1], "cut"),
        (packed + b"more", "broken"),
        (gzip.compress(bytes(LARGEST_INDEX + 1), 1), "more than"),
    ):
        plain, told = unpacked(broken)
        assert plain is None and why in told


def test_alike_findings_are_one_and_the_heaviest_is_first() -> None:
    visit = Visit("latest", "amd64", Answer("http://h/", 404), Answer("http://h/"))
    site = Site("http://h/", "http://h/", ("latest",), (visit,))
    told = findings(site, (lambda each: [finding("plain-http", "a", "x"), finding("ref-twice", "b", "y")] * 2,))
    assert [each.weight for each in told] == [Weight.ERROR, Weight.NOTE]
    assert summary(told) == "1 error, 1 note" and summary(told[1:]) == "1 note: nothing of weight"
    assert table([*told, finding("plain-http", "b", "x")])[3] == "note    plain-http: a: x (and 1 more)"


def test_each_code_is_told_by_some_check_and_by_the_tests() -> None:
    folder = Path(builder.doctor.__file__).parent
    code = "".join(file.read_text() for file in folder.glob("*.py") if file.name != "findings.py")
    assert not [name for name in CODES if f'"{name}"' not in code]
    tests = "".join(file.read_text() for file in Path(__file__).parent.glob("*.py"))
    assert not [name for name in CODES if f'"{name}"' not in tests]
    assert len(CHECKS) == len(set(CHECKS))
    for name, kind in CODES.items():
        assert re.fullmatch(r"[a-z]+(-[a-z]+)*", name) and kind.means.endswith((".", "?")) and kind.mend


@pytest.mark.parametrize(
    ("url", "loopback"),
    [
        ("http://localhost:80/", True),
        ("http://127.9.9.9/", True),
        ("http://[::1]/", True),
        ("http://127.evil.example/", False),
        ("http://127.0.0.1.example/", False),
        ("http://10.0.0.1/", False),
    ],
)
def test_only_this_machine_is_this_machine(url: str, loopback: bool) -> None:
    assert is_loopback(url) is loopback

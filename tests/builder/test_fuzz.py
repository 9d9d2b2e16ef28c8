"""Parsers of what nobody vouches for, fed with anything: each gives a value or its own error, never another one."""

from __future__ import annotations

import base64
import contextlib
import json
import math
import re
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

from hypothesis import example, given, settings
from hypothesis import strategies as st

from builder import catalog, configfile, flatpak, oci, report
from builder.appdata import reading
from builder.errors import ConfigError
from builder.oci import Malformed
from builder.site import icons
from builder.sources import answers, auth, credentials, registry, transport
from builder.sources.cache import Cache, Look
from builder.sources.credentials import BadAuthFileError
from builder.sources.packs import Packs
from tests.builder.helpers import GOOD, digest, icon_uri

FEW = settings(max_examples=60)

texts = st.text(max_size=30)
words = st.sampled_from(
    ["", "x", "\0", "\ud800", "../x", "latest", digest("x"), oci.MANIFEST, oci.IMAGE_INDEX, "\u202e"]
)
numbers = st.integers() | st.floats() | st.sampled_from([10**400, -1, 0, 2**63, 2**64])
scalars = st.none() | st.booleans() | numbers | texts | words
anything = st.recursive(scalars, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4))


def mapping(**values: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    """A mapping with these keys, each of which may be missing, or hold anything."""
    return st.fixed_dictionaries({}, optional={key: value | anything for key, value in values.items()})


descriptors = mapping(
    mediaType=words, digest=words, size=numbers, annotations=anything, platform=mapping(os=words, architecture=words)
)
manifests = mapping(
    schemaVersion=st.just(2),
    mediaType=words,
    config=descriptors,
    layers=st.lists(descriptors, max_size=3),
    manifests=st.lists(descriptors, max_size=3),
    annotations=st.dictionaries(texts, texts, max_size=3),
)
configs = mapping(
    os=words, architecture=words, created=words, config=mapping(Labels=st.dictionaries(texts, texts, max_size=3))
)
encoded: st.SearchStrategy[bytes] = (manifests | configs | anything).map(lambda value: json.dumps(value).encode())


# OCI


@given(st.binary() | encoded, words)
@example(b"", "")
@example(b"[" * 100_000, "")
@example(b'{"manifests":' * 2000, "")
@example(b'{"schemaVersion":2,"config":{"digest":"\\ud800"}}', oci.MANIFEST)
@example(b'{"manifests":[{"size":' + b"9" * 5000 + b"}]}", oci.IMAGE_INDEX)
@example(b'{"annotations":{"\\ud800":5},"schemaVersion":2,"config":{}}', "")
def test_a_manifest_is_one_or_malformed(data: bytes, content_type: str) -> None:
    try:
        found = oci.parse_manifest(data, content_type)
    except Malformed as error:
        assert len(report.printable(str(error))) < 1000
        return
    listed = (found.config, *found.layers) if isinstance(found, oci.Manifest) else found.manifests
    for each in listed:
        assert oci.is_digest(each.digest) and type(each.size) is int and each.size >= 0
        assert_text(each.media_type, each.platform.os, *(each.annotations or {}).values())


@given(st.binary() | encoded)
@example(b"\xef\xbb\xbf{}")
@example(b'{"config":{"Labels":{"a":"\\u0000"}}}')
@example(b'{"os":1e400}')
def test_a_config_is_one_or_malformed(data: bytes) -> None:
    try:
        found = oci.parse_config(data)
    except Malformed:
        return
    assert_text(found.os, found.architecture, found.created, *found.labels, *found.labels.values())


def assert_text(*found: str) -> None:
    """What can be written into a file, and read by C."""
    for text in found:
        assert "\0" not in text
        text.encode("utf-8")


@given(descriptors | anything)
@example({"digest": digest("x"), "size": True})
@example({"digest": digest("x"), "size": -0.0})
@example({"digest": digest("x"), "size": math.inf})
def test_a_descriptor_is_one_or_malformed(value: Any) -> None:
    try:
        found = oci.parse_descriptor(value)
    except Malformed:
        return
    assert oci.is_digest(found.digest) and type(found.size) is int and found.size >= 0


@given(texts | st.lists(texts | st.sampled_from(["app", "runtime", "org.x.Y", "x86_64", "stable"])).map("/".join))
@example("app/org.x.Y/x86_64/stable\n")
@example("app/org.x.\u0661/x86_64/stable")
def test_a_ref_is_one_or_malformed(text: str) -> None:
    try:
        found = flatpak.parse_ref(text)
    except Malformed:
        return
    assert str(found) == text
    assert re.fullmatch(r"[A-Za-z0-9._/-]+", text)
    assert not {"", ".", ".."} & set(text.split("/"))


@given(texts | st.binary().map(lambda data: data.decode("latin-1")))
@example("AAAz")
@example("\u00e9")
def test_a_label_of_a_variant_is_text_or_nothing(label: str) -> None:
    found = flatpak.commit_metadata_text(label)
    assert found is None or isinstance(found, str)


@given(texts | st.datetimes(timezones=st.timezones() | st.none()).map(lambda moment: moment.isoformat()))
@example("0001-01-01T00:00:00+23:59")
@example("9999-12-31T23:59:59-23:59")
def test_any_time_can_be_compared(created: str) -> None:
    moment = catalog._moment(created)
    assert (moment < catalog._OLDEST) in (True, False)
    assert sorted([moment, catalog._OLDEST, catalog._moment("2026-01-01")])


# HTTP

urls = st.text("htps:/[]@\\?#%.0159ab\u2100\t\n", max_size=25)


@given(
    texts
    | st.lists(
        st.sampled_from(
            ["Bearer", "Basic", " ", ",", "=", '"', "\\", "realm=", 'realm="https://x/"', "service=", "scope", "a"]
        )
    ).map("".join)
)
@example('Bearer realm="')
@example("Bearer realm==,=")
@example('Bearer realm="https://x/\\"')
@example("Bearer realm,Basic realm")
def test_challenges_are_some_or_none(header: str) -> None:
    for each in auth.challenges(header):
        assert each.scheme in ("basic", "bearer")
        assert each.scheme == "basic" or each.realm.startswith(("http://", "https://"))


@given(
    texts | st.builds(str.__add__, st.sampled_from(["http://", "https://", "https://auth.x", "https://auth.x/a"]), urls)
)
@example("http://[")
@example("http://a:b/")
@example("http://a\\@b/")
@example("https://auth.x/a/%2e%2e/b")
def test_an_origin_is_one_or_none(url: str) -> None:
    origin = auth.origin_of(url)
    assert origin == "" or re.match(r"https?://[^/@\\]+$", origin)
    trusted = auth.Authorizer("https://x", lambda scope: None, ("https://auth.x/a",)).trusts(url)
    assert not trusted or origin in ("https://x", "https://auth.x")


@given(texts | st.lists(st.sampled_from(["<", ">", ";", "rel", "=", '"', "'", "next", ",", " ", "/v2"])).map("".join))
@example('<>;rel="next"')
@example("<x>;rel=next;rel=prev")
def test_a_link_is_one_or_none(link: str) -> None:
    assert isinstance(registry._following(link), str)


@given(texts, texts)
@example("https://a/", "//[")
@example("https://a/", "http://\u2100/")
def test_a_redirect_leads_to_http_or_nowhere(place: str, location: str) -> None:
    request = answers.Request("GET", "https://a/", {}, 0, "")
    try:
        found = transport.next_place(request, f"https://a/{place}", location)
    except answers.FetchError:
        return
    assert found.lower().startswith("https:")


@given(texts | st.text("0123456789 ,:+-GMTJanFri", max_size=40))
@example("9" * 5000)
@example("0\x1f")
@example("\u0661")
@example("Fri, 31 Dec 9999 23:59:59 -9999")
@example("1 Jan 1 0:0:0 -0000")
def test_a_retry_is_so_many_seconds_or_none(text: str) -> None:
    found = answers.retry_after(text)
    assert found is None or found >= 0


# Files


def in_folder(work: Callable[[Path], None]) -> None:
    """For a function of hypothesis: each example has a folder of its own."""
    with tempfile.TemporaryDirectory(prefix="flatdex-test-") as folder:
        work(Path(folder))


logins = mapping(auth=words | st.just("YTpi"), identitytoken=words)
auth_files = mapping(
    auths=st.dictionaries(st.sampled_from(["x.example", "https://x.example/v2/", "x.example/a"]), logins | anything),
    credHelpers=st.dictionaries(st.sampled_from(["x.example", "y"]), words),
    credsStore=words,
)


@FEW
@given(st.binary() | (auth_files | anything).map(lambda value: json.dumps(value).encode()))
@example(b'{"auths":{"x.example":{"identitytoken":"\\ud800"}}}')
@example(b'{"auths":{"x.example":{"auth":"\\ud800"}}}')
@example(b'{"auths":' * 50_000)
@example(b'{"credHelpers":{"x.example":"../../bin/sh"}}')
def test_an_auth_file_has_a_login_or_is_bad(data: bytes) -> None:
    def work(folder: Path) -> None:
        file = folder / "auth.json"
        file.write_bytes(data)
        environment = {"HOME": str(folder), "PATH": str(folder)}
        try:
            found = credentials.find("https://x.example", "a/b", file, environment)
        except BadAuthFileError as error:
            assert str(folder) in str(error)
            return
        if found:
            found.basic.encode("ascii")
            challenge = auth.Challenge("bearer", "https://x.example/token", "s", "c")
            auth._question(challenge, "s", found)
            assert repr(found) == f"Credentials(place={found.place!r})"

    in_folder(work)


record = st.builds(
    lambda key, used, data: key + used.to_bytes(8) + len(data).to_bytes(8) + data,
    st.binary(min_size=32, max_size=32),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=50),
)


@FEW
@given(st.lists(st.binary(max_size=300) | st.lists(record).map(b"".join), max_size=4))
@example([b"\xff" * 48])
@example([b"\0" * 4800])
@example([b"\0" * 32 + b"\xff" * 16 + b"x"])
def test_packs_of_any_bytes_give_what_has_its_digest(packs: list[bytes]) -> None:
    def work(folder: Path) -> None:
        for number, data in enumerate(packs * 9):
            (folder / f"{number}.pack").write_bytes(data)
        found = Packs(folder)
        try:
            for text in ("", "x"):
                assert found.get(oci.digest_of(text.encode())) in (None, text.encode())
            assert found.get(found.keep(b"hello")) == b"hello"
            found.tidy()
            assert found.get(oci.digest_of(b"hello")) == b"hello"
        finally:
            found.close()

    in_folder(work)


tag_files = mapping(
    repositories=st.dictionaries(
        st.sampled_from(["a", "a/b", "../x", "A"]),
        mapping(
            asked=numbers,
            tags=st.dictionaries(words, st.lists(words | numbers, max_size=6) | st.tuples(words, words, numbers)),
        ),
    )
)


@FEW
@given(st.binary() | (tag_files | anything).map(lambda value: json.dumps(value).encode()))
@example(b'{"repositories":{"a":{"asked":1e400,"tags":{}}}}')
@example(b'{"repositories":{"a":{"asked":NaN,"tags":{}}}}')
@example(json.dumps({"repositories": {"a": {"asked": 1, "tags": {"x": ["\ud800", digest("x"), 1]}}}}).encode())
@example(json.dumps({"repositories": {"a": {"asked": 1, "tags": {"\ud800": ["x", digest("x"), 1]}}}}).encode())
@example(json.dumps({"repositories": {"a": {"asked": 1, "tags": {"x": ["x", digest("x"), 1, 2]}}}}).encode())
@example(b"[" * 100_000)
def test_tags_of_a_cache_are_sound_or_none(data: bytes) -> None:
    """And what was taken from it can be written again."""

    def work(folder: Path) -> None:
        with Cache(folder) as cache:
            file = cache._tags_file("https://x.example")
            file.parent.mkdir(parents=True)
            file.write_bytes(data)
            found = cache.look("https://x.example").tags
            for name, tags in found.items():
                assert oci.is_repository(name)
                assert type(tags.asked) is int
                for each in tags.pointers.values():
                    assert oci.is_digest(each.digest) and type(each.size) is int
                    assert_text(each.media_type)
            cache.keep_look("https://x.example", Look(found))
            note = cache.note("x")
            assert isinstance(note, dict)

    in_folder(work)


yaml_words = st.sampled_from(
    [
        "store", "sources", "indexes", "remote", "targets", ":", ": ", "- ", "\n", "\n  ", "\n    ", "[", "]", "{", "}",
        ",", "&a ", "*a", "<<: ", "!!binary ", "!!python/object:os.system ", "!!timestamp ", "!!set ", "!!int ", "? ",
        "|", ">", "'", '"', "#", "%", "@", "`", "---", "...", "2001-99-99", "1:60:99", "1e999", "0o8", "0x", ".nan",
        "~", "${X}", "${", "$$", "\t", "\ufeff", "\u2028", "x", "latest", "yes", "=", "!", "\x85",
    ]
)  # fmt: skip


def line_of_good(number: int, replacement: str) -> str:
    """A good configuration with one line, or a part of it, replaced."""
    lines = GOOD.splitlines()
    lines[number % len(lines)] = replacement
    return "\n".join(lines)


@FEW
@given(
    st.binary().map(lambda data: data.decode("latin-1"))
    | st.lists(yaml_words, max_size=25).map("".join)
    | st.builds(line_of_good, st.integers(0, 20), st.lists(yaml_words, max_size=12).map("".join))
    | anything.map(lambda value: json.dumps(value, ensure_ascii=True))
)
@example("a: " * 1000)
@example("[" * 50_000)
@example("{a: " * 5_000)
@example("- " * 5_000)
@example("store: " + "9" * 5_000)
@example("store: 2001-99-99")
@example("store: !!binary x")
@example("store: !!int x")
@example("? [a]\n: b")
@example("a: &a [*a]")
@example("a: &a {b: 1}\nc: {<<: [*a, x]}")
@example("\n".join(["a0: &a0 [x,x,x,x]"] + [f"a{n}: &a{n} [*a{n - 1},*a{n - 1},*a{n - 1}]" for n in range(1, 6)]))
@example("%YAML 9.9\n---\na: b")
@example('store: "\\ud800"')
@example("store: .inf\nsources: {}\nindexes: {}\nremote: {}")
def test_a_configuration_is_one_or_wrong(text: str) -> None:
    def work(folder: Path) -> None:
        file = folder / "flatdex.yaml"
        file.write_bytes(text.encode("utf-8", "surrogatepass"))
        try:
            configfile.load(file, {"X": "y"})
        except ConfigError as error:
            assert error.problems
            assert all(problem.line >= 1 for problem in error.problems)

    in_folder(work)


# Icons, appdata, and what is said


@given(texts | st.binary(max_size=200).map(lambda data: "data:image/png;base64," + data.hex()) | st.binary(max_size=80))
@example("data:image/png;base64,\u00e9")
@example(icon_uri()[:-8])
@example(icon_uri().replace("A", "B"))
def test_an_icon_is_one_or_rejected(value: Any) -> None:
    uri = value if isinstance(value, str) else "data:image/png;base64," + base64.b64encode(value).decode()
    try:
        assert icons.decoded(uri).startswith(b"\x89PNG")
    except icons.Rejected as error:
        assert len(str(error)) < 500


@given(st.integers(0, 500), st.integers(0, 255))
def test_an_icon_with_a_wrong_byte_is_one_or_rejected(place: int, byte: int) -> None:
    data = bytearray(base64.b64decode(icon_uri().partition(",")[2]))
    data[place % len(data)] = byte
    with contextlib.suppress(icons.Rejected):
        assert icons.decoded("data:image/png;base64," + base64.b64encode(bytes(data)).decode()) == data


xml_words = st.sampled_from(
    [
        "<components>", "</components>", "<a ", "<a>", "</a>", "/>", "<!--", "-->", "<![CDATA[", "]]>", "<?x ", "?>",
        "&amp;", "&x;", "&#0;", "&#xD800;", "&#x110000;", "<!DOCTYPE x [", "]>", "<!ENTITY x 'y'>", "x='y'",
        "xmlns='x'",        "xmlns:a='", "a:b", "'", '"', "\x01", "\ufffe", "\ud800", "x", " ",
        "<?xml version='1.0' encoding='utf-16'?>", "<?xml version='1.0' encoding='x'?>", "<?xml version='2'?>",
    ]
)  # fmt: skip


@given(texts | st.lists(xml_words, max_size=20).map("".join))
@example("\ud800")
@example("<components>\0</components>")
@example("<?xml version='1.0' encoding='unicode_escape'?><components/>")
@example("<components>" * 100_000)
@example("<!DOCTYPE x [<!ENTITY a 'x'>]><components>&a;</components>")
def test_appdata_is_fine_or_has_a_fault(text: str) -> None:
    found = reading.fault(text)
    assert isinstance(found, str)
    assert len(found) < 500


@given(texts | st.text(st.characters(categories=["Cc", "Cf", "Cs", "Zl", "Zp", "Co", "Cn"]), max_size=30))
@example("\x1b[31m\x9b\u202e\ud800\U000e0041\r\n\t")
def test_what_is_printable_does_nothing_to_a_terminal(text: str) -> None:
    shown = report.printable(text)
    assert all(character.isprintable() or character in "\n\t" for character in shown)
    shown.encode("utf-8")
    assert report.printable(shown) == shown

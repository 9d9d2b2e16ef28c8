"""The generated rules, read as Apache reads them, answer every query as the dispatch does; so do the others."""

from __future__ import annotations

import re
import shlex
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder import oci
from builder.config import Cache
from builder.dispatch import Dispatch, Route, first, wants_annotations
from builder.site.rules import SERVERS, apache, caddy, common, nginx, table
from tests.builder.helpers import GOOD, loaded
from tests.builder.test_dispatch import ASKED_BEFORE, INDEXES, QUERIES, WITH_LATEST, WITHOUT_LATEST
from tests.builder.test_regindexer import OLD

TARGETS = common.plain_targets(route.file for dispatch in (WITH_LATEST, WITHOUT_LATEST) for route in dispatch.routes)


@dataclass(frozen=True)
class Rewrite:
    """A RewriteRule with the RewriteConds before it."""

    conditions: tuple[tuple[str, str], ...]
    pattern: str
    target: str
    flags: str


def rewrites(text: str) -> list[Rewrite]:
    """The rewriting of a text of rules, in its order."""
    found: list[Rewrite] = []
    conditions: list[tuple[str, str]] = []
    for line in text.replace("\\\n", "").splitlines():
        words = [word.strip('"') for word in re.findall(r'"[^"]*"|\S+', line)]
        if words[:1] == ["RewriteCond"]:
            assert len(words) == 3, f"Apache would take a blank for the end of the pattern: {line}"
            conditions.append((words[1], words[2]))
        elif words[:1] == ["RewriteRule"]:
            found.append(Rewrite(tuple(conditions), words[1], words[2], "".join(words[3:])))
            conditions.clear()
    return found


def served(text: str, query: str, encoding: str = "", asked: str = "static") -> str | None:
    """The file that a request for `static` gets; None is a 404, and so is a file of no name."""
    for each in rewrites(text):
        captured: list[str] | None = [""] * 10 if re.search(each.pattern, asked) else None
        for text_, pattern in each.conditions:
            captured = _condition(text_, pattern, query, encoding, captured)
        if captured is None:
            continue
        if "R=404" in each.flags:
            return None
        return asked if each.target == "-" else _given(_filled(each.target, captured).rpartition("/index/")[2])
    return asked


def _condition(text: str, pattern: str, query: str, encoding: str, captured: list[str] | None) -> list[str] | None:
    if captured is None:
        return None
    text = text.replace("%{QUERY_STRING}", "\0").replace("%{HTTP:Accept-Encoding}", "\1")
    pattern = pattern.removeprefix(table.COMPILED_OFTEN)
    found = re.search(pattern, _filled(text, captured).replace("\0", query).replace("\1", encoding))
    return [found[0], *(group or "" for group in found.groups()), *[""] * 9] if found else None


def _filled(text: str, captured: list[str]) -> str:
    return re.sub("%([0-9])", lambda found: captured[int(found[1])], text)


def _given(file: str) -> str | None:
    return None if file == "404" else file


TEXTS = {id(each): apache.index_folder(each, TARGETS) for each in (WITH_LATEST, WITHOUT_LATEST)}
ODD = st.text(alphabet="latesamd64*,;=|!.-_%&:<>()?", max_size=12)
"""Values full of what the table of a dispatch is made of."""
ODD_QUERIES = st.lists(st.one_of(QUERIES, st.builds("tag={}".format, ODD), st.builds("architecture={}".format, ODD)))


@settings(max_examples=200, deadline=None)
@given(st.one_of(QUERIES, ODD_QUERIES.map("&".join)))
def test_rules_answer_any_query_as_the_dispatch_does(query: str) -> None:
    for dispatch in (WITH_LATEST, WITHOUT_LATEST):
        file = dispatch.answer(query)
        assert served(TEXTS[id(dispatch)], query) == (f"{file}.json" if file else None)
        assert served(TEXTS[id(dispatch)], query, "gzip") == (f"{file}.json.gz" if file else None)


@pytest.mark.parametrize(("query", "file"), ASKED_BEFORE)
def test_rules_answer_questions_that_were_asked_before(query: str, file: str | None) -> None:
    assert served(TEXTS[id(WITH_LATEST)], query) == (f"{file}.json" if file else None)


OLDER = (
    Dispatch(
        (Route("latest", "", False, "all"), Route("testing", "", False, "t"), Route("testing", "amd64", False, "t1")),
        "latest",
        "latest",
    ),
    Dispatch((Route("testing", "amd64", False, "t1"), Route("nightly", "", False, "n")), "testing"),
    Dispatch((Route("latest", "amd64", False, "one"), Route("testing", "", False, "t")), "latest", "latest"),
    Dispatch((Route("testing", "", False, "t"),), "latest", "latest"),
    Dispatch((Route("latest", "", False, "all"), Route("testing", "amd64", False, "t1")), "latest", "latest"),
)


@settings(max_examples=200, deadline=None)
@given(st.one_of(QUERIES, ODD_QUERIES.map("&".join)))
def test_rules_of_the_older_form_do_so_too(query: str) -> None:
    for dispatch in OLDER:
        file = dispatch.answer(query)
        text = apache.index_folder(dispatch, common.plain_targets(route.file for route in dispatch.routes))
        assert served(text, query) == (f"{file}.json" if file else None)


@pytest.mark.parametrize(
    ("encoding", "compressed"),
    [
        ("gzip", True),
        ("gzip, deflate", True),
        ("deflate, gzip;q=1.0", True),
        ("br;q=1.0, gzip;q=0.5, *;q=0.1", True),
        ("gzip ; q=0.001", True),
        ("", False),
        ("identity", False),
        ("gzip;q=0", False),
        ("gzip;q=0.000, br", False),
        ("xgzip", False),
        ("gzipped", False),
    ],
)
def test_gzip_is_for_those_who_take_it(encoding: str, compressed: bool) -> None:
    found = served(TEXTS[id(WITH_LATEST)], "", encoding)
    assert found == ("latest.json.gz" if compressed else "latest.json")


@pytest.mark.parametrize(("tag", "by_name"), [("v1", True), ("v1.gz", False), ("gz", True)])
def test_a_tag_that_looks_compressed_is_not_taken_to_be(tag: str, by_name: bool) -> None:
    text = apache.index_folder(Dispatch((Route(tag, "", False, tag),), tag), common.plain_targets([tag]))
    assert ("AddEncoding gzip .gz" in text) == by_name == ("E=flatdex-gzip" not in text)
    assert served(text, "", "gzip") == f"{tag}.json.gz"


def test_a_site_without_pages_has_nothing_to_show_for_what_is_missing(tmp_path: Path) -> None:
    for text, expected in (("", True), ("pages: false\n", False)):
        config = loaded(tmp_path, GOOD + text)
        for render in (apache.server, nginx.server, caddy.server):
            assert ("404.html" in render(config, "/srv/x", "/")) == expected


def test_the_search_needs_no_rule(tmp_path: Path) -> None:
    """Its script unpacks the file itself: what stands in the top's `.htaccess` costs each request something."""
    config = loaded(tmp_path, GOOD)
    for text in (apache.top_folder(config), *(each(config, "/srv/x", "/") for each in SERVERS.values())):
        assert "search" not in text
    assert [each.pattern for each in rewrites(apache.top_folder(config))] == ["^(.*/)?$"]


def test_a_tag_s_folder_has_one_answer_to_everything() -> None:
    text = apache.tag_folder(common.Target("sha256/a.json", "sha256/b.json.gz"))
    assert served(text, "tag=other&architecture=x") == "sha256/a.json"
    assert served(text, "", "gzip") == "sha256/b.json.gz"


@pytest.mark.parametrize(
    ("seconds", "control"), [(0, '"no-cache"'), (60, '"public, max-age=60"'), (86400, '"public, max-age=86400"')]
)
def test_the_index_s_lifetime_is_sent(tmp_path: Path, seconds: int, control: str) -> None:
    config = loaded(tmp_path, GOOD + f"cache: {{index: {seconds}s}}\n")
    assert f"Header set Cache-Control {control}" in apache.top_folder(config)


def test_icons_never_change() -> None:
    assert 'Cache-Control "public, max-age=31536000, immutable"' in apache.icons_folder(Cache())


def test_manifests_of_other_types_keep_them() -> None:
    types = {"sha256:" + "b" * 64: oci.DOCKER_MANIFEST, "sha256:" + "a" * 64: oci.MANIFEST}
    lines = [each for each in rewrites(apache.registry_folder(Cache(), types)) if "T=" in each.flags]
    assert [(each.pattern, each.flags) for each in lines] == [
        (f"(?:^|/)manifests/sha256:{'b' * 64}$", f"[T={oci.DOCKER_MANIFEST},L]"),
        ("(?:^|/)manifests/sha256:[0-9a-f]+$", f"[T={oci.MANIFEST},L]"),
    ]


def test_only_the_promised_modules_are_needed(tmp_path: Path) -> None:
    """`AllowOverride FileInfo` allows all of these, and rewrite, headers and mime bring them."""
    texts = [
        *TEXTS.values(),
        apache.icons_folder(Cache()),
        apache.hashed_folder(Cache()),
        apache.top_folder(loaded(tmp_path, GOOD)),
        apache.registry_folder(Cache(), {}),
    ]
    known = {
        *("RewriteEngine", "RewriteCond", "RewriteRule", "Header", "AddType", "RemoveEncoding", "RemoveOutputFilter"),
        *("SetHandler", "ForceType", "FileETag", "AddEncoding", "#"),
    }
    for text in texts:
        lines = text.replace("\\\n", "").splitlines()
        assert {line.split()[0] for line in lines if line.strip()} <= known


def test_the_server_s_own_rules_name_files_that_every_snapshot_has(tmp_path: Path) -> None:
    config = loaded(tmp_path, GOOD + "  nightly: {tags: [nightly], sources: [local], architectures: [amd64]}\n")
    text = apache.server(config, "/srv/flatpaks/current", "/")
    assert re.findall(r'<Directory "(.*)">', text) == [
        "/srv/flatpaks/current" + folder
        for folder in ("", "/index", "/latest/index", "/nightly/index", "/icons", "/assets", "/screenshots", "/v2")
    ]
    assert "sha256/" not in text
    for query, file in (("", "latest"), ("tag=nightly&architecture=amd64", "nightly-amd64"), ("tag=x", None)):
        assert served(text, query, asked="/index/static") == (f"{file}.json" if file else None)


def test_the_older_form_s_rules_lead_to_its_files(tmp_path: Path) -> None:
    text = apache.server(loaded(tmp_path, OLD, store="store"), "/srv/x", "/")
    assert re.findall(r'<Directory "(.*)">', text)[:3] == ["/srv/x", "/srv/x/index", "/srv/x/app-icons"]
    query = "architecture=amd64&tag=testing"
    assert served(text, query, "gzip", "/index/static") == "flatpak-testing-amd64.json.gz"
    assert served(text, "tag=unknown", asked="/index/static") == "flatpak.json"


def by_caddy(dispatch: Dispatch, query: str) -> str | None:
    """What Caddy's patterns make of a query, once its parameters have been found."""
    form = "annotations" if wants_annotations(query) else "labels"
    asked = f"{first(query, 'tag')} {first(query, 'architecture')} {form}"
    return next((file for pattern, file in caddy.choices(dispatch) if re.search(pattern, asked)), "") or None


def by_nginx(dispatch: Dispatch, query: str) -> str | None:
    """What nginx finds in the table."""
    rows = table.rows(dispatch, {route.file: route.file for route in dispatch.routes}, "")
    pattern, group = table.pattern(dispatch, gzip=False)
    found = re.search(pattern, "".join(rows) + table.asked(query))
    return found[group] if found else None


@settings(max_examples=200, deadline=None)
@given(st.one_of(QUERIES, ODD_QUERIES.map("&".join)))
def test_other_servers_choose_as_the_dispatch_does(query: str) -> None:
    for dispatch in (WITH_LATEST, WITHOUT_LATEST, *OLDER):
        assert by_caddy(dispatch, query) == dispatch.answer(query)
        assert by_nginx(dispatch, query) == dispatch.answer(query)


def test_each_server_s_text_is_quoted_well(tmp_path: Path) -> None:
    config = loaded(tmp_path, GOOD)
    for render in (apache.server, nginx.server, caddy.server):
        for line in render(config, "/srv/a folder/current", "/x/").replace("\\\n", "").splitlines():
            if line.strip() and not line.strip().startswith("#") and "'" not in line:
                assert shlex.split(line)
            if "a folder" in line and not line.startswith("#"):
                assert re.search(r'"[^"]*a folder[^"]*"', line)


def test_tags_are_taken_literally() -> None:
    assert INDEXES[0].tags[1:] == ("v1.0",)
    assert served(TEXTS[id(WITH_LATEST)], "tag=v1.0") == "v1.0.json"
    assert served(TEXTS[id(WITH_LATEST)], "tag=v1x0") is None

"""The generated rules, read as Apache reads them, answer every query as the dispatch does."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings

from builder import oci
from builder.config import Cache
from builder.dispatch import Dispatch, Route
from builder.site import rules
from tests.builder.helpers import GOOD, loaded
from tests.builder.test_dispatch import ASKED_BEFORE, INDEXES, QUERIES, WITH_LATEST, WITHOUT_LATEST
from tests.builder.test_regindexer import OLD

TARGETS = rules.plain_targets(route.file for dispatch in (WITH_LATEST, WITHOUT_LATEST) for route in dispatch.routes)


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
    for line in map(str.strip, text.splitlines()):
        words = line.split(" ")
        if words[0] == "RewriteCond":
            assert len(words) == 3, f"Apache would take a blank for the end of the pattern: {line}"
            conditions.append((words[1], words[2]))
        elif words[0] == "RewriteRule":
            found.append(Rewrite(tuple(conditions), words[1], words[2], words[3]))
            conditions.clear()
    return found


def served(text: str, query: str, encoding: str = "") -> str | None:
    """The file that a request for `static` gets; None is a 404."""
    variables = {"%{QUERY_STRING}": query, "%{HTTP:Accept-Encoding}": encoding}

    def holds(variable: str, pattern: str) -> bool:
        found = re.search(pattern.removeprefix("!"), variables[variable])
        return (not found) if pattern.startswith("!") else bool(found)

    for each in rewrites(text):
        if re.search(each.pattern, "static") and all(holds(*condition) for condition in each.conditions):
            if "R=404" in each.flags:
                return None
            return "static" if each.target == "-" else each.target
    return "static"


TEXTS = {id(each): rules.index_folder(each, TARGETS, Cache()) for each in (WITH_LATEST, WITHOUT_LATEST)}


@settings(max_examples=200, deadline=None)
@given(QUERIES)
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
)


@settings(max_examples=200, deadline=None)
@given(QUERIES)
def test_rules_of_the_older_form_do_so_too(query: str) -> None:
    for dispatch in OLDER:
        file = dispatch.answer(query)
        text = rules.index_folder(dispatch, rules.plain_targets(route.file for route in dispatch.routes), Cache())
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


def test_a_tag_s_folder_has_one_answer_to_everything() -> None:
    text = rules.tag_folder(rules.Target("sha256/a.json", "sha256/b.json.gz"), Cache())
    assert served(text, "tag=other&architecture=x") == "sha256/a.json"
    assert served(text, "", "gzip") == "sha256/b.json.gz"


@pytest.mark.parametrize(
    ("seconds", "control"), [(0, '"no-cache"'), (60, '"public, max-age=60"'), (86400, '"public, max-age=86400"')]
)
def test_the_index_s_lifetime_is_sent(seconds: int, control: str) -> None:
    assert f"Header set Cache-Control {control}" in rules.index_folder(WITH_LATEST, TARGETS, Cache(index=seconds))
    assert f"Header set Cache-Control {control}" in rules.top_folder(Cache(index=seconds))


def test_icons_never_change() -> None:
    assert 'Cache-Control "public, max-age=31536000, immutable"' in rules.icons_folder(Cache())


def test_manifests_of_other_types_keep_them() -> None:
    types = {"sha256:" + "b" * 64: oci.DOCKER_MANIFEST, "sha256:" + "a" * 64: oci.MANIFEST}
    lines = [each for each in rewrites(rules.registry_folder(Cache(), types)) if "T=" in each.flags]
    assert [(each.pattern, each.flags) for each in lines] == [
        (f"(?:^|/)manifests/sha256:{'b' * 64}$", f"[T={oci.DOCKER_MANIFEST},L]"),
        ("(?:^|/)manifests/sha256:[0-9a-f]+$", f"[T={oci.MANIFEST},L]"),
    ]


def test_only_the_four_promised_modules_are_needed() -> None:
    texts = [
        *TEXTS.values(),
        rules.icons_folder(Cache()),
        rules.top_folder(Cache()),
        rules.registry_folder(Cache(), {}),
    ]
    known = {
        *(
            "RewriteEngine",
            "RewriteCond",
            "RewriteRule",
            "Header",
            "AddType",
            "RemoveEncoding",
            "SetHandler",
            "RemoveOutputFilter",
            "ForceType",
            "FileETag",
        ),
        *("ExpiresActive", "<FilesMatch", "</FilesMatch>", "<IfModule", "</IfModule>", "#"),
    }
    for text in texts:
        assert {line.split()[0] for line in text.splitlines() if line.strip()} <= known


def test_the_server_s_own_rules_name_files_that_every_snapshot_has(tmp_path: Path) -> None:
    config = loaded(tmp_path, GOOD + "  nightly: {tags: [nightly], sources: [local], architectures: [amd64]}\n")
    text = rules.server(config, "/srv/flatpaks/current")
    assert re.findall(r'<Directory "(.*)">', text) == [
        "/srv/flatpaks/current" + folder
        for folder in ("", "/index", "/latest/index", "/nightly/index", "/icons", "/v2")
    ]
    assert "sha256/" not in text
    targets = {each.target for each in rewrites(text)} - {"-"}
    assert targets == {
        *("latest.json", "latest.json.gz", "nightly.json", "nightly.json.gz", "nightly-amd64.json"),
        *("nightly-amd64.json.gz", "static.gz"),
    }


def test_the_older_form_s_rules_lead_to_its_files(tmp_path: Path) -> None:
    text = rules.server(loaded(tmp_path, OLD, store="store"), "/srv/x")
    assert re.findall(r'<Directory "(.*)">', text) == ["/srv/x", "/srv/x/index", "/srv/x/app-icons"]
    (index,) = re.findall(r'<Directory "/srv/x/index">\n(.*?)</Directory>', text, re.S)
    assert served(index, "architecture=amd64&tag=testing", "gzip") == "flatpak-testing-amd64.json.gz"
    assert served(index, "tag=unknown") == "flatpak.json"


def test_tags_are_taken_literally() -> None:
    assert INDEXES[0].tags[1:] == ("v1.0",)
    assert served(TEXTS[id(WITH_LATEST)], "tag=v1.0") == "v1.0.json"
    assert served(TEXTS[id(WITH_LATEST)], "tag=v1x0") is None

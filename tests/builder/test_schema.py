"""Each message of the configuration check: the line, the key, what is wrong, and what to do about it."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.errors import Problem
from builder.schema import suggestion
from tests.builder.helpers import GOOD, problems

URL = "the http(s) URL at which users reach the document root"
LIFETIME = "a lifetime: a whole number and s, m, h, d, w or y, such as 0s, 30m or 1y"
QUOTE = 'It holds a typographic quote, probably pasted from a web page: use " instead, or none.'
TAG = "a tag: up to 128 letters, digits, `.`, `_` and `-`"
QUOTES = "Put it in quotes: without them YAML takes yes, no, on and off for true and false."
NAME = "a name of letters, digits, `-` and `_`"
PUBLIC = "an http(s) URL, or a path relative to the index such as / or ../"

CHANGED = [
    # Keys
    (("title:", "titel:"), (2, "remote.titel", "unknown key", "Did you mean `title`?")),
    (
        ("tags: [latest]", "tags: [latest], zzz: 1"),
        (
            7,
            "indexes.stable.zzz",
            "unknown key",
            "Expected one of: annotations, architectures, extract_icons, max_shrink, required_labels, sources, tags.",
        ),
    ),
    (("store:", "stroe: a\nstore:"), (1, "stroe", "unknown key", "Did you mean `store`?")),
    (
        ("name: example, ", ""),
        (2, "remote", "the key `name` is missing", "Expected a mapping that describes the remote to its users."),
    ),
    (
        ('{name: example, title: Example, url: "http://127.0.0.1:8080/"}', "{name: example}"),
        (2, "remote", "the key `url` is missing", "Expected a mapping that describes the remote to its users."),
    ),
    (
        ("{tags: [latest], sources: [main]}", "{sources: [main]}"),
        (7, "indexes.stable", "the key `tags` is missing", "Expected a mapping with at least `tags: [TAG]`."),
    ),
    # Types
    (
        ("tags: [latest]", "tags: latest"),
        (
            7,
            "indexes.stable.tags",
            'expected a list of tags, such as [latest], but got "latest"',
            'Put it in brackets and quotes: ["latest"].',
        ),
    ),
    (
        ("tags: [latest]", "tags: [3.10]"),
        (7, "indexes.stable.tags[0]", f"expected {TAG}, but got 3.1", 'Put it in quotes: "3.1".'),
    ),
    (
        ("title: Example", "title: yes"),
        (2, "remote.title", "expected one line of text, but got true", QUOTES),
    ),
    (("title: Example", "title:"), (2, "remote.title", "expected one line of text, but got null", "")),
    (
        ("tags: [latest]", 'tags: [latest], extract_icons: "yes"'),
        (
            7,
            "indexes.stable.extract_icons",
            'expected true or false, but got "yes"',
            "Write true or false, without quotes.",
        ),
    ),
    (
        ("{tags: [latest], sources: [main]}", "[latest]"),
        (7, "indexes.stable", 'expected a mapping with at least `tags: [TAG]`, but got ["latest"]', ""),
    ),
    (
        ('{registry: "http://127.0.0.1:5000"}', "http://127.0.0.1:5000"),
        (
            4,
            "sources.main",
            'expected a mapping with `registry: URL` or `layouts: [FOLDER]`, but got "http://127.0.0.1:5000"',
            "",
        ),
    ),
    # Patterns
    (
        ('url: "http://127.0.0.1:8080/"', "url: flatpaks.example.org"),
        (
            2,
            "remote.url",
            f'expected {URL}, but got "flatpaks.example.org"',
            "Write the whole URL, such as https://flatpaks.example.org.",
        ),
    ),
    (
        ('url: "http://127.0.0.1:8080/"', 'url: "http://127.0.0.1:8080/?tag=x"'),
        (2, "remote.url", f'expected {URL}, but got "http://127.0.0.1:8080/?tag=x"', ""),
    ),
    (
        ('url: "http://127.0.0.1:8080/"', 'url: "http://me:secret@127.0.0.1/"'),
        (2, "remote.url", f'expected {URL}, but got "http://***@127.0.0.1/"', ""),
    ),
    (
        ("name: example", "name: an example"),
        (
            2,
            "remote.name",
            'expected the remote\'s short name: letters, digits, `-`, `_` and `.`, but got "an example"',
            "",
        ),
    ),
    (
        ("tags: [latest]", "tags: [../latest]"),
        (7, "indexes.stable.tags[0]", f'expected {TAG}, but got "../latest"', ""),
    ),
    (
        ("tags: [latest]", "tags: [latest], architectures: [AMD64]"),
        (
            7,
            "indexes.stable.architectures[0]",
            'expected an architecture by its OCI name, such as amd64 or arm64, but got "AMD64"',
            "",
        ),
    ),
    (
        ('5000"', '5000", repositories: [Apps/One]'),
        (
            4,
            "sources.main.repositories[0]",
            'expected a repository name or a glob in quotes, such as "apps/*", but got "Apps/One"',
            "",
        ),
    ),
    (('5000"', '5000", public: here'), (4, "sources.main.public", f'expected {PUBLIC}, but got "here"', None)),
    (("  stable:", "  sta.ble:"), (7, "indexes.sta.ble", f'expected {NAME}, but got "sta.ble"', "")),
    # Choices
    (
        ('5000"', '5000", token: requird'),
        (
            4,
            "sources.main.token",
            'expected none or required, but got "requird"',
            "Did you mean `required`?",
        ),
    ),
    (
        ('5000"', '5000", token: 5'),
        (4, "sources.main.token", "expected none or required, but got 5", ""),
    ),
    # Too little
    (
        ("tags: [latest]", "tags: []"),
        (7, "indexes.stable.tags", "expected a list of tags, such as [latest], but it is empty", ""),
    ),
    (
        ("sources: [main]", "sources: []"),
        (7, "indexes.stable.sources", "expected a list of names from `sources`, such as [main], but it is empty", ""),
    ),
    (
        ('layouts: ["./images/*"]', "layouts: []"),
        (
            5,
            "sources.local.layouts",
            'expected a list of folders or globs, such as ["./images/*"], but it is empty',
            "",
        ),
    ),
    (
        ('5000"', '5000", repositories: []'),
        (
            4,
            "sources.main.repositories",
            'expected a list of repository names or globs, such as ["apps/*"], but it is empty',
            "",
        ),
    ),
    (
        ("tags: [latest]", 'tags: [latest], required_labels: [""]'),
        (7, "indexes.stable.required_labels[0]", "expected a label key, but it is empty", ""),
    ),
    # Typographic quotes that YAML takes for a part of the text
    (
        ('url: "http://127.0.0.1:8080/"', 'url: "“http://127.0.0.1:8080/”"'),
        (2, "remote.url", f'expected {URL}, but got "“http://127.0.0.1:8080/”"', QUOTE),
    ),
    (
        ('url: "http://127.0.0.1:8080/"', "url: http://“127.0.0.1”:8080/"),
        (2, "remote.url", f'expected {URL}, but got "http://“127.0.0.1”:8080/"', QUOTE),
    ),
    (
        ('url: "http://127.0.0.1:8080/"', "url: http://127.0.0.1:8080/‘apps’/"),
        (2, "remote.url", f'expected {URL}, but got "http://127.0.0.1:8080/‘apps’/"', QUOTE),
    ),
    (
        ('"http://127.0.0.1:5000"', "http://127.0.0.1:5000/“x”/y"),
        (
            4,
            "sources.main.registry",
            'expected the registry\'s http(s) URL, without /v2/, but got "http://127.0.0.1:5000/“x”/y"',
            QUOTE,
        ),
    ),
    (
        ('5000"', '5000", public: "../“v2”/x"'),
        (4, "sources.main.public", f'expected {PUBLIC}, but got "../“v2”/x"', QUOTE),
    ),
    # The two kinds of sources
    (
        ('registry: "http', 'layouts: [a], registry: "http'),
        (4, "sources.main", "both `registry` and `layouts`", "Make them two."),
    ),
    (
        ('{registry: "http://127.0.0.1:5000"}', "{token: none}"),
        (
            4,
            "sources.main",
            "neither `registry` nor `layouts`",
            "Expected a mapping with `registry: URL` or `layouts: [FOLDER]`.",
        ),
    ),
    (
        ('5000"', '5000", tag: nightly'),
        (4, "sources.main.tag", "goes with `layouts`, which is not given here", ""),
    ),
    *(
        (
            ('layouts: ["./images/*"]', f'layouts: ["./images/*"], {key}: {value}'),
            (5, f"sources.local.{key}", "goes with `registry`, which is not given here", ""),
        )
        for key, value in {"public": '"../"', "repositories": '["*"]', "exclude": '["*"]'}.items()
    ),
]


@pytest.mark.parametrize(("change", "expected"), CHANGED, ids=[f"{each[1][1]}: {each[0][1]}"[:60] for each in CHANGED])
def test_one_mistake_is_one_message(
    tmp_path: Path, change: tuple[str, str], expected: tuple[int, str, str, str | None]
) -> None:
    assert change[0] in GOOD, "the test changes nothing"
    (problem,) = problems(tmp_path, GOOD.replace(*change, 1))
    line, key, what, fix = expected
    assert problem == Problem(line, key, what, problem.fix if fix is None else fix)


ADDED = [
    (
        "targets:\n  web: {ssh: ssh}\n",
        (
            9,
            "targets.web",
            "neither `rsync` nor `rclone`",
            "Expected a mapping with `rsync: DESTINATION` or `rclone: REMOTE:PATH`.",
        ),
    ),
    (
        "targets:\n  web: /srv/x\n",
        (
            9,
            "targets.web",
            'expected a mapping with `rsync: DESTINATION` or `rclone: REMOTE:PATH`, but got "/srv/x"',
            "",
        ),
    ),
    (
        "targets:\n  web: {rsync: -x}\n",
        (9, "targets.web.rsync", 'expected a folder, HOST:/FOLDER or rsync://HOST/MODULE, but got "-x"', ""),
    ),
    (
        "targets:\n  web: {rsync: /srv/x, ssh: ssh -p 22}\n",
        (9, "targets.web.ssh", "`ssh` goes with an `rsync: HOST:/FOLDER` only", ""),
    ),
    (
        "targets:\n  web: {rsync: 'rsync://web/x', ssh: ssh -p 22}\n",
        (9, "targets.web.ssh", "`ssh` goes with an `rsync: HOST:/FOLDER` only", ""),
    ),
    (
        "targets:\n  web: {rsync: 'web::x', ssh: ssh -p 22}\n",
        (9, "targets.web.ssh", "`ssh` goes with an `rsync: HOST:/FOLDER` only", ""),
    ),
    (
        "targets:\n  web: {rsync: /srv/x, password_file: ./p}\n",
        (9, "targets.web.password_file", "`password_file` goes with an `rsync: rsync://HOST/MODULE` only", ""),
    ),
    (
        "targets:\n  web: {rsync: 'web:/srv/x', password_file: ./p}\n",
        (9, "targets.web.password_file", "`password_file` goes with an `rsync: rsync://HOST/MODULE` only", ""),
    ),
    (
        "targets:\n  we b: {rsync: /srv/x}\n",
        (9, "targets.we b", f'expected {NAME}, but got "we b"', ""),
    ),
    ("cache: {index: 30}\n", (8, "cache.index", f"expected {LIFETIME}, but got 30", "Give it a unit: 30s.")),
    ("cache: {index: 30x}\n", (8, "cache.index", f'expected {LIFETIME}, but got "30x"', "")),
    ("cache: {icons: -1s}\n", (8, "cache.icons", f'expected {LIFETIME}, but got "-1s"', "")),
    ("cache: {index: true}\n", (8, "cache.index", f"expected {LIFETIME}, but got true", "")),
    ('cache: {index: "0s\\n"}\n', (8, "cache.index", f'expected {LIFETIME}, but got "0s\\n"', "")),
    ("cache: {pages: 1h}\n", (8, "cache.pages", "unknown key", "Expected one of: icons, index.")),
]


@pytest.mark.parametrize(("text", "expected"), ADDED, ids=[each[0].strip()[-50:] for each in ADDED])
def test_targets_and_lifetimes_are_checked_too(tmp_path: Path, text: str, expected: tuple[int, str, str, str]) -> None:
    (problem,) = problems(tmp_path, GOOD + text)
    line, key, what, fix = expected
    # What flatdex can't guess, it may leave without a remedy; what it says must be what helps.
    assert (problem.line, problem.key, problem.what) == (line, key, what)
    assert problem.fix == fix or (not fix and "Trues" not in problem.fix)


@pytest.mark.parametrize(
    "rsync", ["/srv/x", "./x", "web:/srv/x", "me@web:x", "web:", "rsync://web/x", "rsync://web:8730/x", "web::x"]
)
def test_every_kind_of_destination_is_taken(tmp_path: Path, rsync: str) -> None:
    extra = ", password_file: p" if "//" in rsync or "::" in rsync else ""
    extra = extra or (", ssh: ssh -p 22" if ":" in rsync else "")
    found = problems(tmp_path, GOOD + f"zzz: 1\ntargets:\n  web: {{rsync: '{rsync}'{extra}}}\n")
    assert [problem.key for problem in found] == ["zzz"]


@pytest.mark.parametrize(
    ("text", "keys"),
    [
        ("store: a\n", ["the key `indexes` is missing", "the key `remote` is missing", "the key `sources` is missing"]),
        ("sources: {}\nremote: {name: a, url: 'http://a'}\nindexes: {}\n", None),
    ],
)
def test_whole_sections_may_be_missing_or_empty(tmp_path: Path, text: str, keys: list[str] | None) -> None:
    found = problems(tmp_path, text)
    if keys is None:
        assert found[0] == Problem(1, "sources", "expected a mapping from a name to a source, but it is empty")
    else:
        assert [problem.what for problem in found] == keys
        assert {problem.fix for problem in found} == {
            "Expected the settings of one Flatpak remote: a mapping with remote, sources and indexes."
        }


@pytest.mark.parametrize(("text", "shown"), [("~\n", "null"), ("- a\n", '["a"]'), ("just text\n", '"just text"')])
def test_a_file_that_is_no_mapping_is_told(tmp_path: Path, text: str, shown: str) -> None:
    what = "expected the settings of one Flatpak remote: a mapping with remote, sources and indexes"
    (problem,) = problems(tmp_path, text)
    assert (problem.line, problem.key, problem.what) == (1, "", f"{what}, but got {shown}")


@pytest.mark.parametrize(("value", "shown"), [("", "null"), ("5", "5"), ("[registry]", '["registry"]')])
def test_a_source_that_is_no_mapping_is_told_once(tmp_path: Path, value: str, shown: str) -> None:
    (problem,) = problems(tmp_path, GOOD.replace('{registry: "http://127.0.0.1:5000"}', value))
    what = f"expected a mapping with `registry: URL` or `layouts: [FOLDER]`, but got {shown}"
    assert (problem.line, problem.key, problem.what) == (4, "sources.main", what)


def test_a_long_value_is_shown_in_part(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, GOOD.replace("[latest]", f"[{'x' * 129}]"))
    assert problem.what.endswith("x...")
    assert len(problem.what) < 160


@pytest.mark.parametrize(
    ("old", "new", "key"),
    [
        ("title: Example", 'title: "Example\\n"', "remote.title"),
        ("name: example", 'name: "example\\n"', "remote.name"),
        ("[latest]", '["latest\\n"]', "indexes.stable.tags[0]"),
        ("8080/", "8080/\\n", "remote.url"),
        ("5000", "5000\\n", "sources.main.registry"),
        ("[latest]", '[latest], architectures: ["amd64\\n"]', "indexes.stable.architectures[0]"),
    ],
)
def test_a_line_break_at_the_end_of_a_value_is_refused(tmp_path: Path, old: str, new: str, key: str) -> None:
    """It would break out of its line in a key file or a server's rules."""
    (problem,) = problems(tmp_path, GOOD.replace(old, new, 1))
    assert problem.key == key
    assert "\\n" in problem.what


def test_a_suggestion_names_what_was_meant_or_all_that_is_known() -> None:
    assert suggestion("registy", ["layouts", "registry"]) == "Did you mean `registry`?"
    assert suggestion("zzz", ["layouts", "registry"]) == "Expected one of: layouts, registry."
    assert suggestion("zzz", []) == ""

"""Names that do not exist and names that collide are told with the way out."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder.checks import TOP_LEVEL
from builder.errors import Problem
from tests.builder.helpers import GOOD, loaded, problems


def with_indexes(text: str) -> str:
    """The good configuration with other indexes."""
    return GOOD[: GOOD.index("indexes:")] + "indexes:\n" + text


RENAME = "Rename one of the tags (names that differ only in case count as one)."
OTHER_TAG = "Each tag is a folder there too (/TAG/index/static): use another tag."
ONCE = (
    "A query names a tag and gets one index: name each tag once, or make one index of both by listing"
    " the sources of both."
)

WRONG = [
    (
        "  a: {tags: [latest], sources: [mian]}\n",
        (7, "indexes.a.sources[0]", "no source is called 'mian'", "Did you mean `main`?"),
    ),
    (
        "  a: {tags: [latest], sources: [main, zzz]}\n",
        (7, "indexes.a.sources[1]", "no source is called 'zzz'", "Expected one of: main, local."),
    ),
    (
        "  defaults: {sources: [lokal]}\n  a: {tags: [latest]}\n",
        (7, "indexes.defaults.sources[0]", "no source is called 'lokal'", "Did you mean `local`?"),
    ),
    (
        "  defaults: {sources: [main]}\n",
        (6, "indexes", "no index is given", "Add one, such as `stable: {tags: [latest]}`."),
    ),
    (
        "  a: {tags: [latest], sources: [main]}\n  b: {tags: [x, latest], sources: [local]}\n",
        (8, "indexes.b.tags[1]", "the tag 'latest' already belongs to the index 'a'", ONCE),
    ),
    (
        "  a: {tags: [latest, latest], sources: [main]}\n",
        (7, "indexes.a.tags[1]", "the tag 'latest' already belongs to this index", ONCE),
    ),
    (
        "  a: {tags: [latest], sources: [main, local]}\n",
        (
            7,
            "indexes.a.sources",
            "an index can name one registry, but its sources are reached at different ones:"
            " main (http://127.0.0.1:5000/), local (../)",
            "Make it one index for each, with tags of their own (a source's `public` says where clients pull),"
            " or give the sources the same `public` if one address serves both.",
        ),
    ),
    (
        "  a: {tags: [latest], sources: [main], architectures: [amd64]}\n"
        "  b: {tags: [latest-amd64], sources: [main]}\n",
        (
            8,
            "indexes.b",
            "two index files would have one name: index/latest-amd64.json and index/latest-amd64.json",
            RENAME,
        ),
    ),
    (
        "  a: {tags: [latest], sources: [main]}\n  b: {tags: [Latest], sources: [main]}\n",
        (8, "indexes.b", "two index files would have one name: index/Latest.json and index/latest.json", RENAME),
    ),
    (
        "  a: {tags: [x], sources: [main], annotations: true}\n  b: {tags: [x.annotations], sources: [main]}\n",
        (
            8,
            "indexes.b",
            "two index files would have one name: index/x.annotations.json and index/x.annotations.json",
            RENAME,
        ),
    ),
    *(
        (
            f"  a: {{tags: [x, {tag}], sources: [main]}}\n",
            (
                7,
                "indexes.a.tags[1]",
                f"the tag '{tag}' has the name of something else at the top of the site",
                OTHER_TAG,
            ),
        )
        for tag in (
            *("v2", "index", "Index", "icons", "apps", "refs", "snapshot.json", "search.json", "feed.atom"),
            *("index.html", "static", "example.flatpakrepo", "x.FlatpakRef", "favicon.ico", "blobs"),
        )
    ),
]


@pytest.mark.parametrize(
    ("indexes", "expected"), WRONG, ids=[f"{each[1][1]} {each[0].strip()}"[-70:] for each in WRONG]
)
def test_one_collision_is_one_message(tmp_path: Path, indexes: str, expected: tuple[int, str, str, str]) -> None:
    assert problems(tmp_path, with_indexes(indexes)) == [Problem(*expected)]


def test_every_reserved_name_is_refused_in_any_case(tmp_path: Path) -> None:
    tags = [name.upper() for name in sorted(TOP_LEVEL)]
    found = problems(tmp_path, with_indexes(f"  a: {{tags: [{', '.join(tags)}], sources: [main]}}\n"))
    assert len(found) == len(TOP_LEVEL)


def test_twins_are_told_for_each_file(tmp_path: Path) -> None:
    text = "  a: {tags: [x], sources: [main], architectures: [amd64]}\n"
    found = problems(tmp_path, with_indexes(text + text.replace("a:", "b:").replace("[x]", "[X]")))
    assert [problem.what.split()[-3] for problem in found] == ["index/X-amd64.json", "index/X.json"]


def test_an_architecture_given_twice_is_not_called_a_tag(tmp_path: Path) -> None:
    text = "  a: {tags: [x], sources: [main], architectures: [amd64, amd64]}\n"
    (problem,) = problems(tmp_path, with_indexes(text))
    assert problem.line == 7
    assert "architecture" in f"{problem.key} {problem.fix}"


@pytest.mark.parametrize(
    "indexes",
    [
        "  a: {tags: [latest], sources: [main]}\n  b: {tags: [nightly], sources: [local]}\n",
        "  a: {tags: [latest, stable], sources: [main], architectures: [amd64, arm64], annotations: true}\n",
        "  a: {tags: [latest], sources: [main]}\n  b: {tags: [latest-amd64], sources: [main]}\n",
        "  a: {tags: [v2.0, indexes, icon], sources: [main]}\n",
    ],
)
def test_names_that_only_look_alike_are_taken(tmp_path: Path, indexes: str) -> None:
    config = loaded(tmp_path, with_indexes(indexes))
    assert len({variant.file.lower() for variant in config.variants}) == len(config.variants)


NO_BROKER = (
    "events.amqp",
    "no broker is named",
    "Write `url: amqp://127.0.0.1:5672/`, or name fedora-messaging's configuration as `fedora_messaging`.",
)
NOTHING_READ = (
    "events.amqp",
    "nothing is read of the broker",
    'Write `exchange` and `topics`, such as ["pushed.#"], or the `queue` that is to be read.',
)


@pytest.mark.parametrize(
    ("amqp", "told"),
    [
        ("{}", [NO_BROKER, NOTHING_READ]),
        ("{queue: pushes}", [NO_BROKER]),
        ("{url: 'amqp://h/'}", [NOTHING_READ]),
        ("{url: 'amqp://h/', exchange: amq.topic}", [NOTHING_READ]),
        (
            "{url: 'amqp://h/', topics: ['#']}",
            [("events.amqp.topics", "goes with `exchange`, which is not given here", "")],
        ),
        (
            "{url: 'amqp://h/', queue: pushes, exchange: amq.topic}",
            [("events.amqp.exchange", "goes with `topics`, which is not given here", "")],
        ),
        (
            "{url: 'amqps://h/', queue: pushes, key: ./key.pem}",
            [("events.amqp.key", "goes with `cert`, which is not given here", "")],
        ),
    ],
)
def test_a_broker_is_named_with_what_is_read_there(tmp_path: Path, amqp: str, told: list[tuple[str, str, str]]) -> None:
    found = problems(tmp_path, GOOD + f"events: {{amqp: {amqp}}}\n")
    assert found == [Problem(8, *each) for each in told]


@pytest.mark.parametrize(
    "amqp",
    [
        "{url: 'amqp://h/', queue: pushes}",
        "{url: 'amqp://h/', exchange: amq.topic, topics: ['#']}",
        "{url: 'amqp://h/', exchange: amq.topic, topics: ['#'], queue: pushes}",
        "{url: 'amqps://h/', queue: pushes, cert: ./cert.pem, key: ./key.pem}",
        "{url: 'amqps://h/', queue: pushes, cert: ./both.pem}",
        "{fedora_messaging: ./config.toml}",
        "{fedora_messaging: ./config.toml, topics: ['#'], key: ./key.pem}",
    ],
)
def test_a_broker_that_can_be_read_is_taken(tmp_path: Path, amqp: str) -> None:
    assert "amqp" in loaded(tmp_path, GOOD + f"events: {{amqp: {amqp}}}\n").publishing["events"]


BAD_HOST = ("events.amqp.url", "the host or its port can't be read", "Write amqps://USER:PASSWORD@HOST:PORT/VHOST.")


@pytest.mark.parametrize(
    ("amqp", "told"),
    [
        ("url: 'amqp://u:hidden@'", BAD_HOST),
        ("url: 'amqp://u:hidden@h:99999/'", BAD_HOST),
        ("url: 'amqp://u:hidden@h:0/'", BAD_HOST),
        ("url: 'amqp://u:hidden@[h/'", BAD_HOST),
        (
            "url: 'amqp://u:hid/den@h/v'",
            (
                "events.amqp.url",
                "there is a `/` before the `@`, so the host ends there",
                "In a user's name or password write %2F for a /, and %40 for an @.",
            ),
        ),
        (
            "url: 'amqps://u:hidden@h/v?heartbeat=5&cacertfile=/ca'",
            (
                "events.amqp.url",
                "the option 'cacertfile' is not known",
                "Files for TLS go to `ca`, `cert` and `key`; only `heartbeat` (in seconds) can be set in the URL.",
            ),
        ),
        (
            "url: 'amqp://u:hidden@h/v', ca: ./ca.pem",
            ("events.amqp.ca", "is for amqps, but `url` is without TLS", "Write amqps://."),
        ),
    ],
)
def test_a_brokers_url_says_what_it_seems_to(tmp_path: Path, amqp: str, told: tuple[str, str, str]) -> None:
    assert problems(tmp_path, GOOD + f"events: {{amqp: {{{amqp}, queue: q}}}}\n") == [Problem(8, *told)]


@pytest.mark.parametrize(
    "url", ["amqp://u:hid den@h/", "amqp:/u:hidden@h/", "ampq://u:a/hidden@h/", "a://u:a@hidden@h"]
)
def test_a_wrong_url_is_told_without_its_password(tmp_path: Path, url: str) -> None:
    found = problems(tmp_path, GOOD + f"events: {{amqp: {{url: '{url}', queue: q}}}}\n")
    assert found and not any("den" in problem.text("f") for problem in found)


def test_sources_with_one_public_address_share_an_index(tmp_path: Path) -> None:
    text = with_indexes("  a: {tags: [latest], sources: [main, local]}\n").replace("5000", '5000", public: "../')
    assert loaded(tmp_path, text).indexes[0].sources == ("main", "local")

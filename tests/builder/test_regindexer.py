"""A configuration in the older form is taken as it is, with the query rules that its deployments had."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from builder import configfile
from builder.config import Form, Icons, RegistrySource
from builder.errors import Problem
from tests.builder.helpers import GOOD, loaded, problems, write


def entry(name: str, tag: str, architecture: str = "") -> str:
    """One index as it is written in that form."""
    text = f"""\
    {name}:
        output: /var/lib/regindexer/index/{name.replace("_", "-")}.json
        registry: http://127.0.0.1:5000
        registry_public: /
        tags: ['{tag}']
        required_annotations: ['org.flatpak.ref']
        extract_icons: True
"""
    return text + (f"        architectures: ['{architecture}']\n" if architecture else "")


HEAD = "icons_dir: /var/lib/regindexer/icons/\nicons_uri: /app-icons/\nindexes:\n"
OLD = (
    HEAD
    + entry("flatpak", "latest")
    + entry("flatpak_testing", "testing")
    + entry("flatpak_amd64", "latest", "amd64")
    + entry("flatpak_testing_amd64", "testing", "amd64")
    + "daemon:\n    topic_prefix: org.example\n    environment: prod\n"
)
ONE = HEAD + entry("flatpak", "latest")


def test_it_is_taken_as_it_is(tmp_path: Path) -> None:
    config = loaded(tmp_path, OLD, store="store")
    (source,) = config.sources
    assert isinstance(source, RegistrySource)
    assert (source.registry, source.public, source.repositories) == ("http://127.0.0.1:5000", "/", ("*",))
    assert [(variant.file, variant.architectures, variant.form) for variant in config.variants] == [
        ("flatpak", (), Form.BOTH),
        ("flatpak-testing", (), Form.BOTH),
        ("flatpak-amd64", ("amd64",), Form.BOTH),
        ("flatpak-testing-amd64", ("amd64",), Form.BOTH),
    ]
    assert config.icons == Icons("app-icons", "/app-icons/")
    assert (config.cache.index, config.cache.icons) == (30 * 60, 365 * 86400)
    assert (config.remote, config.targets, config.tag_folders) == (None, {}, {})
    assert all(index.extract_icons and index.required_labels == ("org.flatpak.ref",) for index in config.indexes)


@pytest.mark.parametrize(
    ("query", "file"),
    [
        ("label%3Aorg.flatpak.ref%3Aexists=1&architecture=amd64&os=linux&tag=latest", "flatpak-amd64"),
        ("annotation:org.flatpak.ref:exists=1&architecture=amd64&os=linux&tag=latest", "flatpak-amd64"),
        ("architecture=amd64&tag=testing", "flatpak-testing-amd64"),
        ("tag=testing", "flatpak-testing"),
        ("tag=latest", "flatpak"),
        ("", "flatpak"),
        ("architecture=amd64", "flatpak-amd64"),
        ("architecture=amd64&tag=unknown", "flatpak-amd64"),
        ("tag=unknown", "flatpak"),
        ("architecture=arm64&tag=testing", "flatpak-testing"),
    ],
)
def test_queries_are_answered_as_its_deployments_did(tmp_path: Path, query: str, file: str) -> None:
    assert loaded(tmp_path, OLD, store="store").dispatch.answer(query) == file


def test_without_an_index_for_latest_an_unknown_tag_is_not_found(tmp_path: Path) -> None:
    dispatch = loaded(tmp_path, HEAD + entry("a", "testing") + entry("b", "rawhide"), store="store").dispatch
    assert dispatch.answer("tag=unknown") is None
    assert dispatch.answer("") == "a"


def test_an_index_of_several_architectures_is_reached_by_its_file_name_only(tmp_path: Path) -> None:
    text = ONE + entry("two", "latest", "amd64', 'arm64")
    config = loaded(tmp_path, text, store="store")
    assert [variant.file for variant in config.variants] == ["flatpak", "two"]
    assert config.dispatch.answer("architecture=arm64&tag=latest") == "flatpak"


def test_the_first_of_two_indexes_for_the_same_query_answers_it(tmp_path: Path) -> None:
    config = loaded(tmp_path, ONE + entry("other", "latest"), store="store")
    assert config.dispatch.answer("tag=latest") == "flatpak"


def test_labels_and_annotations_may_both_be_required(tmp_path: Path) -> None:
    text = ONE + "        required_labels: [org.flatpak.metadata, org.flatpak.ref]\n"
    (index,) = loaded(tmp_path, text, store="store").indexes
    assert set(index.required_labels) == {"org.flatpak.ref", "org.flatpak.metadata"}


def test_icons_stay_in_the_labels_unless_asked_for(tmp_path: Path) -> None:
    (index,) = loaded(tmp_path, ONE.replace("extract_icons: True", "extract_icons: False"), store="store").indexes
    assert not index.extract_icons


def test_an_icons_uri_may_be_a_whole_url(tmp_path: Path) -> None:
    config = loaded(tmp_path, ONE.replace("/app-icons/", "https://cdn.example.org/a/icons"), store="store")
    assert config.icons == Icons("a/icons", "https://cdn.example.org/a/icons/")


def test_one_registry_under_two_addresses_is_two_sources(tmp_path: Path) -> None:
    other = entry("other", "testing").replace("registry_public: /", "registry_public: https://r.example.org/")
    config = loaded(tmp_path, ONE + other, store="store")
    assert [source.public for source in config.sources] == ["/", "https://r.example.org/"]
    assert len({source.name for source in config.sources}) == 2


def test_source_names_do_not_tell_the_registry_s_own_address(tmp_path: Path) -> None:
    """They go into snapshot.json, which everyone can read."""
    config = loaded(tmp_path, OLD.replace("127.0.0.1", "inside.example.net"), store="store")
    assert not [source.name for source in config.sources if "inside.example.net" in source.name]


def test_the_icons_folder_is_none_of_the_site_s_own(tmp_path: Path) -> None:
    for uri in ("/index/", "/v2/", "/index/static/", "/snapshot.json/", "/INDEX/"):
        (problem,) = problems(tmp_path, ONE.replace("/app-icons/", uri), store="store")
        assert (problem.line, problem.key) == (2, "icons_uri")


WRONG = [
    (
        ("tags:", "tgas:"),
        [
            (
                4,
                "indexes.flatpak",
                "the key `tags` is missing",
                "Expected a mapping with at least output and registry.",
            ),
            (8, "indexes.flatpak.tgas", "unknown key", "Did you mean `tags`?"),
        ],
    ),
    (
        ("icons_uri: /app-icons/\n", ""),
        [(1, "icons_dir", "goes with `icons_uri`, which is not given here", "")],
    ),
    (
        ("icons_dir: /var/lib/regindexer/icons/\nicons_uri: /app-icons/\n", ""),
        [
            (
                8,
                "indexes.flatpak.extract_icons",
                "icons are to be extracted, but `icons_uri` does not say where they are served",
                "Add `icons_uri: /app-icons/`.",
            )
        ],
    ),
    (
        ("flatpak.json", "flatpak.txt"),
        [
            (
                5,
                "indexes.flatpak.output",
                "expected the path of a .json file, whose base name is kept,"
                ' but got "/var/lib/regindexer/index/flatpak.txt"',
                "",
            )
        ],
    ),
    (
        ("index/flatpak.json", "index/.json"),
        [
            (
                5,
                "indexes.flatpak.output",
                'expected the path of a .json file, whose base name is kept, but got "/var/lib/regindexer/index/.json"',
                "",
            )
        ],
    ),
    (
        ("http://127", "127"),
        [
            (
                6,
                "indexes.flatpak.registry",
                'expected the registry\'s http(s) URL, but got "127.0.0.1:5000"',
                "Write the whole URL, such as https://127.0.0.1:5000.",
            )
        ],
    ),
    (
        ("extract_icons: True", 'extract_icons: "True"'),
        [
            (
                10,
                "indexes.flatpak.extract_icons",
                'expected true or false, but got "True"',
                "Write true or false, without quotes.",
            )
        ],
    ),
    (
        ("icons_uri: /app-icons/", "icons_uri: app-icons/"),
        [
            (
                2,
                "icons_uri",
                "expected the http(s) URL or the absolute path at which the icons are served, such as /app-icons/,"
                ' but got "app-icons/"',
                None,
            )
        ],
    ),
    (
        ("icons_uri: /app-icons/", "icons_uri: /../icons/"),
        [
            (
                2,
                "icons_uri",
                "expected the http(s) URL or the absolute path at which the icons are served, such as /app-icons/,"
                ' but got "/../icons/"',
                None,
            )
        ],
    ),
]


@pytest.mark.parametrize(("change", "expected"), WRONG, ids=[f"{each[0][0][:30]}-{each[0][1][:30]}" for each in WRONG])
def test_mistakes_are_told(
    tmp_path: Path, change: tuple[str, str], expected: list[tuple[int, str, str, str | None]]
) -> None:
    assert change[0] in ONE
    found = problems(tmp_path, ONE.replace(*change, 1), store="store")
    fixes = [
        expect[3] if expect[3] is not None else problem.fix for expect, problem in zip(expected, found, strict=True)
    ]
    assert found == [Problem(*expect[:3], fix) for expect, fix in zip(expected, fixes, strict=True)]


@pytest.mark.parametrize("name", ["flatpak", "FLATPAK"])
def test_two_outputs_with_one_base_name_are_refused(tmp_path: Path, name: str) -> None:
    twin = entry("twin", "testing").replace("index/twin.json", f"elsewhere/{name}.json")
    assert problems(tmp_path, ONE + twin, store="store") == [
        Problem(
            12,
            "indexes.twin.output",
            "the base name of `output` is that of the index 'flatpak' too",
            "All index files lie in one folder: rename one.",
        )
    ]


TOPICS = ["bodhi.compose.complete", "bodhi.update.complete.stable", "bodhi.update.complete.testing"]


@pytest.mark.parametrize(
    ("daemon", "prefix"),
    [
        ("{topic_prefix: org.fedoraproject, environment: prod}", "org.fedoraproject.prod."),
        ("{topic_prefix: example}", "example.dev."),
        ("{environment: stg, poll_interval: 5}", "org.fedoraproject.stg."),
        ("{}", "org.fedoraproject.dev."),
    ],
)
def test_a_watch_listens_where_its_daemon_did(tmp_path: Path, daemon: str, prefix: str) -> None:
    config = loaded(tmp_path, ONE + f"daemon: {daemon}\n", store="store")
    amqp = {
        "fedora_messaging": "/etc/fedora-messaging/config.toml",
        "topics": [prefix + topic for topic in TOPICS],
    }
    assert config.publishing == {"events": {"amqp": amqp}}
    newer = loaded(tmp_path, GOOD + f"events: {json.dumps(config.publishing['events'])}\n")
    assert newer.publishing == config.publishing


@pytest.mark.parametrize(("named", "file"), [("", "/etc/fedora-messaging/config.toml"), ("/a/b.toml", "/a/b.toml")])
def test_the_environment_may_name_the_library_s_configuration(tmp_path: Path, named: str, file: str) -> None:
    config = loaded(tmp_path, OLD, {"FEDORA_MESSAGING_CONF": named}, store="store")
    assert config.publishing["events"]["amqp"]["fedora_messaging"] == file


def test_a_file_that_the_environment_names_is_relative_to_where_we_are(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    config = loaded(tmp_path, OLD, {"FEDORA_MESSAGING_CONF": "bus.toml"}, store="store")
    assert config.publishing["events"]["amqp"]["fedora_messaging"] == str(tmp_path / "here" / "bus.toml")


def test_without_a_daemon_nothing_is_listened_to(tmp_path: Path) -> None:
    assert loaded(tmp_path, ONE, store="store").publishing == {}


def test_events_and_metrics_may_stand_beside_its_keys(tmp_path: Path) -> None:
    text = "events: {spool: ./spool, every: 1h}\nmetrics: {textfile: ./flatdex.prom}\n"
    publishing = loaded(tmp_path, ONE + text, store="store").publishing
    assert publishing == {"events": {"spool": "./spool", "every": "1h"}, "metrics": {"textfile": "./flatdex.prom"}}


def test_events_come_before_the_daemon(tmp_path: Path) -> None:
    both = loaded(tmp_path, OLD + "events: {spool: ./spool}\n", store="store").publishing["events"]
    assert both["spool"] == "./spool"
    assert both["amqp"]["topics"][0] == "org.example.prod.bodhi.compose.complete"
    amqp = "{url: 'amqp://127.0.0.1/', queue: pushes}"
    ours = loaded(tmp_path, OLD + f"events: {{amqp: {amqp}}}\n", store="store").publishing["events"]
    assert ours == {"amqp": {"url": "amqp://127.0.0.1/", "queue": "pushes"}}


@pytest.mark.parametrize(
    ("line", "key", "what"),
    [
        ("daemon: prod", "daemon", 'expected a mapping with topic_prefix and environment, but got "prod"'),
        (
            "daemon: {topic_prefix: 5}",
            "daemon.topic_prefix",
            "expected what topics begin with, such as org.fedoraproject, but got 5",
        ),
        (
            "daemon: {topic_prefix: org.example.}",
            "daemon.topic_prefix",
            'expected what topics begin with, such as org.fedoraproject, but got "org.example."',
        ),
        (
            "daemon: {environment: '#'}",
            "daemon.environment",
            'expected the word after that, such as prod, but got "#"',
        ),
        ("daemon: {environment: }", "daemon.environment", "expected the word after that, such as prod, but got null"),
        ("events: {spol: ./spool}", "events.spol", "unknown key"),
        ("metrics: {listen: '0.0.0.0:80'}", "metrics.listen", None),
        ("events: {amqp: {queue: pushes}}", "events.amqp", "no broker is named"),
        ("targets: {}", "targets", "unknown key"),
    ],
)
def test_mistakes_beside_the_indexes_are_told(tmp_path: Path, line: str, key: str, what: str | None) -> None:
    (problem,) = problems(tmp_path, ONE + line + "\n", store="store")
    assert (problem.line, problem.key) == (11, key)
    assert what is None or problem.what == what


def test_it_needs_a_store(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, OLD)
    assert (problem.what, problem.fix) == ("no store is named", "Add `store: FOLDER`, or give --store FOLDER.")


@pytest.mark.parametrize("line", ["icons_uri: /icons/\n", "daemon: {}\n"])
def test_a_mixture_of_both_forms_is_the_newer_one(tmp_path: Path, line: str) -> None:
    (problem,) = problems(tmp_path, GOOD + line)
    assert (problem.line, problem.what) == (8, "unknown key")


def test_it_is_recognised_by_its_output_alone(tmp_path: Path) -> None:
    text = "indexes:\n" + entry("flatpak", "latest").replace("extract_icons: True", "extract_icons: False")
    assert [variant.file for variant in loaded(tmp_path, text, store="store").variants] == ["flatpak"]


def test_its_file_may_have_any_name(tmp_path: Path) -> None:
    assert configfile.load(write(tmp_path, OLD, "config.yaml"), {}, "store").file.name == "config.yaml"

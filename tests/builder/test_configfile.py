"""A configuration becomes frozen values, and whatever is wrong in it is told with its line, its key and a remedy."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from builder import configfile, spans
from builder.config import LayoutSource, RegistrySource, Token
from builder.errors import ConfigError, Exit
from tests.builder.helpers import GOOD, loaded, problems, write

EXAMPLE = """\
store: ./store
remote:
  name: example
  title: Example Flatpaks
  url: http://127.0.0.1:8080/          # where the document root is reached
sources:
  main:
    registry: http://127.0.0.1:5000
    public: http://127.0.0.1:5000/
    repositories: ["*"]
    exclude: ["scratch/*"]
    token: none
  local:
    layouts: ["./images/*"]
    tag: nightly
indexes:
  defaults: {sources: [main], architectures: [amd64, arm64], extract_icons: true, required_labels: [org.flatpak.ref]}
  stable:   {tags: [latest]}
  testing:  {tags: [testing]}
  nightly:  {tags: [nightly], sources: [local]}
targets:
  web1: {rsync: "web1.example.org:/srv/flatpaks", ssh: "ssh -p 2222 -i KEY", url: "https://web1.example.org/"}
  web2: {rsync: "rsync://web2.example.org/flatpaks", password_file: ./rsync.password}
  here: {rsync: /srv/flatpaks}
cache: {index: 0s, icons: 1y}
"""


def test_the_example_configuration_is_taken_as_written(tmp_path: Path) -> None:
    config = loaded(tmp_path, EXAMPLE)
    assert config.remote is not None
    assert (config.remote.name, config.remote.title, config.remote.url) == (
        "example",
        "Example Flatpaks",
        "http://127.0.0.1:8080/",
    )
    assert config.sources == (
        RegistrySource(
            "main", "http://127.0.0.1:5000", "http://127.0.0.1:5000/", ("*",), ("scratch/*",), token=Token.NONE
        ),
        LayoutSource("local", (str(tmp_path / "images/*"),), "nightly"),
    )
    assert [(index.name, index.sources, index.tags) for index in config.indexes] == [
        ("stable", ("main",), ("latest",)),
        ("testing", ("main",), ("testing",)),
        ("nightly", ("local",), ("nightly",)),
    ]
    assert [variant.file for variant in config.variants] == [
        *("latest", "latest-amd64", "latest-arm64"),
        *("testing", "testing-amd64", "testing-arm64"),
        *("nightly", "nightly-amd64", "nightly-arm64"),
    ]
    assert set(config.targets) == {"web1", "web2", "here"}
    assert (config.cache.index, config.cache.icons) == (0, 365 * 86400)


def test_an_index_without_sources_takes_all(tmp_path: Path) -> None:
    text = GOOD.replace(", sources: [main]", "").replace("5000", '5000", public: "../')
    assert loaded(tmp_path, text).indexes[0].sources == ("main", "local")


def test_what_an_index_says_itself_goes_before_the_defaults(tmp_path: Path) -> None:
    text = GOOD + "  testing: {tags: [testing], sources: [local], architectures: []}\n"
    text = text.replace("indexes:\n", "indexes:\n  defaults: {architectures: [arm64], sources: [main]}\n")
    stable, testing = loaded(tmp_path, text).indexes
    assert (stable.architectures, stable.sources) == (("arm64",), ("main",))
    assert (testing.architectures, testing.sources) == ((), ("local",))


def test_annotations_give_a_second_form_of_each_file(tmp_path: Path) -> None:
    config = loaded(tmp_path, GOOD.replace("[latest]", "[latest], annotations: true, architectures: [amd64]"))
    assert [variant.file for variant in config.variants] == [
        *("latest", "latest-amd64"),
        *("latest.annotations", "latest-amd64.annotations"),
    ]


def test_public_is_the_registry_itself_unless_something_else_is_said(tmp_path: Path) -> None:
    (source, _) = loaded(tmp_path, GOOD.replace("5000", "5000/")).sources
    assert isinstance(source, RegistrySource)
    assert (source.registry, source.public) == ("http://127.0.0.1:5000", "http://127.0.0.1:5000/")


def test_relative_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "etc"
    folder.mkdir()
    monkeypatch.chdir(tmp_path)
    config = configfile.load(write(folder, GOOD).relative_to(tmp_path), {})
    assert config.store == folder / "store"
    assert config.sources[1] == LayoutSource("local", (str(folder / "images/*"),))


def test_the_home_folder_is_filled_in(tmp_path: Path) -> None:
    assert loaded(tmp_path, GOOD.replace("./store", "~/flatpaks")).store == Path(os.environ["HOME"]) / "flatpaks"


def test_a_home_folder_that_nobody_has_is_told(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, GOOD.replace("./store", "~nobody-has-this-name/store"))
    assert (problem.line, problem.key) == (1, "store")


def test_a_given_store_replaces_the_one_in_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert loaded(tmp_path, GOOD, store="elsewhere").store == tmp_path / "elsewhere"
    assert loaded(tmp_path, GOOD.replace("store: ./store\n", ""), store="elsewhere").store == tmp_path / "elsewhere"


def test_a_file_without_a_store_says_how_to_name_one(tmp_path: Path) -> None:
    (problem,) = problems(tmp_path, GOOD.replace("store: ./store\n", ""))
    assert (problem.line, problem.key, problem.what) == (1, "store", "no store is named")
    assert problem.fix == "Add `store: FOLDER`, or give --store FOLDER."


# All errors at once

MANY = """\
store: ./store
remote: {name: example, titel: Example, url: "http://127.0.0.1:8080/"}
sources:
  main: {registry: "http://127.0.0.1:5000", token: nome}
indexes:
  stable: {tags: latest}
  testing: {tag: [testing], tags: [testing]}
cache: {index: 30}
"""


def test_all_wrong_keys_and_values_are_told_at_once_in_the_order_of_their_lines(tmp_path: Path) -> None:
    found = problems(tmp_path, MANY)
    assert [(problem.line, problem.key) for problem in found] == [
        (2, "remote.titel"),
        (4, "sources.main.token"),
        (6, "indexes.stable.tags"),
        (7, "indexes.testing.tag"),
        (8, "cache.index"),
    ]


def test_errors_of_all_kinds_are_told_at_once(tmp_path: Path) -> None:
    text = """\
store: ./store
remote: {name: example, title: “Example”, url: "http://127.0.0.1:8080/", comment: "${UNSET}"}
sources:
  main: {registry: "http://127.0.0.1:5000"}
indexes:
  stable: {tags: [latest], tags: [testing]}
  nightly: {tags: [nightly], sources: [mian]}
cash: {index: 0s}
"""
    found = problems(tmp_path, text)
    assert [(problem.line, problem.key) for problem in found] == [
        (2, "remote.comment"),
        (2, "remote.title"),
        (6, "indexes.stable.tags"),
        (7, "indexes.nightly.sources[0]"),
        (8, "cash"),
    ]


def test_a_missing_store_does_not_hide_other_errors(tmp_path: Path) -> None:
    found = problems(tmp_path, GOOD.replace("store: ./store\n", "").replace("[main]", "[mian]"))
    assert {problem.key for problem in found} == {"store", "indexes.stable.sources[0]"}


def test_all_collisions_are_told_at_once(tmp_path: Path) -> None:
    text = GOOD.replace("[main]", "[main, local]") + "  other: {tags: [latest, apps], sources: [main]}\n"
    found = problems(tmp_path, text)
    assert [(problem.line, problem.key) for problem in found] == [
        (7, "indexes.stable.sources"),
        (8, "indexes.other.tags[0]"),
        (8, "indexes.other.tags[1]"),
    ]


def test_an_error_is_told_as_file_line_key_what_and_fix(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        loaded(tmp_path, GOOD.replace("title", "titel"))
    assert str(caught.value) == (f"{tmp_path / 'flatdex.yaml'}:2: remote.titel: unknown key\n  Did you mean `title`?")
    assert caught.value.exit_code is Exit.CONFIG


# Finding the file


def test_a_named_file_goes_before_the_environment_and_that_before_this_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    write(tmp_path, GOOD)
    assert configfile.find("a.yaml", {"FLATDEX_CONFIG": "b.yaml"}) == tmp_path / "a.yaml"
    assert configfile.find(None, {"FLATDEX_CONFIG": "b.yaml"}) == tmp_path / "b.yaml"
    assert configfile.find(None, {}) == tmp_path / "flatdex.yaml"


def test_the_system_s_file_is_the_last_place_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    system = write(tmp_path, GOOD, "system.yaml")
    monkeypatch.setattr(configfile, "SYSTEM", system)
    assert configfile.find(None, {}) == system


def test_where_was_looked_is_told_when_there_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(configfile, "SYSTEM", tmp_path / "system.yaml")
    with pytest.raises(ConfigError) as caught:
        configfile.find(None, {})
    assert str(caught.value) == (
        "flatdex.yaml:1: no configuration was found\n"
        f"  Looked for {tmp_path / 'flatdex.yaml'} and {tmp_path / 'system.yaml'}. Name one with -c FILE, or write"
        " one: `flatdex init URL`."
    )


# Lifetimes


@pytest.mark.parametrize(
    ("text", "seconds"),
    [("0s", 0), ("45s", 45), ("30m", 1800), ("2h", 7200), ("1d", 86400), ("1w", 604800), ("1y", 31536000)],
)
def test_a_lifetime_is_a_number_and_a_unit(tmp_path: Path, text: str, seconds: int) -> None:
    assert loaded(tmp_path, GOOD + f"cache: {{index: {text}}}\n").cache.index == seconds


@pytest.mark.parametrize("text", ["1", "m", "-1s", "1.5h", "1 h", "1H", "1s\n", "१s", ""])
def test_anything_else_is_no_lifetime(text: str) -> None:
    with pytest.raises(ValueError, match="not a lifetime"):
        spans.seconds(text)


@pytest.mark.parametrize("rate", ["3/0h", "0/1h", "100", "3/h1", "-1/h", "3/1w"])
def test_a_rate_that_is_none_is_refused(tmp_path: Path, rate: str) -> None:
    text = GOOD.replace('main: {registry: "http://127.0.0.1:5000"}', f'main: {{registry: "http://x", rate: "{rate}"}}')
    assert [problem.key for problem in problems(tmp_path, text)] == ["sources.main.rate"]


@pytest.mark.parametrize(("text", "number", "window"), [("100/6h", 100, 21600), ("5/s", 5, 1), ("2/30m", 2, 1800)])
def test_a_rate_is_a_number_in_a_span_of_time(text: str, number: int, window: int) -> None:
    assert (configfile.rate(text).number, configfile.rate(text).window) == (number, window)

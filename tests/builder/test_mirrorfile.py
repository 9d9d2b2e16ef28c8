"""The `mirror:` section becomes frozen values, and whatever is wrong in it is told with its key and a remedy."""

from __future__ import annotations

from pathlib import Path

import pytest

from builder import mirrorfile
from tests.builder.helpers import loaded, problems

KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIAABAgMEBQYHCAkKCwwNDg8QERITFBUWFxgZGhscHR4f"
WHOLE = f"""\
store: ./store
mirror:
  from: ["https://flatpaks.example.org/", "file:///media/stick", "./here"]
  only: ["org.gnome.*", "app/org.kde.krita//stable"]
  architectures: [amd64]
  tags: [latest]
  dependencies: false
  trusted_keys: ["{KEY} somebody", ./keys]
  remote_id: "https://flatpaks.example.org/"
  sources_folder: ./sources.d
  mounts: true
  discover: 5s
  parallel: 4
remote: {{url: "http://lan.example.org/"}}
languages: [de]
targets:
  web: {{rsync: ./web}}
"""
SMALL = 'store: ./store\nmirror: {from: ["https://flatpaks.example.org/"]}\n'


def test_a_section_is_taken_as_written(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(f"# ours\n\n{KEY}\n")
    config = loaded(tmp_path, WHOLE)
    mirror = config.mirror
    assert mirror is not None
    assert mirror.sources == ("https://flatpaks.example.org/", "file:///media/stick", str(tmp_path / "here"))
    assert mirror.only == ("org.gnome.*", "app/org.kde.krita//stable")
    assert (mirror.architectures, mirror.tags, mirror.dependencies) == (("amd64",), ("latest",), False)
    assert mirror.trusted_keys == (KEY,)
    assert mirror.sources_folder == tmp_path / "sources.d"
    assert (mirror.mounts, mirror.discover, mirror.parallel) == (".flatdex", 5, 4)
    assert set(mirror.own) == {"remote", "languages", "targets"}
    assert list(config.targets) == ["web"]
    assert (config.sources, config.indexes, config.remote) == ((), (), None)


def test_little_is_enough(tmp_path: Path) -> None:
    mirror = loaded(tmp_path, SMALL).mirror
    assert mirror is not None
    assert (mirror.only, mirror.dependencies, mirror.mounts, mirror.discover) == ((), True, "", 0)
    assert mirror.sources_folder == mirrorfile.SOURCES_FOLDER


@pytest.mark.parametrize(
    ("change", "key", "what"),
    [
        (("mirror: {", "sources: {a: {registry: 'http://x/'}}\nmirror: {"), "sources", "no `sources` of its own"),
        (("mirror: {", "indexes: {a: {tags: [latest]}}\nmirror: {"), "indexes", "no `indexes` of its own"),
        (("mirror: {", "remote: {id: other}\nmirror: {"), "remote.id", "identity of the remote"),
        (("mirror: {", "remote: {url: nowhere}\nmirror: {"), "remote.url", "URL"),
        (("{from", "{form"), "mirror.form", "unknown key"),
        (('{from: ["https://flatpaks.example.org/"]}', "{only: [a.b.c]}"), "mirror", "no source is named"),
        (("from: [", "only: ['a b'], from: ["), "mirror.only[0]", ""),
        (("from: [", "trusted_keys: [./nowhere.pub], from: ["), "mirror.trusted_keys[0]", "No such file"),
        (("from: [", "trusted_keys: ['ssh-ed25519 AAAA'], from: ["), "mirror.trusted_keys[0]", "ssh-ed25519 AAAA"),
        (("from: [", "discover: soon, from: ["), "mirror.discover", ""),
        (("from: [", "mounts: /a/b, from: ["), "mirror.mounts", ""),
        (("from: [", "architectures: [x_ 4], from: ["), "mirror.architectures[0]", ""),
        (("mirror: {", "languages: [tlhh-Q]\nmirror: {"), "languages[0]", ""),
    ],
)
def test_what_is_wrong_is_told_with_its_key(tmp_path: Path, change: tuple[str, str], key: str, what: str) -> None:
    found = problems(tmp_path, SMALL.replace(*change))
    assert key in [problem.key for problem in found]
    assert what in next(problem.what for problem in found if problem.key == key)


def test_architectures_by_flatpaks_names_get_a_hint(tmp_path: Path) -> None:
    found = problems(tmp_path, SMALL.replace("from: [", "architectures: [x86_64], from: ["))
    assert [(each.key, each.fix) for each in found] == [("mirror.architectures[0]", "Did you mean `amd64`?")]

"""Hosts that ignore query strings: each tag is found at its own URL, and what such hosts lack is told."""

from __future__ import annotations

from pathlib import Path

from tests.doctor import site
from tests.doctor.site import CONFIG, build, codes, seen
from tests.real.plain import PlainHost

TWO_TAGS = """
store: ./store
remote: {name: example, title: Example, url: "https://flatpaks.example.org/", plain_host: true}
sources:
  one: {layouts: ["./images/*"]}
  two: {layouts: ["./images/org.flatdex.Platform"], tag: testing}
indexes:
  defaults: {annotations: true}
  stable: {tags: [latest], sources: [one]}
  testing: {tags: [testing], sources: [two]}
"""
# Such hosts send no lifetime and no ETag, pack nothing, and call the index what its missing ending says.
LACKS = {"cache-silent", "etag-dated", "index-type", "annotations-missing"}


def test_a_dumb_host(real_tmp: Path) -> None:
    flatdex = build(real_tmp / "flatdex", CONFIG)
    with PlainHost(real_tmp / "host", flatdex.root) as host:
        url = host.url
        assert codes(url) - {"icon-lifetime", "page-policy"} == LACKS


def test_each_tag_of_a_dumb_host(real_tmp: Path) -> None:
    flatdex = build(real_tmp / "flatdex", TWO_TAGS)
    with PlainHost(real_tmp / "host", flatdex.root) as host:
        url = host.url
        assert [visit.gzip.url.partition("?")[0] for visit in seen(url).visits] == [
            f"{url}index/static",
            f"{url}testing/index/static",
        ]
        assert codes(url) - {"icon-lifetime", "page-policy"} == LACKS
        assert codes(f"{url}testing/#testing") - {"icon-lifetime", "page-policy", "file-none"} == LACKS
        assert "other-tag" in codes(f"{url}testing/")


def test_the_files_of_other_tags_are_no_fault_of_one(real_tmp: Path) -> None:
    """They have URLs of their own here, and each is held against its own tag's index."""
    config = site.TWO_TAGS.replace("name: example,", "name: example, plain_host: true,")
    flatdex = site.build_two_tags(real_tmp / "flatdex", config)
    with PlainHost(real_tmp / "host", flatdex.root) as host:
        for tags in ((), ("latest",), ("beta",)):
            others = set() if tags == ("latest",) else {"runtime-elsewhere"}
            assert codes(host.url, tags=tags) - {"icon-lifetime", "page-policy"} == LACKS | others
    name = "refs/beta/stable/org.flatdex.Demo.flatpakref"
    copy = site.copied(flatdex, real_tmp)
    copy.edit(name, "Name=org.flatdex.Demo", "Name=org.flatdex.Other")
    with PlainHost(real_tmp / "other", copy.root) as host:
        assert "file-unknown-ref" in codes(host.url) and "file-unknown-ref" not in codes(host.url, tags=("latest",))


def test_one_answer_for_all_architectures(real_tmp: Path) -> None:
    """There an index for one machine holds what is for others, too."""
    config = CONFIG.replace("[amd64]", "[arm64]")
    flatdex = build(real_tmp / "flatdex", config)
    with PlainHost(real_tmp / "host", flatdex.root) as host:
        url = host.url
        assert "query-ignored" in codes(url, architectures=("arm64",))

"""Hosts that ignore query strings: each tag is found at its own URL, and what such hosts lack is told."""

from __future__ import annotations

from pathlib import Path

from tests.doctor.site import CONFIG, build, codes, seen
from tests.real.plain import PlainHost

TWO_TAGS = """
store: ./store
remote: {name: example, title: Example, url: "https://flatpaks.example.org/"}
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
        site = seen(url)
        assert [visit.gzip.url.partition("?")[0] for visit in site.visits] == [
            f"{url}index/static",
            f"{url}testing/index/static",
        ]
        assert codes(url) - {"icon-lifetime", "page-policy"} == LACKS
        assert codes(f"{url}testing/#testing") - {"icon-lifetime", "page-policy", "file-none"} == LACKS
        assert "other-tag" in codes(f"{url}testing/")


def test_one_answer_for_all_architectures(real_tmp: Path) -> None:
    """There an index for one machine holds what is for others, too."""
    config = CONFIG.replace("[amd64]", "[arm64]")
    flatdex = build(real_tmp / "flatdex", config)
    with PlainHost(real_tmp / "host", flatdex.root) as host:
        url = host.url
        assert "query-ignored" in codes(url, architectures=("arm64",))

"""Checks of the files that name a remote: `.flatpakrepo` and `.flatpakref`, whose URLs clients compare byte by byte."""

from __future__ import annotations

from collections.abc import Iterator

from builder.doctor.findings import Finding, finding
from builder.doctor.place import named_by
from builder.doctor.seen import KeyFile, Site
from builder.doctor.tags import is_known, known_tags, meant_by, offered


def files(site: Site) -> Iterator[Finding]:
    """All of them."""
    if not site.repo_files and site.answered:
        yield finding("file-none", site.url, "no .flatpakrepo file was found, nor a link to one on the front page")
    for file in (*site.repo_files, *site.ref_files):
        yield from _file(site, file)
    for file in site.repo_files:
        values = file.values or {}
        if "CollectionID" in values and "GPGKey" not in values:
            yield finding("file-key", file.url, "a CollectionID without a GPGKey: clients up to 1.16 refuse it")
        if values.get("GPGKey") and not values.get("SignatureLookaside"):
            yield finding("file-key", file.url, "a GPGKey without a SignatureLookaside: each installation fails")
    yield from _refs(site)


def _file(site: Site, file: KeyFile) -> Iterator[Finding]:
    if not file.answer.good:
        yield finding("file-unreachable", file.url, file.answer.told)
        return
    if file.values is None:
        yield finding("file-malformed", file.url, "it has no such group, or a line that is no KEY=VALUE")
        return
    given = file.values.get("Url", "")
    named = named_by(given)
    if not given:
        yield finding("file-malformed", file.url, "it has no Url")
    elif named is None:
        yield finding("file-url", file.url, f"Url={given[:200]} does not start with oci+")
    elif named not in _good_urls(site):
        slash = ": a slash too many, or too few" if named.rstrip("/") == site.public.rstrip("/") else ""
        yield finding("file-url", file.url, f"Url={given[:200]} is not oci+{site.public}{slash}")


def _good_urls(site: Site) -> set[str]:
    """The remote's URL, and those of its tags on hosts that ignore query strings."""
    return {site.public, *(f"{site.public.rstrip('/')}/{tag}/" for tag in known_tags(site))}


def _refs(site: Site) -> Iterator[Finding]:
    """Whether each names something: in the index of the tag that its Url means, if that was looked at."""
    there = {
        tag: {(ref.kind, ref.id, ref.branch) for ref in offered(site, tag)} for tag in site.tags if is_known(site, tag)
    }
    for file in site.ref_files:
        values = file.values
        if values is None or not site.answered:
            continue
        tag = (meant_by(site, values.get("Url", "")) or ("", False))[0]
        kind = "runtime" if values.get("IsRuntime", "").strip().lower() == "true" else "app"
        name, branch = values.get("Name", ""), values.get("Branch", "master")
        if not name:
            yield finding("file-malformed", file.url, "it has no Name")
        elif tag in there and (kind, name, branch) not in there[tag]:
            yield finding("file-unknown-ref", file.url, f"{kind}/{name[:200]}//{branch[:100]} is not in tag {tag}")

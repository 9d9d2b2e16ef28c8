"""Whether applications find their runtimes: in their own tag's index, or where their `.flatpakref` file sends clients.

A tag is a remote of its own to clients: what another tag of the same site offers they find only if they are told.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from builder import flatpak
from builder.description import Snapshot
from builder.doctor.findings import Finding, finding
from builder.doctor.place import below
from builder.doctor.seen import Site
from builder.doctor.tags import labels_of, listings_of, meant_by, offered, ref_of
from builder.flatpak import Ref

_END = ".flatpakref"
_MOST_FILES = 200


@dataclass(frozen=True)
class Need:
    """An application, whose `runtime` (`ID/ARCH/BRANCH`) is not in its tag's index."""

    where: str
    tag: str
    ref: Ref
    runtime: str


def needs(site: Site) -> Iterator[Need]:
    """All of them."""
    for tag in site.tags:
        found = list(listings_of(site, tag))
        there = {labels_of(entry).get(flatpak.REF, "") for _, listing in found for entry in listing.entries}
        for visit, listing in found:
            for entry in listing.entries:
                ref, runtime = ref_of(entry), _runtime_of(labels_of(entry).get(flatpak.METADATA, ""))
                if ref and ref.kind == "app" and runtime and f"runtime/{runtime}" not in there:
                    yield Need(f"{visit.where}: {entry.where}", tag, ref, runtime)


def _runtime_of(metadata: str) -> str:
    inside = False
    for line in metadata.splitlines():
        if line.startswith("["):
            inside = line.strip() == "[Application]"
        elif inside and line.partition("=")[0].strip() == "runtime":
            return line.partition("=")[2].strip()
    return ""


def telling(site: Site, snapshot: Snapshot) -> tuple[str, ...]:
    """The paths of files that tell where runtimes are: for each of a tag that isn't there, that of one application.

    So the answer does not hang on how large a sample is.
    """
    paths = {entry.path for entry in snapshot.files if entry.path.startswith("refs/") and entry.path.endswith(_END)}
    apart = {(path.split("/")[1], path.rpartition("/")[2]) for path in paths if path.count("/") > 1}
    found: dict[tuple[str, str], str] = {}
    for need in needs(site):
        name = f"{need.ref.id}{_END}"
        path = f"refs/{need.tag}/{need.ref.branch}/{name}"
        if (need.tag, name) not in apart:  # then the short name is this tag's, if there is one
            path = f"refs/{name}"
        key = need.tag, need.runtime
        if path in paths:
            found[key] = min(path, found.get(key, path))
    return tuple(sorted(set(found.values())))[:_MOST_FILES]


def runtimes(site: Site) -> Iterator[Finding]:
    """Whether applications find their runtimes."""
    told = _told(site)
    wanted = list(needs(site))
    by_runtime: dict[tuple[str, str], str] = {}
    for need in sorted(wanted, key=lambda each: (each.ref.id, each.ref.branch)):
        repo = told.get((need.tag, need.ref.id, need.ref.branch))
        if repo is not None:
            by_runtime.setdefault((need.tag, need.runtime), repo)
    by_tag = {tag: repo for (tag, _, _), repo in told.items() if repo}
    there = {tag: {str(ref) for ref in offered(site, tag)} for tag in (site.tags if wanted else ())}
    for need in wanted:
        repo = told.get((need.tag, need.ref.id, need.ref.branch))
        if repo is None:
            repo = by_runtime.get((need.tag, need.runtime), by_tag.get(need.tag, ""))
        yield _judged(site, need, repo, there)


def _told(site: Site) -> Mapping[tuple[str, str, str], str]:
    """The `RuntimeRepo` of each file that was read, by tag, id and branch; empty where it has none."""
    found: dict[tuple[str, str, str], str] = {}
    for file in site.ref_files:
        values = file.values or {}
        meant = meant_by(site, values.get("Url", ""))
        if meant:
            key = meant[0], values.get("Name", ""), values.get("Branch", "master")
            found.setdefault(key, values.get("RuntimeRepo", ""))
    return found


def _judged(site: Site, need: Need, repo: str, there: Mapping[str, set[str]]) -> Finding:
    runtime = f"runtime/{need.runtime[:200]}"
    if not repo:
        other = next((tag for tag, refs in there.items() if f"runtime/{need.runtime}" in refs), "")
        only = f": only tag {other} has it, which is another remote to clients" if other else ""
        return finding("runtime-missing", need.where, f"{runtime} is not in tag {need.tag}{only}")
    own = _own_tag(site, repo)
    if own in there and there[own] and f"runtime/{need.runtime}" not in there[own]:
        told = f"{runtime} is not in tag {need.tag}, nor in tag {own}, which {repo[:200]} leads to"
        return finding("runtime-missing", need.where, told)
    return finding("runtime-elsewhere", need.where, f"{runtime} comes from {repo[:200]}")


def _own_tag(site: Site, repo: str) -> str:
    """The tag of this site that a `.flatpakrepo` URL leads to; empty: none, it is another remote's."""
    root, public = below(site.url, ""), below(site.public, "")
    for file in site.repo_files:
        if file.url.startswith(root) and repo in (file.url, public + file.url.removeprefix(root)):
            meant = meant_by(site, (file.values or {}).get("Url", ""))
            return meant[0] if meant else ""
    return ""

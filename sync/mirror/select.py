"""Which images of a list a mirror takes: those that were asked for, and what these need (pure)."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase

from builder.flatpak import Ref, key_file


@dataclass(frozen=True, order=True)
class Offer:
    """An image of a list: the index that has it, its ref, and where it lies; `metadata` is flatpak's key file."""

    index: str
    ref: Ref
    repository: str
    digest: str
    architecture: str
    metadata: str


@dataclass(frozen=True)
class Choice:
    """What to take: `only` are patterns such as `org.gnome.*` or `app/org.kde.krita//stable`; none: all.

    An empty list of architectures (OCI's names) means all of them.
    """

    only: tuple[str, ...] = ()
    architectures: tuple[str, ...] = ()
    dependencies: bool = True


@dataclass(frozen=True)
class Selected:
    """What is taken; `lacking` tells for a ref that the list lacks who needs it, `unmatched` patterns fit nothing."""

    offers: tuple[Offer, ...]
    needed: frozenset[Offer] = frozenset()
    """Those that nobody asked for, but something that was asked for needs."""
    lacking: Mapping[str, str] | None = None
    unmatched: tuple[str, ...] = ()


def selected(offers: Iterable[Offer], choice: Choice) -> Selected:
    """What `choice` takes of the offers, in a fixed order."""
    near = [each for each in offers if not choice.architectures or each.architecture in choice.architectures]
    asked = [each for each in near if not choice.only or any(fits(pattern, each.ref) for pattern in choice.only)]
    unmatched = tuple(pattern for pattern in choice.only if not any(fits(pattern, each.ref) for each in near))
    taken = dict.fromkeys(asked)
    lacking: dict[str, str] = {}
    if choice.dependencies:
        known = _Known(near)
        waiting = list(asked)
        while waiting:
            each = waiting.pop()
            for needed in known.needed(each, lacking):
                if needed not in taken:
                    taken[needed] = None
                    waiting.append(needed)
    return Selected(tuple(sorted(taken)), frozenset(taken).difference(asked), lacking, unmatched)


def fits(pattern: str, ref: Ref) -> bool:
    """Whether a pattern means a ref: `ID`, or `[KIND/]ID/ARCH/BRANCH`, each part a glob; an empty part fits all.

    >>> fits("org.gnome.*", Ref("app", "org.gnome.Maps", "x86_64", "stable"))
    True
    >>> fits("app/org.kde.krita//stable", Ref("app", "org.kde.krita", "x86_64", "beta"))
    False
    """
    parts = pattern.split("/")
    if parts[0] not in ("app", "runtime", "*", ""):
        parts.insert(0, "")
    wanted = (*parts, "", "", "")[:4]
    have = (ref.kind, ref.id, ref.arch, ref.branch)
    return len(parts) <= 4 and all(
        not part or fnmatchcase(value, part) for part, value in zip(wanted, have, strict=True)
    )


class _Known:
    """The offers by what others need them as."""

    def __init__(self, offers: Sequence[Offer]) -> None:
        self._by_ref: dict[str, list[Offer]] = defaultdict(list)
        self._extensions: dict[tuple[str, str], list[Offer]] = defaultdict(list)
        for each in offers:
            self._by_ref[str(each.ref)].append(each)
            if each.ref.kind == "runtime":
                self._extensions[each.ref.arch, each.ref.branch].append(each)

    def needed(self, offer: Offer, lacking: dict[str, str]) -> Iterator[Offer]:
        """Its runtime, and the extensions that clients install along with it; of the same index, if that has them."""
        for name in _runtimes(offer):
            ref = f"runtime/{name}"
            if ref in self._by_ref:
                yield _nearest(self._by_ref[ref], offer.index)
            else:
                lacking.setdefault(ref, str(offer.ref))
        for point in extension_points(offer.metadata):
            for branch in point.branches or (offer.ref.branch,):
                found: dict[str, list[Offer]] = defaultdict(list)
                for each in self._extensions.get((offer.ref.arch, branch), ()):
                    if each.ref.id == point.name or (point.below and each.ref.id.startswith(f"{point.name}.")):
                        found[str(each.ref)].append(each)
                yield from (_nearest(same, offer.index) for same in found.values())


def _nearest(offers: Sequence[Offer], index: str) -> Offer:
    return next((each for each in offers if each.index == index), offers[0])


def _runtimes(offer: Offer) -> Iterator[str]:
    group = "Application" if offer.ref.kind == "app" else ""
    name = key_file(offer.metadata).get(group, {}).get("runtime", "") if group else ""
    if name.count("/") == 2:
        yield name


@dataclass(frozen=True)
class Point:
    """Where an extension fits in: its name, with `below` all that start with it and a dot; no branches: its own."""

    name: str
    branches: tuple[str, ...]
    below: bool


def extension_points(metadata: str) -> Iterator[Point]:
    """The extensions that a client installs by itself; what it does not (`no-autodownload`) is nobody's need."""
    for group, values in key_file(metadata).items():
        kind, _, name = group.partition(" ")
        if kind == "Extension" and name and not _true(values.get("no-autodownload")):
            several = tuple(filter(None, values.get("versions", "").split(";")))
            one = (values["version"],) if values.get("version") else ()
            yield Point(name.partition("@")[0], several or one, _true(values.get("subdirectories")))


def _true(value: str | None) -> bool:
    return value in ("true", "1")

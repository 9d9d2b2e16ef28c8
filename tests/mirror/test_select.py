"""What is taken of a list: patterns, runtimes and extensions; and what is not."""

from __future__ import annotations

import pytest

from builder.flatpak import Ref, parse_ref
from sync.mirror.select import Choice, Offer, Point, extension_points, fits, selected

ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def offer(ref: str, metadata: str = "", index: str = "stable") -> Offer:
    parsed = parse_ref(ref)
    return Offer(index, parsed, f"{index}/{parsed.id.lower()}", f"sha256:{ref}", ARCHITECTURES[parsed.arch], metadata)


def app(name: str, runtime: str = "org.a.Platform/x86_64/1", more: str = "", index: str = "stable") -> Offer:
    metadata = f"[Application]\nname={name}\nruntime={runtime}\n{more}"
    return offer(f"app/{name}/{runtime.split('/')[1]}/stable", metadata, index)


PLATFORM = offer("runtime/org.a.Platform/x86_64/1", "[Runtime]\nname=org.a.Platform\n")
MAPS, CHESS = app("org.a.Maps"), app("org.b.Chess")


def refs(offers: list[Offer], *only: str, **choice: object) -> list[str]:
    found = selected(offers, Choice(tuple(only), **choice))  # type: ignore[arg-type]
    return [str(each.ref) for each in found.offers]


@pytest.mark.parametrize(
    ("pattern", "meant"),
    [
        ("org.a.Maps", True),
        ("org.a.*", True),
        ("org.b.*", False),
        ("app/org.a.Maps", True),
        ("runtime/org.a.Maps", False),
        ("app/org.a.Maps//stable", True),
        ("app/org.a.Maps//beta", False),
        ("app/org.a.Maps/aarch64/stable", False),
        ("org.a.Maps//st*", True),
        ("*/org.a.Maps", True),
        ("org.a.Maps/x86_64", True),
        ("app/org.a.Maps/x86_64/stable/more", False),
        ("*", True),
        ("app/*", True),
        ("runtime/*", False),
    ],
)
def test_patterns_mean_ids_or_refs(pattern: str, meant: bool) -> None:
    assert fits(pattern, Ref("app", "org.a.Maps", "x86_64", "stable")) is meant


def test_without_patterns_all_is_taken_each_once_in_order() -> None:
    assert refs([CHESS, PLATFORM, MAPS]) == refs([MAPS, CHESS, PLATFORM])
    assert len(refs([CHESS, PLATFORM, MAPS])) == 3


def test_a_runtime_comes_along_and_is_told_apart() -> None:
    found = selected([MAPS, CHESS, PLATFORM], Choice(("org.b.*",)))
    assert found.offers == (CHESS, PLATFORM)
    assert found.needed == {PLATFORM}
    assert refs([MAPS, CHESS, PLATFORM], "org.b.*", dependencies=False) == [str(CHESS.ref)]


def test_who_needs_what_is_not_there_is_told() -> None:
    found = selected([MAPS], Choice())
    assert found.lacking == {"runtime/org.a.Platform/x86_64/1": str(MAPS.ref)}


def test_a_pattern_that_fits_nothing_is_told() -> None:
    assert selected([MAPS, PLATFORM], Choice(("org.a.Maps", "org.z.*"))).unmatched == ("org.z.*",)


def test_architectures_are_chosen_by_their_oci_names() -> None:
    arm = app("org.a.Maps", "org.a.Platform/aarch64/1")
    assert refs([MAPS, arm], architectures=("arm64",)) == [str(arm.ref)]


def test_a_runtime_of_the_same_index_comes_before_that_of_another() -> None:
    testing = offer("runtime/org.a.Platform/x86_64/1", index="testing")
    wanted = app("org.a.Maps", index="testing")
    assert selected([PLATFORM, testing, wanted], Choice(("org.a.Maps",))).needed == {testing}
    assert selected([PLATFORM, wanted], Choice(("org.a.Maps",))).needed == {PLATFORM}


def test_extensions_come_along_also_those_of_the_runtime() -> None:
    point = "[Extension org.a.Platform.GL]\nversions=1;1.4\nsubdirectories=true\n"
    platform = offer("runtime/org.a.Platform/x86_64/1", f"[Runtime]\n{point}")
    own = app("org.a.Maps", more="[Extension org.a.Maps.Locale]\ndirectory=x\nautodelete=true\n")
    locale = offer("runtime/org.a.Maps.Locale/x86_64/stable")
    old_locale = offer("runtime/org.a.Maps.Locale/x86_64/beta")
    gl, gl_old, gl_other = (
        offer(f"runtime/org.a.Platform.GL.{name}/x86_64/{branch}")
        for name, branch in (("d", "1.4"), ("d", "2"), ("e", "1"))
    )
    every = [platform, own, locale, old_locale, gl, gl_old, gl_other]
    found = selected(every, Choice(("org.a.Maps",)))
    assert set(found.offers) == {platform, own, locale, gl, gl_other}


def test_what_clients_do_not_download_by_themselves_stays() -> None:
    own = app("org.a.Maps", more="[Extension org.a.Maps.Debug]\nno-autodownload=true\n")
    debug = offer("runtime/org.a.Maps.Debug/x86_64/stable")
    assert refs([own, debug, PLATFORM], "org.a.Maps") == [str(own.ref), str(PLATFORM.ref)]


def test_runtimes_that_need_each_other_end() -> None:
    one = offer("runtime/org.a.One/x86_64/1", "[Runtime]\n[Extension org.a.Two]\nversion=1\n")
    two = offer("runtime/org.a.Two/x86_64/1", "[Runtime]\n[Extension org.a.One]\nversion=1\n")
    assert refs([one, two], "org.a.One") == [str(one.ref), str(two.ref)]


def test_extension_points_are_read_as_clients_read_them() -> None:
    text = (
        "[Extension a.b.C@x]\nversions=1;2;\nversion=3\n[Extension d.e.F]\nsubdirectories=true\n[ExtensionOf]\nref=x\n"
    )
    assert list(extension_points(text)) == [Point("a.b.C", ("1", "2"), False), Point("d.e.F", (), True)]


@pytest.mark.parametrize("text", ["", "no key file", "[Extension", "[Application]\nruntime=a/b\n", "\x00[=]="])
def test_metadata_that_is_none_needs_nothing(text: str) -> None:
    assert selected([offer("app/org.a.Maps/x86_64/stable", text)], Choice()).lacking == {}

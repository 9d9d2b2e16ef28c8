"""Advice: what will hurt clients later, told in a fixed order, and never a reason to leave something out."""

from __future__ import annotations

import base64

import pytest

from builder import flatpak
from builder.advice import Advice, advice, runtime_of
from builder.catalog import Image
from tests.builder.helpers import flatpak_labels, image, ref_of

RUNTIME = "runtime/org.flatdex.Platform/x86_64/stable"
END = "org.flatpak.commit-metadata.ostree.endoflife"


def told(*images: Image) -> list[tuple[str, str]]:
    """Codes, and what they are about."""
    return [(each.code, each.about) for each in advice({"stable": images})]


def variant(text: str) -> str:
    """A text as commit metadata carries it."""
    return base64.b64encode(text.encode() + b"\0\0s").decode()


def test_a_runtime_that_no_index_offers_is_told_once_with_a_count() -> None:
    (each,) = advice({"stable": tuple(image(ref_of(name)) for name in "BAC")})
    assert (each.code, each.about) == ("runtime-missing", RUNTIME)
    assert each.what == f"no index offers it, which is wanted here by 3 applications, such as {ref_of('A')}"
    (each,) = advice({"stable": (image(),)})
    assert "by 1 application," in each.what


def test_an_offered_runtime_silences_it_also_from_another_index() -> None:
    runtime = image(RUNTIME)
    assert told(image(), runtime) == []
    (each,) = advice({"stable": (image(),), "runtimes": (runtime,)})
    assert (each.code, each.about) == ("runtime-in-other-index", RUNTIME)
    assert "in the index stable by 1 application" in each.what
    assert "only runtimes offers it" in each.what
    assert advice({"stable": (image(), runtime), "runtimes": (runtime,)}) == ()
    other = image("runtime/org.flatdex.Platform/x86_64/other")
    assert told(image(), other) == [("runtime-missing", RUNTIME)]


def test_an_image_in_two_indexes_counts_once() -> None:
    (each,) = advice({"stable": (image(),), "testing": (image(),)})
    assert "by 1 application," in each.what


def test_a_runtime_needs_no_runtime_and_an_application_without_one_none_either() -> None:
    labels = flatpak_labels(**{flatpak.METADATA: "[Application]\nname=x\n"})
    assert told(image(labels=labels)) == []
    assert told(image("runtime/org.flatdex.Sdk/x86_64/stable")) == []


def test_a_manifest_without_its_type_is_told() -> None:
    each = advice({"stable": (image(RUNTIME, names_type=False),)})
    assert each == (
        Advice(
            "no-media-type",
            RUNTIME,
            "the manifest in hello has no `mediaType`: system-wide installation from files fails",
        ),
    )


@pytest.mark.parametrize(
    ("label", "what"), [(END, "is at its end of life"), (END + "-rebase", "has a successor")], ids=["end", "rebase"]
)
def test_the_end_of_life_is_told_with_its_reason(label: str, what: str) -> None:
    def of(value: str) -> str:
        (each,) = advice({"stable": (image(RUNTIME, labels=flatpak_labels(RUNTIME, **{label: value})),)})
        assert (each.code, each.about) == ("end-of-life", RUNTIME)
        return each.what

    assert of(variant("use org.flatdex.Other")) == f"{what}: use org.flatdex.Other"
    assert of("not base64") == what
    assert of(variant("two\nlines\t and\x00")) == f"{what}: two lines and\x00"
    assert of(variant("x" * 1000)) == f"{what}: {'x' * 200}"


def test_a_hostile_runtime_makes_no_long_line() -> None:
    labels = flatpak_labels(**{flatpak.METADATA: "[Application]\nruntime=" + "x" * 100_000})
    (each,) = advice({"stable": (image(labels=labels),)})
    assert len(each.about) < 300


def test_the_order_of_images_doesn_t_matter() -> None:
    images = [image(ref_of(name), names_type=name != "B") for name in "ABC"]
    assert advice({"stable": tuple(images)}) == advice({"stable": tuple(reversed(images))})


@pytest.mark.parametrize(
    ("metadata", "runtime"),
    [
        ("[Application]\nruntime=a/b/c\n", "a/b/c"),
        ("# x\n\n[Application]\nname=x\n runtime = a/b/c \n", "a/b/c"),
        ("[Other]\nruntime=no\n[Application]\nruntime=a/b/c", "a/b/c"),
        ("[Runtime]\nruntime=no\n", ""),
        ("[Application]\n[Context]\nruntime=no\n", ""),
        ("runtime=no\n", ""),
        ("", ""),
    ],
)
def test_the_runtime_is_that_of_the_application_group(metadata: str, runtime: str) -> None:
    assert runtime_of(metadata) == runtime

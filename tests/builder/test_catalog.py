"""What an index takes: exactly one image for each ref, by declared priority, in any order of arrival."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder import flatpak
from builder.catalog import Catalog, Image, Skip, choose, collected
from builder.config import Index
from tests.builder.helpers import digest, flatpak_labels, image, ref_of

INDEX = Index("all", ("main", "other"), ("latest", "stable"))


def chosen(*images: Image, index: Index = INDEX) -> Catalog:
    """What an index takes of these."""
    return choose(collected(images), index)


def one_code(one: Image, index: Index = INDEX) -> str:
    """Why an image was left out."""
    catalog = chosen(one, index=index)
    assert catalog.images == ()
    (skip,) = catalog.skips
    assert (skip.source, skip.repository, skip.reference) == (one.source, one.repository, one.digest)
    return skip.code


def test_a_flatpak_is_taken() -> None:
    assert chosen(image()) == Catalog((image(),))


def test_images_of_other_sources_and_tags_are_not_looked_at() -> None:
    broken = image(labels={})
    assert chosen(replace(broken, source="elsewhere"), replace(broken, tags=frozenset({"beta"}))) == Catalog()


def test_only_the_index_s_own_tags_are_kept() -> None:
    (one,) = chosen(image(tags=frozenset({"latest", "beta"}))).images
    assert one.tags == {"latest"}


@pytest.mark.parametrize(
    ("labels", "code"),
    [
        ({}, "not-a-flatpak"),
        ({"maintainer": "me"}, "not-a-flatpak"),
        (flatpak_labels("no ref"), "bad-ref"),
        (flatpak_labels("app/../x86_64/stable"), "bad-ref"),
        ({flatpak.REF: ""}, "bad-ref"),
        ({flatpak.REF: ref_of()}, "no-metadata"),
        (flatpak_labels(**{flatpak.METADATA: ""}), "no-metadata"),
        (flatpak_labels(**{flatpak.METADATA: "other"}), "metadata-mismatch"),
        (flatpak_labels(**{flatpak.COMMIT_METADATA: "broken"}), "metadata-mismatch"),
    ],
)
def test_a_faulty_image_is_a_skip_with_its_reason(labels: dict[str, str], code: str) -> None:
    assert one_code(image(labels=labels)) == code


def test_a_required_label_is_met_by_an_annotation_too() -> None:
    index = Index("all", ("main",), ("latest",), required_labels=(flatpak.REF, "org.example.Ok"))
    assert one_code(image(), index) == "label-missing"
    assert chosen(image(annotations={"org.example.Ok": ""}), index=index).images


def test_images_with_annotations_alone_are_taken() -> None:
    assert len(chosen(image(labels={}, annotations=flatpak_labels())).images) == 1


def test_only_what_an_admin_can_mend_asks_for_action() -> None:
    codes = ("not-a-flatpak", "attestation", "duplicate-ref", "bad-ref", "malformed", "missing-blob", "icon-rejected")
    acting = [code for code in codes if Skip("s", "r", "d", code, "why").act]
    assert acting == ["bad-ref", "malformed", "missing-blob"]


# One image for each ref


def rivals(better: dict[str, Any], worse: dict[str, Any]) -> tuple[Image, Image]:
    """Two images with one ref in two repositories."""
    return image(**{"repository": "b", **better}), image(**{"repository": "a", **worse})


PREFERENCES = [
    ({"source": "main", "rank": 9, "created": "2000-01-01T00:00:00Z"}, {"source": "other"}),
    ({"rank": 0, "created": "2000-01-01T00:00:00Z"}, {"rank": 1}),
    ({"created": "2026-01-02T00:00:00Z", "digest": digest("b")}, {"created": "2026-01-01T23:59:59Z"}),
    ({"created": "2026-01-01T00:00:00.000000002Z"}, {"created": "2025-12-31T23:59:59.999999999Z"}),
    ({"created": "2026-01-01T00:30:00Z"}, {"created": "2026-01-01T01:00:00+02:00"}),
    ({"created": "0001-01-01T00:00:01Z"}, {"created": ""}),
    ({"created": "2026-01-01T00:00:00Z"}, {"created": "yesterday"}),
    ({"created": "2026-01-02T00:00:00"}, {"created": "2026-01-01T00:00:00Z"}),
    ({"digest": "sha256:" + "b" * 64}, {"digest": "sha256:" + "a" * 64}),
]


@pytest.mark.parametrize(("better", "worse"), PREFERENCES)
@pytest.mark.parametrize("turned", [False, True])
def test_the_preferred_image_wins(better: dict[str, Any], worse: dict[str, Any], turned: bool) -> None:
    one, two = rivals(better, worse)
    catalog = chosen(*((two, one) if turned else (one, two)))
    assert catalog.images == (one,)
    (skip,) = catalog.skips
    assert skip.code == "duplicate-ref"
    assert (skip.repository, skip.reference) == (two.repository, two.digest)
    assert f"{one.repository}@{one.digest}" in skip.why


def test_a_faulty_image_does_not_win_over_a_good_one() -> None:
    good, bad = rivals({}, {"created": "2030-01-01T00:00:00Z", "labels": {flatpak.REF: ref_of()}})
    catalog = chosen(good, bad)
    assert catalog.images == (good,)
    assert [skip.code for skip in catalog.skips] == ["no-metadata"]


def test_one_image_under_two_tags_is_one_image() -> None:
    catalog = chosen(image(tags=frozenset({"latest"})), image(tags=frozenset({"stable"})))
    (one,) = catalog.images
    assert one.tags == {"latest", "stable"}
    assert catalog.skips == ()


def test_other_branches_and_architectures_are_other_refs() -> None:
    refs = [ref_of(), ref_of(branch="beta"), ref_of(kind="runtime")]
    other = image(ref_of(arch="aarch64"), architecture="arm64")
    assert sorted(each.ref for each in chosen(*map(image, refs), other).images) == sorted([*refs, other.ref])


@pytest.mark.parametrize(("arch", "architecture"), [("x86_64", "arm64"), ("aarch64", "amd64"), ("i386", "amd64")])
def test_an_image_for_another_architecture_than_its_ref_s_is_left_out(arch: str, architecture: str) -> None:
    catalog = chosen(image(ref_of(arch=arch), architecture=architecture))
    assert (catalog.images, [skip.code for skip in catalog.skips]) == ((), ["architecture-mismatch"])


def test_an_architecture_that_has_one_name_everywhere_is_its_own() -> None:
    assert len(chosen(image(ref_of(arch="riscv64"), architecture="riscv64")).images) == 1


def test_images_come_in_the_order_of_repository_ref_and_digest() -> None:
    images = [image(ref_of(name), repository=repository) for repository, name in (("b", "A"), ("a", "C"), ("a", "B"))]
    assert [(each.repository, each.ref) for each in chosen(*images).images] == [
        *(("a", ref_of("B")), ("a", ref_of("C")), ("b", ref_of("A"))),
    ]


IMAGES = st.lists(
    st.builds(
        lambda ref, source, repository, number, created, rank, labels: image(
            ref,
            source=source,
            repository=repository,
            digest=digest(str(number)),
            created=created,
            # A rank belongs to a repository, labels and the date belong to the bytes.
            rank=rank if repository == "a" else 0,
            labels={} if labels == 0 else flatpak_labels(ref),
        ),
        st.sampled_from([ref_of("A"), ref_of("B"), "bad"]),
        st.sampled_from(["main", "other", "third"]),
        st.sampled_from(["a", "b", "c"]),
        st.integers(0, 6),
        st.sampled_from(["", "2026-01-01T00:00:00Z", "2026-01-02T00:00:00Z", "x"]),
        st.integers(0, 2),
        st.integers(0, 5),
    ),
    max_size=10,
    unique_by=lambda each: (each.source, each.repository, each.digest),
)


@settings(max_examples=200, deadline=None)
@given(IMAGES, st.randoms(use_true_random=False))
def test_the_choice_is_the_same_in_any_order_of_arrival(images: list[Image], random: Any) -> None:
    before, all_of_them = chosen(*images), collected(images)
    random.shuffle(images)
    assert chosen(*images) == before
    assert collected(images) == all_of_them


@settings(max_examples=200, deadline=None)
@given(IMAGES)
def test_each_good_ref_is_taken_exactly_once_and_nothing_gets_lost(images: list[Image]) -> None:
    catalog = chosen(*images)
    refs = [each.ref for each in catalog.images]
    assert len(set(refs)) == len(refs)
    candidates = [each for each in images if each.source in INDEX.sources]
    assert set(refs) == {each.ref for each in candidates if each.labels and each.ref != "bad"}
    assert len(catalog.images) + len(catalog.skips) == len(candidates)


@given(st.lists(st.builds(Skip, *[st.sampled_from("ab")] * 5)))
def test_skips_are_counted_once_and_sorted(skips: list[Skip]) -> None:
    assert collected(skips).skips == tuple(sorted(set(skips)))

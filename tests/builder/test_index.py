"""Index files, in all forms and under the nastiest input, are what clients take."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder import flatpak, oci
from builder.catalog import Catalog, Image, choose, collected
from builder.config import Form, Index, Token
from builder.site import index
from tests.builder.helpers import digest, flatpak_labels, icon_uri, image, ref_of
from tests.builder.validity import assert_index_is_valid

APPDATA = '<?xml version="1.0"?><components><component><name>Grüße «日本語» 🐧</name></component></components>'
ALL = Index("all", ("main",), ("latest",))


def rendered(registry: str, images: Iterable[Image], form: Form, up: str = "") -> bytes:
    """An index with all metadata as it is when nothing is done about icons and appdata."""

    def entry(of: Image) -> bytes:
        return index.raised(index.entry(of, form, index.slim(of.metadata)), up)

    return b"".join(index.render(registry, images, entry, up).parts)


def entries(data: bytes) -> list[dict[str, Any]]:
    """The images of an index that clients take."""
    return [entry for result in assert_index_is_valid(data)["Results"] for entry in result["Images"]]


IMAGES = (
    image(),
    image(ref_of("Platform", kind="runtime"), repository="platform", media_type=oci.DOCKER_MANIFEST),
    image(
        ref_of("Welt"),
        repository="welt",
        labels={},
        annotations=flatpak_labels(ref_of("Welt"), **{flatpak.APPDATA: APPDATA}),
    ),
    image(
        ref_of("Zwei", "aarch64"),
        repository="zwei",
        architecture="arm64",
        tags=frozenset({"latest", "b", "a"}),
        labels=flatpak_labels(ref_of("Zwei", "aarch64"), **{"org.freedesktop.appstream.icon-64": "../icons/a.png"}),
        annotations={flatpak.REF: "app/org.flatdex.Other/x86_64/stable", "org.flatpak.download-size": "7"},
    ),
)


@pytest.mark.parametrize("form", Form)
@pytest.mark.parametrize("images", [(), IMAGES[:1], IMAGES], ids=["none", "one", "all"])
def test_every_form_is_what_clients_take(form: Form, images: tuple[Image, ...]) -> None:
    assert len(entries(rendered("../", images, form))) == len(images)


def test_an_empty_index_is_an_index() -> None:
    assert rendered("/", (), Form.LABELS) == b'{"Registry":"/","Results":[]}'


def test_one_image_byte_by_byte() -> None:
    one = image(labels={flatpak.REF: ref_of(), flatpak.METADATA: "[A]\n", "other": "x"})
    assert rendered("https://r.example.org/", (one,), Form.LABELS).decode() == (
        '{"Registry":"https://r.example.org/","Results":[{"Images":[{"Annotations":{},"Architecture":"amd64",'
        f'"Digest":"{one.digest}","Labels":{{"org.flatpak.metadata":"[A]\\n","org.flatpak.ref":"{ref_of()}"}},'
        '"MediaType":"application/vnd.oci.image.manifest.v1+json","OS":"linux","Tags":["latest"]}],"Lists":[],'
        '"Name":"hello"}]}'
    )


def test_metadata_stands_where_the_form_says() -> None:
    both = IMAGES[3]
    metadata = index.slim(both.metadata)
    (labels,) = entries(rendered("../", (both,), Form.LABELS))
    assert (labels["Labels"], labels["Annotations"]) == (metadata, {})
    (annotations,) = entries(rendered("../", (both,), Form.ANNOTATIONS))
    assert (annotations["Labels"], annotations["Annotations"]) == ({}, metadata)
    (each,) = entries(rendered("../", (both,), Form.BOTH))
    assert each["Labels"] == metadata
    assert set(each["Annotations"]) == {flatpak.REF, "org.flatpak.download-size"}


def test_labels_go_before_annotations() -> None:
    (entry,) = entries(rendered("../", (IMAGES[3],), Form.LABELS))
    assert entry["Labels"][flatpak.REF] == ref_of("Zwei", "aarch64")


def test_only_what_clients_read_is_kept() -> None:
    assert set(index.slim(flatpak_labels())) == {
        *("org.flatpak.ref", "org.flatpak.metadata", "org.flatpak.installed-size", "org.flatpak.download-size")
    }


@pytest.mark.parametrize(
    ("token", "label"),
    [(Token.AS_IMAGE, "own"), (Token.NONE, flatpak.TOKEN_NONE), (Token.REQUIRED, flatpak.TOKEN_REQUIRED)],
)
def test_the_token_is_that_of_the_source_where_it_says_one(token: Token, label: str) -> None:
    assert index.with_token({flatpak.TOKEN_TYPE: "own"}, token)[flatpak.TOKEN_TYPE] == label
    assert (flatpak.TOKEN_TYPE in index.with_token({}, token)) == (token is not Token.AS_IMAGE)


def test_relative_urls_are_raised_for_an_index_that_lies_deeper() -> None:
    data = rendered("../", (IMAGES[3],), Form.LABELS, up="../")
    (entry,) = entries(data)
    assert json.loads(data)["Registry"] == "../../"
    assert entry["Labels"]["org.freedesktop.appstream.icon-64"] == "../../icons/a.png"


@pytest.mark.parametrize("registry", ["/", "https://r.example.org/", "/registry/"])
def test_absolute_urls_stay_as_they_are(registry: str) -> None:
    assert json.loads(rendered(registry, (), Form.LABELS, up="../"))["Registry"] == registry


def test_an_icon_within_a_label_stays_as_it_is() -> None:
    one = image(labels=flatpak_labels(**{"org.freedesktop.appstream.icon-64": icon_uri()}))
    (entry,) = entries(rendered("../", (one,), Form.LABELS, up="../"))
    assert entry["Labels"]["org.freedesktop.appstream.icon-64"] == icon_uri()


def test_several_images_of_a_repository_stand_together() -> None:
    images = [
        image(ref_of(name), repository=repository) for repository in ("a", "b") for name in ("X" + repository, "Y")
    ]
    images = [each for each in images if each.ref != ref_of("Y") or each.repository == "a"]
    results = assert_index_is_valid(rendered("../", images, Form.LABELS))["Results"]
    assert [(result["Name"], len(result["Images"])) for result in results] == [("a", 2), ("b", 1)]


TEXT = st.text(alphabet=st.characters(codec="utf-8", exclude_characters="\0"), max_size=20)
METADATA = st.fixed_dictionaries(
    {flatpak.METADATA: TEXT},
    optional=dict.fromkeys(sorted(flatpak.INDEX_LABELS - {flatpak.REF, flatpak.METADATA}), TEXT),
)
SOME_IMAGES = st.lists(
    st.builds(
        lambda name, repository, arch, labels, own, number, where: image(
            ref_of(name, arch),
            repository=repository,
            architecture={"x86_64": "amd64", "aarch64": "arm64"}[arch],
            digest=digest(f"{number}"),
            labels={**labels, **({flatpak.REF: ref_of(name, arch)} if where != "annotations" else {})},
            annotations={**own, **({flatpak.REF: ref_of(name, arch)} if where != "labels" else {})},
        ),
        st.sampled_from(["A", "B", "C"]),
        st.sampled_from(["one", "two/three"]),
        st.sampled_from(["x86_64", "aarch64"]),
        METADATA,
        METADATA | st.just({}),
        st.integers(0, 50),
        st.sampled_from(["labels", "annotations", "both"]),
    ),
    max_size=8,
)


@settings(max_examples=100, deadline=None)
@given(SOME_IMAGES, st.sampled_from(Form), st.sampled_from(["", "../"]))
def test_whatever_is_chosen_is_an_index_that_clients_take(found: list[Image], form: Form, up: str) -> None:
    chosen = choose(collected(found), ALL).images
    got = entries(rendered("../", chosen, form, up))
    assert len(got) == len({each.ref for each in chosen})


@settings(max_examples=50, deadline=None)
@given(SOME_IMAGES, st.randoms(use_true_random=False))
def test_an_index_is_the_same_in_any_order_of_arrival(found: list[Image], random: Any) -> None:
    def made() -> bytes:
        return rendered("../", choose(collected(found), ALL).images, Form.BOTH)

    found = list({each.digest: each for each in found}.values())
    first = made()
    random.shuffle(found)
    assert made() == first


@pytest.mark.parametrize(
    "broken",
    [
        b'{"Results":[]}',
        b'{"Registry":"","Results":[]}',
        b'{"Registry":"/", "Results":[]}',
        b'{"Registry":"/","Results":[{"Lists":[],"Name":"a"}]}',
        b'{"Registry":"/","Results":[{"Images":[{"Digest":"sha256:1"}],"Lists":[],"Name":"a"}]}',
        b'{"Registry":"\xff","Results":[]}',
    ],
)
def test_the_check_itself_can_fail(broken: bytes) -> None:
    with pytest.raises((AssertionError, KeyError, UnicodeDecodeError)):
        assert_index_is_valid(broken)


def test_the_check_finds_labels_that_are_no_strings_and_refs_given_twice() -> None:
    good = rendered("../", IMAGES, Form.LABELS)
    assert_index_is_valid(good)
    for old, new in ((b'"12345"', b"12345"), (ref_of("Welt").encode(), ref_of().encode())):
        assert old in good
        with pytest.raises(AssertionError):
            assert_index_is_valid(good.replace(old, new))


def test_catalogs_without_images_have_empty_choices() -> None:
    assert choose(Catalog(), ALL) == Catalog()


@given(st.text(alphabet='"\\:./abc', max_size=40))
def test_only_icons_are_raised_whatever_a_text_looks_like(text: str) -> None:
    icon = "org.freedesktop.appstream.icon-64"
    look_alike = f'"{icon}":"../x {text} \\"{icon}\\":\\"../'
    one = image(labels=flatpak_labels(**{icon: "../icons/a.png", flatpak.APPDATA: look_alike}))
    for form in Form:
        plain = json.loads(index.entry(one, form, index.slim(one.metadata)))
        raised = json.loads(index.raised(index.entry(one, form, index.slim(one.metadata)), "../"))
        key = "Annotations" if form is Form.ANNOTATIONS else "Labels"
        assert raised[key].pop(icon) == "../../icons/a.png"
        plain[key].pop(icon)
        assert raised == plain

"""What is offered: channels in their order, versions, what is hidden, what the image says of its end."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from builder.appdata.versions import newest_version
from builder.catalog import Image
from builder.site.labels import Labels
from builder.site.pages import items as making
from builder.site.pages import offer
from builder.site.pages.names import told_apart
from builder.site.pages.offer import EndOfLife, Item
from tests.builder.shop import TWO_TAGS, app, appdata, config, variant

END = "org.flatpak.commit-metadata.ostree.endoflife"


def items(folder: Path, *images: Image, text: str = TWO_TAGS) -> dict[str, Item]:
    """What is offered, by the last part of its id."""
    of = config(folder, text=text)
    by_index = {
        index.name: tuple(image for image in images if not image.tags.isdisjoint(index.tags)) for index in of.indexes
    }
    return {item.id.rpartition(".")[2]: item for item in making.items(of, by_index, Labels(of, ()))}


def test_an_item_has_all_its_channels_the_main_one_first(tmp_path: Path) -> None:
    found = items(
        tmp_path,
        app(tags=("testing",), version="3.0"),
        app(branch="beta", version="2.0"),
        app(version="1.0"),
        app(arch="aarch64", version="1.0"),
    )["Hello"]
    assert [(each.tag, each.branch, each.version, each.main) for each in found.channels] == [
        ("latest", "stable", "1.0", True),
        ("latest", "beta", "2.0", False),
        ("testing", "stable", "3.0", False),
    ]
    assert [each.architecture for each in found.channels[0].images] == ["amd64", "arm64"]
    assert [each.flatpakref for each in found.channels] == [
        "refs/org.flatdex.Hello.flatpakref",
        "refs/latest/beta/org.flatdex.Hello.flatpakref",
        "refs/testing/stable/org.flatdex.Hello.flatpakref",
    ]
    assert [each.remote for each in found.channels] == ["example", "example", "example-testing"]


def test_architectures_of_different_versions_have_no_common_one(tmp_path: Path) -> None:
    (channel,) = items(tmp_path, app(version="1.1"), app(arch="aarch64", version="1.0"))["Hello"].channels
    assert channel.version == ""
    assert [image.version for image in channel.images] == ["1.1", "1.0"]


def test_kinds(tmp_path: Path) -> None:
    extension = {"org.flatpak.metadata": "[Runtime]\nname=org.flatdex.Theme\n\n[ExtensionOf]\nref=runtime/x\n"}
    found = items(
        tmp_path,
        app(),
        app("Platform", kind="runtime"),
        app("Theme", kind="runtime", labels=extension),
        *(app(f"Hello.{part}", kind="runtime") for part in ("Locale", "Debug", "Sources")),
    )
    assert {name: item.kind for name, item in found.items()} == {
        "Hello": "app",
        "Platform": "runtime",
        "Theme": "extension",
    }


def test_whose_tag_has_the_runtime_is_known_for_each_channel(tmp_path: Path) -> None:
    runtime = app("Platform", kind="runtime")

    def tags(*images: Image) -> list[str | None]:
        return [channel.runtime_in for channel in items(tmp_path, *images)["Hello"].channels]

    assert tags(app(), runtime) == ["latest"]
    assert tags(app()) == [None]
    assert tags(app(), app(tags=("testing",)), runtime) == ["latest", "latest"]
    assert tags(app(), app(tags=("testing",)), app("Platform", kind="runtime", tags=("testing",))) == ["testing"] * 2
    assert items(tmp_path, app())["Hello"].runtime == "org.flatdex.Platform/x86_64/stable"


def test_without_appdata_an_item_is_called_by_its_id(tmp_path: Path) -> None:
    found = items(tmp_path, app(text=""), app("Broken", text="<components><oops"), app("Empty", text="<components/>"))
    assert {item.component.name[""] for item in found.values()} == {
        "org.flatdex.Hello",
        "org.flatdex.Broken",
        "org.flatdex.Empty",
    }


def test_of_several_components_its_own_counts(tmp_path: Path) -> None:
    other = "<component><id>org.flatdex.Other</id><name>Other</name></component>"
    own = "<component><id>org.flatdex.Hello.desktop</id><name>Mine</name></component>"
    found = items(tmp_path, app(text=f"<components>{other}{own}</components>"))
    assert found["Hello"].component.name[""] == "Mine"


def test_icons_are_files_even_where_indexes_hold_them_inside(tmp_path: Path) -> None:
    of = config(tmp_path, text=TWO_TAGS.replace("tags: [latest],", "tags: [latest], extract_icons: false,"))
    labels = Labels(of, ())
    (item,) = making.items(of, {"stable": (app(),), "beta": ()}, labels)
    assert [size for size, _ in item.icons] == [64, 128]
    assert set(labels.files) == {path for _, path in item.icons}


def test_an_end_of_life_is_told_in_its_own_words(tmp_path: Path) -> None:
    labels = {END: variant("no\nmore \u0007"), f"{END}-rebase": variant("app/org.flatdex.New/x86_64/stable")}
    assert items(tmp_path, app(labels=labels))["Hello"].end_of_life == EndOfLife("no more", "org.flatdex.New")
    assert items(tmp_path, app(labels={END: "nonsense"}))["Hello"].end_of_life == EndOfLife("", "")
    assert items(tmp_path, app())["Hello"].end_of_life is None


@pytest.mark.parametrize(("label", "size"), [("123", 123), ("", None), ("-1", None), ("1e9", None), ("9" * 40, None)])
def test_sizes_are_numbers_or_unknown(tmp_path: Path, label: str, size: int | None) -> None:
    (image,) = items(tmp_path, app(labels={"org.flatpak.download-size": label}))["Hello"].channels[0].images
    assert image.download == size


@pytest.mark.parametrize(
    ("releases", "version"),
    [
        ('<release version="1" date="2025-01-01"/><release version="2" date="2026-01-01"/>', "2"),
        ('<release version="1" timestamp="1700000000"/><release version="2" date="2022-01-01"/>', "1"),
        ('<release version="3" type="development" date="2026-02-01"/><release date="2026-01-01" version="2"/>', "2"),
        ('<release version="3" type="development"/>', "3"),
        ("<release version='a &amp; b'/>", "a & b"),
        ('<release version="1"/><release version="2"/>', "1"),
        ('<release date="2026-01-01"/>', ""),
        (f'<release version="{"9" * 500}"/>', "9" * 60),
        ('<release version="1" timestamp="99999999999999999999"/>', "1"),
        ("", ""),
    ],
)
def test_the_newest_version(releases: str, version: str) -> None:
    assert newest_version(appdata("x", more=f"<releases>{releases}</releases>", version="")) == version


def test_names_and_versions_are_told_of_what_is_offered(tmp_path: Path) -> None:
    of = config(tmp_path)
    images = {"stable": (app(), app("Hello.Locale", kind="runtime"))}
    found = list(offer.offered(making.items(of, images, Labels(of, ())), images))
    assert [(each.index, each.name, each.version) for each in found] == [("stable", "Hello", "1.0"), ("stable", "", "")]


def test_ids_that_differ_in_case_alone_have_folders_that_differ_in_more() -> None:
    found = told_apart(["a.b.c", "a.b.C", "a.b.D"], lambda name: False)
    assert (found["a.b.C"], found["a.b.D"]) == ("a.b.C", "a.b.D")
    assert re.fullmatch("a\\.b\\.c~[0-9a-f]{16}", found["a.b.c"])


def test_who_was_here_first_keeps_its_name(tmp_path: Path) -> None:
    of = config(tmp_path)
    images = (app("good"), app("GOOD"))
    found = making.items(of, {"stable": images}, Labels(of, ()), {"refs/org.flatdex.good.flatpakref"})
    assert {item.id: item.folder == item.id for item in found} == {"org.flatdex.GOOD": False, "org.flatdex.good": True}


def test_names_of_files_are_never_too_long() -> None:
    twins = [f"a.b.{'x' * 251}", f"a.b.{'x' * 250}y"]
    names = told_apart(twins, lambda name: False)
    assert len(set(names.values())) == 2
    assert all(len(f"{name}.flatpakref".encode()) <= 255 for name in names.values())


def test_branches_that_differ_in_case_alone_have_files_of_their_own(tmp_path: Path) -> None:
    channels = items(tmp_path, app(branch="beta"), app(branch="Beta"), app())["Hello"].channels
    assert len({channel.flatpakref.lower() for channel in channels}) == 3


@pytest.mark.parametrize("reference", ["&#" + "9" * 5000 + ";", "&#99999999999;", "&#x110000;", "&nonsense;"])
def test_a_reference_that_is_none_costs_no_more_than_a_version(reference: str) -> None:
    assert isinstance(newest_version(f'<!-- <release version="{reference}"/> -->'), str)


@pytest.mark.parametrize("name", ["\u3164", "\u200b", "\u2800\u2800", "\u0301", " "])
def test_a_name_that_can_not_be_seen_is_none(tmp_path: Path, name: str) -> None:
    text = appdata("org.flatdex.Hello", name, f"<name xml:lang='de'>{name}</name>")
    assert items(tmp_path, app(text=text))["Hello"].component.name == {"": "org.flatdex.Hello"}


def test_an_application_is_never_taken_for_a_part(tmp_path: Path) -> None:
    assert set(items(tmp_path, app("Evil.Locale"))) == {"Locale"}


def test_an_odd_branch_does_not_come_before_the_usual_ones(tmp_path: Path) -> None:
    (main, *_) = items(tmp_path, app(branch="-x"), app(branch="master"), app(branch="24.08"))["Hello"].channels
    assert main.branch == "master"


def test_a_branch_that_was_published_keeps_its_name(tmp_path: Path) -> None:
    images = {"stable": (app(branch="devel"), app("Other", branch="DEVEL"), app())}
    of = config(tmp_path)
    published = {"refs/latest/devel/org.flatdex.Hello.flatpakref"}
    found = {item.id: item for item in making.items(of, images, Labels(of, ()), published)}
    assert [each.flatpakref for each in found["org.flatdex.Hello"].channels][1] in published


@pytest.mark.parametrize(("created", "changed"), [("zzzz", ""), ("2026-01-01T00:00:00Z", "2026-01-01T00:00:00Z")])
def test_a_date_that_is_none_is_not_shown(tmp_path: Path, created: str, changed: str) -> None:
    assert items(tmp_path, app(created=created))["Hello"].changed == changed

"""Which translation is for whom: never one in another script, never another region's where a region is asked for."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.appdata.locales import DEFAULT, Wanted, wanted


@pytest.mark.parametrize(
    ("language", "tags"),
    [
        ("de", ["de", "de_DE", "de_AT"]),
        ("de", ["de", "de-DE", "DE_ch"]),
        ("de-AT", ["de_AT", "de"]),
        ("pt-BR", ["pt_BR", "pt"]),
        ("pt", ["pt", "pt_PT", "pt_BR"]),
        ("en-GB", ["en_GB", "en"]),
        ("zh-TW", ["zh_TW", "zh_Hant_TW", "zh_Hant"]),
        ("zh-Hans", ["zh", "zh_CN", "zh_Hans_CN", "zh_SG"]),
        ("zh", ["zh_Hans", "zh_CN", "zh_SG"]),
        ("zh-Hant", ["zh_Hant", "zh_TW"]),
        ("sr-Latn", ["sr@latin", "sr_Latn", "sr_RS@latin"]),
        ("sr", ["sr", "sr_Cyrl", "sr@cyrillic", "sr_RS"]),
        ("ca", ["ca", "ca_ES", "ca@valencia"]),
        ("ca", ["ca", "ca-valencia"]),
        ("nb", ["nb", "no"]),
        ("fr", ["fr_FR.UTF-8", "fr_CA"]),
        ("de", ["de_DE@euro", "de_AT"]),
        ("es-419", ["es_419", "es"]),
    ],
)
def test_a_reader_gets_the_nearest(language: str, tags: list[str]) -> None:
    ranks = [dict(Wanted((language,))[tag])[language] for tag in tags]
    assert ranks == sorted(ranks)


@pytest.mark.parametrize(
    ("language", "tag"),
    [
        ("de", "en"),
        ("de", "nds"),
        ("pt-BR", "pt_PT"),
        ("pt-PT", "pt_BR"),
        ("zh-TW", "zh_CN"),
        ("zh-TW", "zh"),
        ("zh-Hans", "zh_TW"),
        ("zh", "zh_Hant"),
        ("zh-CN", "zh_HK"),
        ("sr", "sr@latin"),
        ("sr-Latn", "sr"),
        ("sr", "sr_RS@latin"),
        ("en", "en@shaw"),
        ("en", "en_GB"),
        ("en-GB", "en_AU"),
        ("be", "be@latin"),
        ("uz", "uz@cyrillic"),
        ("de", "x-test"),
        ("de", "d"),
        ("de", "de_"),
        ("de", "de<script>"),
    ],
)
def test_a_reader_never_gets_another(language: str, tag: str) -> None:
    assert language not in dict(Wanted((language,))[tag])


def test_a_language_beats_its_regions() -> None:
    ranks = {tag: dict(Wanted(("de",))[tag])["de"] for tag in ("de", "de_DE", "de_AT")}
    assert ranks["de"] < ranks["de_DE"] < ranks["de_AT"]


def test_what_has_no_language_is_not_translated() -> None:
    for tag in ("", "C", "POSIX"):
        assert dict(Wanted(("de",))[tag]) == {DEFAULT: 0}


def test_english_stands_in_for_what_is_not_translated() -> None:
    assert dict(Wanted(("de",))["en"])[DEFAULT] > 0
    assert dict(Wanted(("de",))["en_US"])[DEFAULT] > 0
    assert not Wanted(("de",))["en_GB"]


@given(st.text(max_size=20))
def test_any_tag_is_some_language_or_none(tag: str) -> None:
    assert all(language in ("de", "zh-TW", DEFAULT) for language, _ in Wanted(("de", "zh-TW"))[tag])


def test_who_makes_up_languages_does_not_fill_memory() -> None:
    found = Wanted(("de",))
    for number in range(5000):
        assert not found[f"xx_{number}"]
    assert len(found) <= 1000 and found["de"]


def test_languages_are_looked_up_once_for_all_appdata() -> None:
    assert wanted(("de", "fr")) is wanted(("de", "fr"))

"""What appdata says: in the wanted languages, bounded, and harmless whatever it holds."""

from __future__ import annotations

import time
from collections.abc import Iterator
from dataclasses import fields, is_dataclass
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from builder.appdata import components, markup, reading
from builder.appdata.components import DEFAULT, Component, Release, Screenshot, said
from tests.builder.test_appdata_markup import HOSTILE, Reader
from tests.real import appstream as real

LANGUAGES = ("en", "de", "pt-BR")


def parse(inner: str, languages: tuple[str, ...] = LANGUAGES, attributes: str = "") -> Component:
    """The component with these parts."""
    text = f"<components><component {attributes}>{inner}</component></components>"
    assert reading.fault(text) == ""
    (component,) = components.parse(text, languages)
    return component


# Languages


def test_texts_are_kept_in_the_languages_that_are_wanted() -> None:
    names = "<name>Chess</name><name xml:lang='de'>Schach</name><name xml:lang='fr'>Échecs</name>"
    assert parse(names).name == {DEFAULT: "Chess", "de": "Schach"}
    assert parse(names, ("fr",)).name == {DEFAULT: "Chess", "fr": "Échecs"}


@pytest.mark.parametrize("order", [1, -1])
def test_the_nearest_translation_is_taken_in_whatever_order_they_come(order: int) -> None:
    tags = ["de_AT", "de", "de_DE", "pt", "pt_BR", "pt_PT", "sr@latin"][::order]
    names = "".join(f"<summary xml:lang='{tag}'>{tag}</summary>" for tag in tags)
    assert parse(names).summary == {"de": "de", "pt-BR": "pt_BR"}
    assert parse(names, ("sr", "sr-Latn")).summary == {"sr-Latn": "sr@latin"}


def test_a_language_without_a_text_is_not_there() -> None:
    assert parse("<name>a</name><name xml:lang='de'> </name>").name == {DEFAULT: "a"}


def test_a_catalog_has_whole_descriptions() -> None:
    component = parse(
        "<description><p>One</p><ul><li>Two</li></ul></description>"
        "<description xml:lang='de'><p>Eins</p></description>"
        "<description xml:lang='fr'><p>Un</p></description>"
    )
    assert component.description == {DEFAULT: "<p>One</p><ul><li>Two</li></ul>", "de": "<p>Eins</p>"}


def test_an_upstreams_file_has_its_languages_beside_each_other() -> None:
    component = parse(
        "<description>"
        "<p>One</p><p xml:lang='fr'>Un</p><p xml:lang='de'>Eins</p>"
        "<ul><li>Two</li><li xml:lang='de'>Zwei</li><li xml:lang='fr'>Deux</li><li>Three</li></ul>"
        "<p>Four</p><p xml:lang='pt'>Quatro</p><p xml:lang='de_AT'>Vier</p>"
        "</description>"
    )
    assert component.description == {
        DEFAULT: "<p>One</p><ul><li>Two</li><li>Three</li></ul><p>Four</p>",
        "de": "<p>Eins</p><ul><li>Zwei</li><li>Three</li></ul><p>Vier</p>",
        "pt-BR": "<p>One</p><ul><li>Two</li><li>Three</li></ul><p>Quatro</p>",
    }


def test_whole_lists_can_be_translations() -> None:
    component = parse(
        "<description><p>a</p><ol><li>One</li></ol><ol xml:lang='de'><li>Eins</li></ol><p>b</p></description>"
    )
    assert component.description["de"] == "<p>a</p><ol><li>Eins</li></ol><p>b</p>"
    assert component.description[DEFAULT] == "<p>a</p><ol><li>One</li></ol><p>b</p>"


def test_languages_can_follow_one_another() -> None:
    component = parse(
        "<description><p>One</p><p>Two</p><p xml:lang='de'>Eins</p><p xml:lang='de'>Zwei</p>"
        "<ul><li>Three</li><li xml:lang='de'>Drei</li></ul></description>"
    )
    assert component.description[DEFAULT] == "<p>One</p><p>Two</p><ul><li>Three</li></ul>"
    assert component.description["de"] == "<p>Eins</p><p>Zwei</p><ul><li>Drei</li></ul>"


def test_both_forms_together() -> None:
    component = parse(
        "<description><p>One</p><p xml:lang='pt'>Um</p></description>"
        "<description xml:lang='de'><p>Eins</p></description>"
    )
    assert component.description == {DEFAULT: "<p>One</p>", "de": "<p>Eins</p>", "pt-BR": "<p>Um</p>"}


def test_a_whole_translation_counts_more_than_one_inside() -> None:
    component = parse(
        "<description><p>One</p><p xml:lang='de'>Inside</p></description>"
        "<description xml:lang='de'><p>Eins</p></description>"
    )
    assert component.description == {DEFAULT: "<p>One</p>", "de": "<p>Eins</p>"}


def test_a_list_is_no_translation_of_a_paragraph() -> None:
    component = parse("<description><p>One</p><ul xml:lang='de'><li>Zwei</li></ul></description>")
    assert component.description == {DEFAULT: "<p>One</p>", "de": "<p>One</p><ul><li>Zwei</li></ul>"}


def test_a_language_of_all_of_it_hides_nothing() -> None:
    text = "<components xml:lang='fr'><component xml:lang='fr'><id>a</id></component></components>"
    assert [each.id for each in components.parse(text, ("de",))] == ["a"]


def test_release_notes_and_captions_are_translated_too() -> None:
    component = parse(
        "<releases><release version='1'><description><p>New</p><p xml:lang='de'>Neu</p></description></release>"
        "</releases>"
        "<screenshots><screenshot><caption>It</caption><caption xml:lang='de_DE'>Es</caption>"
        "<image>https://a.org/b.png</image></screenshot></screenshots>"
    )
    assert component.releases[0].notes == {DEFAULT: "<p>New</p>", "de": "<p>Neu</p>"}
    assert component.screenshots[0].caption == {DEFAULT: "It", "de": "Es"}


def test_keywords_are_words_of_their_language() -> None:
    component = parse(
        "<keywords><keyword>game</keyword><keyword xml:lang='de'>Spiel</keyword><keyword>game</keyword>"
        "<keyword>board game</keyword></keywords><keywords xml:lang='de'><keyword>Brett</keyword></keywords>"
    )
    assert component.keywords == {DEFAULT: "game board game", "de": "Spiel Brett"}


def test_said_is_the_text_for_a_reader() -> None:
    texts = {DEFAULT: "a", "de": "b"}
    assert (said(texts, "de").text, said(texts, "de").language) == ("b", "de")
    assert (said(texts, "fr").text, said(texts, "fr").language) == ("a", "en")
    assert not said({}, "de")


UPSTREAMS = """<component type="desktop-application">
<id>org.example.App</id>
<metadata_license>CC0-1.0</metadata_license>
<project_license>MIT</project_license>
<name>Application</name>
<name xml:lang="de">Anwendung</name>
<name xml:lang="pt_BR">Aplicativo</name>
<summary>Does &lt;it&gt; &amp; more</summary>
<summary xml:lang="de_DE">Tut es</summary>
<developer_name>Somebody</developer_name>
<description>
  <p>One <em>strong</em>
     line &amp; a <code>word</code></p>
  <p xml:lang="de">Eine <em>starke</em> Zeile</p>
  <ul><li>Two</li><li xml:lang="de">Zwei</li><li>Three</li><li xml:lang="de">Drei</li></ul>
</description>
<keywords><keyword>one</keyword><keyword xml:lang="de">eins</keyword><keyword>two</keyword></keywords>
<categories><category>Game</category></categories>
<url type="homepage">https://example.org/?a=b&amp;c</url>
<url type="vcs-browser">https://example.org/code</url>
<screenshots>
  <screenshot><caption>Second</caption><image>https://example.org/2.png</image></screenshot>
  <screenshot type="default"><caption>First</caption><caption xml:lang="de">Zuerst</caption>
    <image type="source" width="800" height="600">https://example.org/1.png</image></screenshot>
</screenshots>
<releases>
  <release version="2" date="2024-02-03"><description><p>New</p><p xml:lang="de">Neu</p></description></release>
  <release version="1" date="2023-01-01" type="development"/>
</releases>
<content_rating type="oars-1.1"><content_attribute id="social-chat">intense</content_attribute></content_rating>
</component>"""


def test_a_catalog_that_appstreams_library_makes_says_what_the_upstreams_file_says(tmp_path: Path) -> None:
    file = tmp_path / "org.example.App.metainfo.xml"
    file.write_text(UPSTREAMS)
    catalog = real.catalog(file)
    assert '<description xml:lang="de">' in catalog and '<p xml:lang="de">' not in catalog
    assert reading.fault(catalog) == ""
    assert components.parse(catalog, LANGUAGES) == components.parse(f"<components>{UPSTREAMS}</components>", LANGUAGES)


# Elements


def test_a_component_has_all_that_pages_show() -> None:
    component = parse(
        """
        <id>org.example.Chess.desktop</id><name>Chess &amp; <b>more</b></name><summary>  Play
        chess  </summary>
        <developer id="a"><name>Somebody</name><name xml:lang="de">Jemand</name></developer>
        <developer_name>Old</developer_name><project_license>GPL-3.0+</project_license>
        <categories><category>Game</category><category>BoardGame</category><category>Game</category>
        <category>../x</category></categories>
        <url type="bugtracker">https://example.org/bugs</url><url type="homepage"> HTTPS://example.org/?a=b&amp;c </url>
        <url type="homepage">https://example.org/second</url><url type="other">https://example.org/other</url>
        <content_rating type="oars-1.1"><content_attribute id="violence-cartoon">mild</content_attribute>
        <content_attribute id="social-chat">none</content_attribute></content_rating>
        <extends>org.example.Base.desktop</extends><extends>org.example.Other</extends>
        <provides><binary>x</binary></provides><unknown><name>y</name></unknown>
        """,
        attributes='type="desktop"',
    )
    assert component == Component(
        id="org.example.Chess",
        kind="desktop-application",
        name={DEFAULT: "Chess & more"},
        summary={DEFAULT: "Play chess"},
        developer={DEFAULT: "Somebody", "de": "Jemand"},
        categories=("Game", "BoardGame"),
        license="GPL-3.0+",
        links=(("homepage", "https://example.org/?a=b&c"), ("bugtracker", "https://example.org/bugs")),
        rating=(("violence-cartoon", "mild"),),
        extends=("org.example.Base", "org.example.Other"),
    )


def test_an_empty_component_is_one() -> None:
    assert parse("") == Component(id="")
    assert parse("<developer_name>Old</developer_name>").developer == {DEFAULT: "Old"}


@pytest.mark.parametrize(
    ("given", "found"),
    [
        ("org.gnome.Chess.desktop", "org.gnome.Chess"),
        ("org.telegram.desktop", "org.telegram.desktop"),
        ("gnome-2048.desktop", "gnome-2048"),
        (" a.b.C\n", "a.b.C"),
        ("a" * 500, "a" * 254 + "…"),
    ],
)
def test_an_id_has_no_suffix(given: str, found: str) -> None:
    assert parse(f"<id>{given}</id>").id == found


def test_what_was_never_rated_has_no_rating() -> None:
    assert parse("").rating is None
    assert parse("<content_rating type='other'/>").rating is None
    assert parse("<content_rating type='oars-1.0'/>").rating == ()
    odd = "<content_attribute id='a-b'>much</content_attribute><content_attribute id='&lt;'>mild</content_attribute>"
    assert parse(f"<content_rating type='oars-1.0'>{odd}</content_rating>").rating == ()


@pytest.mark.parametrize(
    "url",
    [
        "javascript:alert(1)",
        "java&#10;script:alert(1)",
        "data:text/html,x",
        "//example.org/",
        "/x",
        "ftp://example.org/",
        "https://",
        "https:///x",
        "https://example.org@evil.org/",
        "https://user:secret@example.org/",
        "https:\\\\example.org",
        "https://example.org/a b",
        "https://example.org/&quot;onclick=&quot;",
        "https://example.org/&lt;script&gt;",
        "https://example.org/\u202egnp.exe",
        "https://example.org/" + "x" * 3000,
    ],
)
def test_only_an_address_on_the_web_is_a_link(url: str) -> None:
    assert parse(f"<url type='homepage'>{url}</url>").links == ()
    shot = f"<screenshots><screenshot><image>{url}</image></screenshot></screenshots>"
    assert parse(shot).screenshots == ()


def shots(*shots: str) -> tuple[Screenshot, ...]:
    return parse(
        "<screenshots>" + "".join(f"<screenshot {shot}</screenshot>" for shot in shots) + "</screenshots>"
    ).screenshots


def test_the_default_screenshot_comes_first() -> None:
    found = shots("><image>http://a.org/1</image>", "type='default'><image>http://a.org/2</image>")
    assert [shot.url for shot in found] == ["http://a.org/2", "http://a.org/1"]


def test_the_largest_picture_counts_and_thumbnails_only_where_nothing_else_is() -> None:
    small = "<image type='thumbnail' width='{0}' height='{0}'>http://a.org/t{0}</image>".format
    large = "<image type='source' width='{0}' height='9'>http://a.org/{0}</image>".format
    assert shots(">" + small(900) + large(10) + large(20)) == (Screenshot("http://a.org/20", {}, 20, 9),)
    assert shots(">" + small(90) + small(900) + small(9)) == (Screenshot("http://a.org/t900", {}, 900, 900),)
    assert shots("><image width='x' height='-5'>http://a.org/a</image>") == (Screenshot("http://a.org/a"),)
    assert (
        shots("><image xml:lang='de'>http://a.org/de</image><image>http://a.org/a</image>")[0].url == "http://a.org/a"
    )


def test_what_has_no_picture_is_no_screenshot() -> None:
    assert shots("><video>http://a.org/a.webm</video>", "/><screenshot>") == ()
    assert [shot.url for shot in shots(">http://a.org/old.png")] == ["http://a.org/old.png"]
    assert len(shots(*["><image>http://a.org/same</image>"] * 3)) == 1


def test_pictures_may_lie_below_the_catalogs_address() -> None:
    def url(path: str, base: str) -> list[str]:
        inner = f"<component><screenshots><screenshot><image>{path}</image></screenshot></screenshots></component>"
        (component,) = components.parse(f"<components media_baseurl='{base}'>{inner}</components>", ())
        return [shot.url for shot in component.screenshots]

    assert url("org/a/1.png", "https://a.org/media/") == ["https://a.org/media/org/a/1.png"]
    assert url("https://b.org/1.png", "https://a.org") == ["https://b.org/1.png"]
    for path, base in [("1.png", "javascript:a"), ("../1.png", "https://a.org"), ("a/../../1.png", "https://a.org")]:
        assert url(path, base) == []
    for path in ("/1.png", "//b.org/1.png", "javascript:a", "data:x", ""):
        assert url(path, "https://a.org") == []


def test_releases_come_newest_first() -> None:
    found = parse(
        "<releases>"
        "<release version='1' date='2020-01-01'/><release version='none'/><release version='3' timestamp='1700000000'/>"
        "<release version='2b' date='2021-05-06T12:00:00Z' type='development'/>"
        "<release version='2a' date='2021-05-06'/>"
        "<release version='odd' date='soon' timestamp='99999999999999999999999'/><release date='2022-01-01'/>"
        "<release version='feb' date='2021-02-30'/></releases>"
    ).releases
    assert found == (
        Release("3", "2023-11-14"),
        Release("2b", "2021-05-06", development=True),
        Release("2a", "2021-05-06"),
        Release("1", "2020-01-01"),
        Release("none"),
        Release("odd"),
        Release("feb"),
    )


def test_all_components_are_there_in_their_order() -> None:
    text = "<components><component><id>b</id></component><other/><component><id>a</id></component></components>"
    assert [each.id for each in components.parse(text, ())] == ["b", "a"]


# Harm


def texts(value: object) -> Iterator[str]:
    """All texts in a component."""
    if isinstance(value, str):
        yield value
    elif is_dataclass(value):
        for each in fields(value):
            yield from texts(getattr(value, each.name))
    elif isinstance(value, dict):
        yield from texts(tuple(value.values()))
    elif isinstance(value, tuple):
        for each in value:
            yield from texts(each)


def assert_harmless(component: Component) -> None:
    for text in texts(component):
        assert not set(text) & {"\n", "\t", "\0", *HOSTILE}
        assert len(text) <= markup.LONGEST
    for html in (
        *component.description.values(),
        *(html for each in component.releases for html in each.notes.values()),
    ):
        Reader(html)
    for url in (*(url for _, url in component.links), *(shot.url for shot in component.screenshots)):
        assert url.startswith(("http://", "https://")) and not set(url) & set('<>"\\ ')


def whole(text: str, language: str = "de") -> str:
    """A component that has the text everywhere."""
    inner, quoted, other = escape(text), quoteattr(text), quoteattr(language)
    paragraphs = f"<p>{inner}</p><p xml:lang={other}>{inner}</p><ul><li>{inner}</li></ul>{inner}"
    return f"""<id>{inner}</id><name>{inner}</name><name xml:lang={other}>{inner}</name><summary>{inner}</summary>
    <developer><name>{inner}</name></developer><project_license>{inner}</project_license>
    <description>{paragraphs}</description><description xml:lang={other}>{paragraphs}</description>
    <categories><category>{inner}</category></categories><keywords><keyword>{inner}</keyword></keywords>
    <url type="homepage">{inner}</url><url type={quoted}>https://example.org/{inner}</url><extends>{inner}</extends>
    <screenshots><screenshot type={quoted}><caption>{inner}</caption>
    <image width={quoted} height={quoted}>https://example.org/{inner}</image></screenshot></screenshots>
    <releases><release version={quoted} date={quoted} timestamp={quoted}><description>{paragraphs}</description>
    </release></releases><content_rating type="oars-1.1"><content_attribute id={quoted}>mild</content_attribute>
    </content_rating>"""


@pytest.mark.parametrize(
    "text",
    [
        "<script>alert(1)</script>",
        "\"><img src=x onerror='alert(1)'>",
        "javascript:alert(1)",
        "]]><p onclick='a'>",
        "{{ 7 * 7 }} %(x)s {0}",
        "evil\u202e\u2066gnp.exe",
        "a\x85\x9b\x7f\U0001ffff",
        "x" * 15_000,
        "y " * 7500,
        "a\u0301" * 1000,
    ],
)
def test_a_text_does_no_harm_wherever_it_stands(text: str) -> None:
    component = parse(whole(text), attributes=f"type={quoteattr(text)}")
    assert_harmless(component)
    for short in (component.name[DEFAULT], component.developer[DEFAULT], component.license):
        assert 0 < len(short) <= 200
    assert len(component.summary[DEFAULT]) <= 500


characters = st.characters(exclude_categories=["Cs", "Cc"], exclude_characters="\ufffe\uffff") | st.sampled_from(
    "\t\n<>&\x85"
)


@given(st.text(characters, max_size=20), st.text(characters, max_size=6))
@example("https://example.org/", "de_AT@latin")
def test_any_text_does_no_harm(text: str, language: str) -> None:
    assert_harmless(parse(whole(text, language), attributes=f"type={quoteattr(text)}"))


names = st.sampled_from(
    [
        *("component", "id", "name", "description", "p", "ul", "li", "em", "url", "screenshots", "screenshot", "image"),
        *("caption", "releases", "release", "keywords", "x"),
    ]
)
trees = st.recursive(
    st.builds(lambda name: f"<{name}/>", names) | st.just("text") | st.just("https://example.org/"),
    lambda inner: st.builds(
        lambda name, tag, parts: f"<{name} xml:lang='{tag}' version='1' type='homepage'>{''.join(parts)}</{name}>",
        names,
        st.sampled_from(["", "de", "fr"]),
        st.lists(inner, max_size=4),
    ),
    max_leaves=30,
)


@given(trees)
def test_elements_in_any_place_do_no_harm(tree: str) -> None:
    for component in components.parse(f"<components><component>{tree}</component>{tree}</components>", LANGUAGES):
        assert_harmless(component)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "<component/>",
        "<components>",
        "<components>\ud800</components>",
        "<components>&#xD800;</components>",
        "<components>&#0;</components>",
        '<!DOCTYPE a [<!ENTITY b "c">]><components>&b;</components>',
        '<!DOCTYPE a [<!ENTITY b "xxxx"><!ENTITY c "&b;&b;&b;"><!ENTITY d "&c;&c;&c;">]><components>&d;</components>',
        "<components>" + "<a>" * 200 + "</a>" * 200 + "</components>",
        "<components><component>" + "<description>" * 200 + "</description>" * 200 + "</component></components>",
        "<components><component><name>" + "x" * 10_000_000 + "</name></component></components>",
        "<a>" * 200_000,
    ],
)
def test_of_what_is_refused_there_is_nothing(text: str) -> None:
    fault = reading.fault(text)
    assert fault and components.look(text, LANGUAGES) == (fault, ())
    assert components.parse(text, LANGUAGES) == ()


def test_a_look_gives_both() -> None:
    text = "<components><component><id>a</id></component></components>"
    assert components.look(text, ()) == ("", components.parse(text, ()))


def test_there_are_only_so_many_of_everything() -> None:
    many = range(500)
    component = parse(
        "<releases>" + "".join(f"<release version='{n}'/>" for n in many) + "</releases>"
        "<screenshots>"
        + "".join(f"<screenshot><image>http://a.org/{n}</image></screenshot>" for n in many)
        + "</screenshots><categories>"
        + "".join(f"<category>A{n}</category>" for n in many)
        + "</categories><keywords>"
        + "".join(f"<keyword>key{n}</keyword>" for n in many)
        + "</keywords>"
        + "".join(f"<extends>a.b.C{n}</extends>" for n in many)
    )
    assert (len(component.releases), len(component.screenshots)) == (20, 30)
    assert (len(component.categories), len(component.extends)) == (60, 60)
    assert len(component.keywords[DEFAULT]) <= 500


@pytest.mark.parametrize(
    "inner",
    [
        "<name xml:lang='de'>x</name>" * 30_000,
        "<description>" + "<p/><p xml:lang='de'>a</p>" * 30_000 + "</description>",
        "<description>" + "<p xml:lang='de'>a</p>" * 40_000 + "</description>",
        "<description><ul>" + "<li>a</li><li xml:lang='de'/>" * 25_000 + "</ul></description>",
        "<description xml:lang='de'><p>a</p></description>" * 20_000,
        "<releases>" + "<release version='1' date='2020-01-01'/>" * 20_000 + "</releases>",
        "<screenshots>" + "<screenshot><image>http://a.org</image></screenshot>" * 15_000 + "</screenshots>",
        "".join(f"<name xml:lang='a{chr(97 + n % 26)}_{n}'>x</name>" for n in range(25_000)),
        "<name>" + "\u202e x" * 250_000 + "</name>",
    ],
    ids=[
        "names",
        "paragraphs",
        "sections",
        "items",
        "descriptions",
        "releases",
        "screenshots",
        "languages",
        "overrides",
    ],
)
def test_a_megabyte_of_anything_is_read_in_a_moment(inner: str) -> None:
    began = time.process_time()
    assert_harmless(parse(inner))
    assert time.process_time() - began < 5


@pytest.mark.parametrize(
    "url",
    ["http://[/x.png", "http://ex\u2100mple.com/x.png", "http://a:99999/x.png", "http://a:b/x.png", "http://:80/"],
)
def test_a_url_that_no_host_can_be_told_from_is_none(url: str) -> None:
    inner = f"<url type='homepage'>{url}</url><screenshots><screenshot><image>{url}</image></screenshot></screenshots>"
    (component,) = components.parse(f"<components><component><id>a</id>{inner}</component></components>", ())
    assert (component.links, component.screenshots) == ((), ())

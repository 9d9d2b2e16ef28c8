"""Whatever is in a description: out come a few harmless elements, and its text."""

from __future__ import annotations

from collections.abc import Sequence
from html.parser import HTMLParser
from xml.etree.ElementTree import Comment, Element, ProcessingInstruction, fromstring

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from builder.appdata import markup

HARMLESS = {"p", "ul", "ol", "li", "em", "code"}
HOSTILE = "\u202e\u2066\u2069\x85\x9b\x7f\ufdd0\U0001ffff"


class Reader(HTMLParser):
    """What a browser makes of it: elements, which have to nest as HTML wants them to, and text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text = ""
        self.within: list[str] = []
        self.feed(text)
        self.close()
        assert not self.within

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert tag in HARMLESS and not attrs
        above = self.within[-1] if self.within else ""
        assert (tag in ("p", "ul", "ol")) == (above == "")
        assert (tag == "li") == (above in ("ul", "ol"))
        self.within.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.within.pop() == tag

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_comment(self, data: str) -> None:
        raise AssertionError(data)

    def handle_decl(self, decl: str) -> None:
        raise AssertionError(decl)

    def handle_pi(self, data: str) -> None:
        raise AssertionError(data)


def html(inner: str) -> str:
    return markup.html(fromstring(f"<description>{inner}</description>"))  # noqa: S314


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("<p>One</p><p>Two</p>", "<p>One</p><p>Two</p>"),
        ("<p>\n  One\n  line </p>", "<p>One line</p>"),
        ("<ul><li>a</li><li>b</li></ul>", "<ul><li>a</li><li>b</li></ul>"),
        ("<ol> <li>a</li> </ol>", "<ol><li>a</li></ol>"),
        ("<p>a <em>b</em> <code>c</code> d</p>", "<p>a <em>b</em> <code>c</code> d</p>"),
        ("<p>a <em>b <code>c</code></em></p>", "<p>a <em>b <code>c</code></em></p>"),
        ("<p></p><ul></ul><p> </p><ul><li/></ul>", ""),
        ("<p>a<em> </em>b</p>", "<p>a b</p>"),
        ("Text", "<p>Text</p>"),
        ("<em>a</em>", "<p><em>a</em></p>"),
        ("<ul>a<li>b</li>c</ul>", "<ul><li>a</li><li>b</li><li>c</li></ul>"),
        ("<h1>Big</h1><div><p>a</p>b</div>", "<p>Big</p><p>ab</p>"),
        ("<ul><li>a<ul><li>b</li></ul></li></ul>", "<ul><li>ab</li></ul>"),
        ("<p>a\u00a0!</p>", "<p>a\u00a0!</p>"),
        ("<p>\u200fعربي</p>", "<p>\u200fعربي</p>"),
        (f"<p>a{HOSTILE}b</p>", "<p>a b</p>"),
    ],
)
def test_a_description_is_a_few_elements(given: str, shown: str) -> None:
    assert html(given) == shown
    Reader(shown)


@pytest.mark.parametrize(
    ("given", "shown"),
    [
        ("<script>alert(1)</script>", "<p>alert(1)</p>"),
        ("<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>", "<p>&lt;script&gt;alert(1)&lt;/script&gt;</p>"),
        ("<p><![CDATA[<img src=x onerror=alert(1)>]]></p>", "<p>&lt;img src=x onerror=alert(1)&gt;</p>"),
        ("<p onclick='a()' class='b' style='c' id='d'>e</p>", "<p>e</p>"),
        ("<p><em onmouseover='a()'>b</em></p>", "<p><em>b</em></p>"),
        ("<p><a href='javascript:a()'>b</a><!-- c --><?php d ?></p>", "<p>b</p>"),
        ("<p xmlns='http://www.w3.org/1999/xhtml'>a</p>", "<p>a</p>"),
        ("<x:script xmlns:x='y'>a</x:script>", "<p>a</p>"),
        ("<p>&amp;lt;b&amp;gt; \"'</p>", "<p>&amp;lt;b&amp;gt; &quot;&#x27;</p>"),
        ("<P>a</P><SCRIPT>b</SCRIPT>", "<p>a</p><p>b</p>"),
    ],
)
def test_nothing_else_comes_out(given: str, shown: str) -> None:
    assert html(given) == shown


def test_what_is_no_element_is_not_shown() -> None:
    description = Element("description")
    for each in (Comment("a"), ProcessingInstruction("b", "c")):
        each.tail = "d"
        description.append(each)
    assert markup.html(description) == "<p>d</p><p>d</p>"


tags = st.sampled_from([*sorted(HARMLESS), "script", "P", "a", "x", "svg", "style", "template"])
strings = st.text(st.characters(exclude_categories=["Cs"]) | st.sampled_from("<>&\"'/=- \n"), max_size=12)


@st.composite
def elements(draw: st.DrawFn, depth: int = 3) -> Element:
    element = Element(
        draw(tags), draw(st.dictionaries(st.sampled_from(["onclick", "style", "href"]), strings, max_size=2))
    )
    element.text, element.tail = draw(st.none() | strings), draw(st.none() | strings)
    if depth:
        element.extend(draw(st.lists(elements(depth - 1), max_size=2)))
    return element


def letters(text: str) -> str:
    return "".join(markup.clean(text).split())


@given(elements())
def test_a_browser_sees_harmless_elements_and_all_the_text(description: Element) -> None:
    description.tail = None
    read = Reader(markup.html(description))
    assert letters(read.text) == letters("".join(description.itertext()))
    assert not set(read.text) & (set(HOSTILE) | {"\0"})


def test_what_is_too_long_ends_with_the_last_paragraph_that_fits() -> None:
    assert html(f"<p>{'a' * 93}</p>" * 1000) == f"<p>{'a' * 93}</p>" * (markup.LONGEST // 100)
    assert len(html("<p>a</p>" * 10_000)) <= markup.LONGEST
    assert html("<p>" + "a" * markup.LONGEST + "</p><p>b</p>") == ""


def test_only_so_many_elements_are_looked_at() -> None:
    asked = []

    def choose(beside: Sequence[Element]) -> Sequence[Element]:
        asked.append(len(beside))
        return beside

    many = "<{0}>" + "<x/>" * 100_000 + "</{0}>"
    for inner in (many.format("description"), f"<description>{many.format('ul')}</description>"):
        markup.html(fromstring(inner), choose)  # noqa: S314
    assert asked == [5000, 1, 5000]


@given(st.text())
@example("a\u202eb\n\n c")
def test_a_clean_text_is_one_line_that_controls_nothing(text: str) -> None:
    clean = markup.clean(text)
    assert clean == markup.clean(clean)
    assert not set(clean) & {"\n", "\r", "\t", "\0", *HOSTILE}
    assert "  " not in clean and clean == clean.strip(" ")


@pytest.mark.parametrize(
    ("given", "text"),
    [
        ("<p>One.</p><p>Two.</p>", "One."),
        ("<ul><li>a</li><li>b</li></ul>", "a"),
        ("<p>a <em>b</em> &lt;c&gt; &amp;amp;</p>", "a b <c> &amp;"),
        ("", ""),
        (f"<p>{'A long one ' * 6}. {'word ' * 60}</p>", "A long one " * 6 + "."),
        (f"<p>Ah! {'word ' * 60}</p>", "Ah! " + "word " * 38 + "word…"),
        (f"<p>{'word ' * 60}</p>", "word " * 39 + "word…"),
        (f"<p>{'x' * 300}</p>", "x" * 199 + "…"),
        (f"<p>{'语' * 150}。{'语' * 100}</p>", "语" * 150 + "。"),
        (f"<p>Is it {'really ' * 9}? “Yes.” {'word ' * 60}</p>", "Is it " + "really " * 9 + "? “Yes.”"),
        (f"<p>Version 1.5 {'word ' * 60}</p>", "Version 1.5 " + "word " * 36 + "word…"),
    ],
)
def test_plain_text_is_the_start(given: str, text: str) -> None:
    assert markup.plain(given) == text


@settings(max_examples=30)
@given(elements())
def test_plain_text_is_short(description: Element) -> None:
    text = markup.plain(markup.html(description), 20)
    assert len(text) <= 20 and text == markup.clean(text)

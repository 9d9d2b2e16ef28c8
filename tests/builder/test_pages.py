"""The pages of a site, as files: which there are, what they hold, and what makes them others."""

from __future__ import annotations

import json
import re
from functools import partial
from html.parser import HTMLParser
from pathlib import Path

import pytest

from builder.changes import changes
from builder.config import Config
from builder.content import OnDisk
from builder.errors import FlatdexError
from builder.site.pages.memory import Memory
from builder.site.pages.views import shared
from builder.site.tree import Site, Surroundings
from builder.snapshot import write
from builder.store import Store
from tests.builder.helpers import problems
from tests.builder.shop import CONFIG, TWO_TAGS, app, bytes_of, config, json_of, made, text_of, variant

PAGE = re.compile(r".*\.(html|atom)|(.+/)?search\.json|refs/.*")


def pages(found: Site) -> set[str]:
    """The paths of what is made for people."""
    return {path for path in found.files if PAGE.fullmatch(path)}


class _Text(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.words: list[str] = []
        self.links: list[str] = []
        self.tags: list[str] = []

    def handle_starttag(self, tag: str, attributes: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        self.links += [value for key, value in attributes if key in ("href", "src") and value]

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def read(found: Site, path: str) -> _Text:
    """A page, parsed."""
    parser = _Text()
    parser.feed(text_of(found, path))
    return parser


def words(found: Site, path: str) -> str:
    """All that a page says."""
    return " ".join(" ".join(read(found, path).words).split())


def test_which_pages_there_are(tmp_path: Path) -> None:
    found = made(config(tmp_path), app(), app("Platform", kind="runtime"))
    assert pages(found) == {
        "404.html",
        "apps/index.html",
        "apps/org.flatdex.Hello/index.html",
        "categories/other/index.html",
        "changes/index.html",
        "feed.atom",
        "index.html",
        "refs/org.flatdex.Hello.flatpakref",
        "runtimes/index.html",
        "search.json",
    }


def test_each_further_language_has_a_folder(tmp_path: Path) -> None:
    found = made(config(tmp_path, "languages: [en, de]\n"), app())
    first = {path for path in pages(found) if not path.startswith(("de/", "refs/"))}
    assert {path.removeprefix("de/") for path in pages(found) if path.startswith("de/")} == first - {"404.html"}
    assert '<html lang="de"' in text_of(found, "de/apps/org.flatdex.Hello/index.html")
    assert "../../../apps/org.flatdex.Hello/index.html" in read(found, "de/apps/org.flatdex.Hello/index.html").links


def test_translations_are_those_of_the_appdata(tmp_path: Path) -> None:
    more = '<summary xml:lang="de">Grüßt</summary>'
    found = made(config(tmp_path, "languages: [en, de]\n"), app(more=more))
    assert "Grüßt" in words(found, "de/apps/org.flatdex.Hello/index.html")
    assert "Grüßt" not in words(found, "apps/org.flatdex.Hello/index.html")
    assert "Grüßt" in json.dumps(json_of(found, "de/search.json"), ensure_ascii=False)


def test_without_pages_there_are_only_the_files_to_install_from(tmp_path: Path) -> None:
    found = made(config(tmp_path, "pages: false\n"), app())
    assert pages(found) == {"refs/org.flatdex.Hello.flatpakref"}
    assert not any(path.startswith("assets/") for path in found.files)
    assert "example.flatpakrepo" in found.files
    assert [(each.name, each.version) for each in found.offered] == [("Hello", "1.0")]


def test_an_application_is_listed_in_each_of_its_categories_and_once_on_the_front_page(tmp_path: Path) -> None:
    more = "<categories><category>Office</category><category>Qt</category><category>Utility</category></categories>"
    found = made(config(tmp_path), app(more=more), app("Other"))
    link = "apps/org.flatdex.Hello/index.html"
    for category in ("office", "utilities"):
        assert any(each.endswith(link) for each in read(found, f"categories/{category}/index.html").links)
    front = read(found, "index.html").links
    assert front.count(link) == 1
    assert "categories/utilities/index.html" not in front
    assert "../../categories/utilities/index.html" in read(found, link).links


def test_where_a_runtime_is_elsewhere_the_page_says_so(tmp_path: Path) -> None:
    path, other = "apps/org.flatdex.Hello/index.html", "https://other.example/x.flatpakrepo"
    text = CONFIG.replace('flatpaks/"}', f'flatpaks/", runtime_repo: "{other}"}}')
    assert "another remote" in words(made(config(tmp_path), app()), path)
    assert other in read(made(config(tmp_path, text=text), app()), path).links
    assert "another remote" not in words(made(config(tmp_path), app(), app("Platform", kind="runtime")), path)


def test_the_command_of_an_application_needs_no_remote_beforehand(tmp_path: Path) -> None:
    found = made(config(tmp_path), app(), app("Platform", kind="runtime"))
    line = "flatpak install --from https://example.org/flatpaks/refs/org.flatdex.Hello.flatpakref"
    assert line in words(found, "apps/org.flatdex.Hello/index.html")
    assert "flatpak install example org.flatdex.Platform//stable" in words(found, "runtimes/index.html")


def test_an_empty_remote_has_pages_too(tmp_path: Path) -> None:
    assert {"index.html", "apps/index.html", "changes/index.html", "feed.atom"} <= pages(made(config(tmp_path)))


def test_all_links_within_the_site_lead_somewhere(tmp_path: Path) -> None:
    images = [
        app(f"App{number:03}", more="<categories><category>Game</category></categories>") for number in range(130)
    ]
    found = made(config(tmp_path, "languages: [en, de]\n", TWO_TAGS), *images, app("Platform", kind="runtime"))
    seen = 0
    for path in (path for path in pages(found) if path.endswith(".html")):
        for link in read(found, path).links:
            if not re.match(r"[a-z]+:|#", link):
                place = (tmp_path / path).parent / link.partition("#")[0]
                assert str(place.resolve().relative_to(tmp_path.resolve())) in found.files, (path, link)
                seen += 1
    assert seen > 1000


def test_lists_have_pages_of_sixty(tmp_path: Path) -> None:
    images = [
        app(f"App{number:03}", more="<categories><category>Game</category></categories>") for number in range(130)
    ]
    found = made(config(tmp_path), *images)
    lists = sorted(path for path in pages(found) if path.startswith(("apps/index", "apps/page", "categories")))
    assert lists == [
        *("apps/index.html", "apps/page/2/index.html", "apps/page/3/index.html"),
        *("categories/games/index.html", "categories/games/page/2/index.html", "categories/games/page/3/index.html"),
    ]
    shown = [
        len({link for link in read(found, path).links if "org.flatdex.App" in link}) for path in lists if "apps" in path
    ]
    assert shown == [60, 60, 10]
    front = {link for link in read(found, "index.html").links if "org.flatdex.App" in link}
    assert len(front) <= 60
    assert len(json_of(found, "search.json")) == 130


def test_many_runtimes_are_found_on_their_page_of_the_list(tmp_path: Path) -> None:
    runtimes = [app(f"Platform{number:03}", kind="runtime") for number in range(70)]
    metadata = "[Application]\nname=x\nruntime=org.flatdex.Platform065/x86_64/stable\n"
    of_app = app(
        labels={"org.flatpak.metadata": metadata, "org.flatpak.commit-metadata.xa.metadata": variant(metadata)}
    )
    found = made(config(tmp_path), of_app, *runtimes)
    link = "../../runtimes/page/2/index.html#org.flatdex.Platform065"
    assert link in read(found, "apps/org.flatdex.Hello/index.html").links
    assert 'id="org.flatdex.Platform065"' in text_of(found, "runtimes/page/2/index.html")


@pytest.mark.parametrize(
    ("sizes", "room", "shares"),
    [
        ([], 60, []),
        ([5, 5], 60, [5, 5]),
        ([100, 100], 60, [30, 30]),
        ([2, 100], 60, [2, 58]),
        ([3, 3, 3], 4, [2, 1, 1]),
    ],
)
def test_the_front_page_is_shared_out(sizes: list[int], room: int, shares: list[int]) -> None:
    assert shared(sizes, room) == shares


HOSTILE = "<script>alert(1)</script>"
ESCAPED = HOSTILE.replace("<", "&lt;").replace(">", "&gt;")


def test_hostile_appdata_writes_no_element_and_no_link(tmp_path: Path) -> None:
    more = (
        f"<developer><name>{ESCAPED}</name></developer><project_license>{ESCAPED}</project_license>"
        f"<description><p>{ESCAPED}</p><script>alert(2)</script><p onclick='x'>a<img src='http://evil.example/'/></p></description>"
        f"<url type='homepage'>javascript:alert(1)</url><url type='help'>https://ok.example/\" onclick=\"x</url>"
        f"<keywords><keyword>{ESCAPED}</keyword></keywords><categories><category>{ESCAPED}</category></categories>"
        f"<screenshots><screenshot><caption>{ESCAPED}</caption><image>https://pictures.example/{ESCAPED}.png</image></screenshot>"
        "<screenshot><image>javascript:alert(1)</image></screenshot></screenshots>"
    )
    plain = made(config(tmp_path), app(text=app_text("Hello")))
    found = made(config(tmp_path), app(text=app_text(ESCAPED, more)))
    for path in (path for path in pages(found) if path.endswith(".html")):
        page, usual = read(found, path), read(plain, path.replace("categories/other", "categories/other"))
        assert page.tags.count("script") == usual.tags.count("script")
        assert not {"iframe", "object", "embed", "style"} & set(page.tags)
        assert not [link for link in page.links if link.startswith(("javascript:", "data:text")) or "evil" in link]
        assert "onclick" not in re.sub(r"\"[^\"]*\"|>[^<]*<", "", text_of(found, path))
    assert HOSTILE in words(found, "apps/org.flatdex.Hello/index.html")
    assert "<script>alert" not in text_of(found, "feed.atom")


def app_text(name: str, more: str = "") -> str:
    """Appdata whose name is XML already."""
    return (
        f"<components><component type='desktop-application'><id>org.flatdex.Hello</id><name>{name}</name>"
        f"<summary>{name}</summary>{more}</component></components>"
    )


def test_screenshots_are_links_unless_the_configuration_says_otherwise(tmp_path: Path) -> None:
    more = "<screenshots><screenshot><image width='10' height='10'>https://pictures.example/a.png</image></screenshot></screenshots>"
    path = "apps/org.flatdex.Hello/index.html"
    linked = text_of(made(config(tmp_path), app(more=more)), path)
    assert 'href="https://pictures.example/a.png"' in linked
    assert 'src="https://pictures.example/a.png"' not in linked
    hot = text_of(made(config(tmp_path, "screenshots: hotlink\n"), app(more=more)), path)
    assert 'src="https://pictures.example/a.png"' in hot
    assert "img-src &#39;self&#39; https:" in hot or "img-src 'self' https:" in hot
    plain = text_of(made(config(tmp_path, "screenshots: hotlink\n"), app(more=more.replace("https:", "http:"))), path)
    assert 'src="http://' not in plain
    assert 'href="http://pictures.example/a.png"' in plain


def test_a_sites_own_template_and_look(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "404.html").write_text("gone from {{ remote.title }}, {{ theme.footer }}")
    (tmp_path / "logo.svg").write_text("<svg xmlns='http://www.w3.org/2000/svg'/>")
    more = "templates: ./mine\ntheme: {accent: '#aa0000', logo: ./logo.svg, footer: Made here, links: {Help: 'https://help.example/'}}\n"
    found = made(config(tmp_path, more), app())
    assert text_of(found, "404.html") == "gone from Example, Made here"
    front = read(found, "index.html")
    assert "https://help.example/" in front.links
    (logo,) = {link for link in front.links if link.endswith(".svg")}
    assert bytes_of(found.files[logo]) == (tmp_path / "logo.svg").read_bytes()
    (css,) = [path for path in found.files if path.endswith(".css")]
    assert "#aa0000" in text_of(found, css)


def test_a_template_that_breaks_is_told_by_file_and_line(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "application.html").write_text("fine\n{{ Branding.LogoURL }}\n")
    with pytest.raises(FlatdexError, match=r"mine/application\.html:2: 'Branding' is undefined"):
        made(config(tmp_path, "templates: ./mine\n"), app())


def test_what_pages_can_not_be_made_with_is_checked_with_the_configuration(tmp_path: Path) -> None:
    found = problems(tmp_path, CONFIG + "languages: [en, xx]\ntheme: {logo: ./logo.bmp}\n")
    assert [problem.key for problem in found] == ["languages[1]", "theme.logo"]


def test_a_tag_cannot_be_called_like_a_language(tmp_path: Path) -> None:
    text = CONFIG.replace("latest", "de") + "languages: [en, de]\n"
    (problem,) = problems(tmp_path, text)
    assert problem.key == "indexes.stable.tags[0]"


def test_what_changed_is_on_its_page_and_in_the_feed(tmp_path: Path) -> None:
    of, store = config(tmp_path), Store(tmp_path / "store")
    with store.locked("build", create=True):
        write(store, made(of, app(), app("Old")), of, 1_790_000_000)
        newer = _next(of, store, app(version="1.1"), app("New"))
    page, feed = words(newer, "changes/index.html"), text_of(newer, "feed.atom")
    new = text_of(newer, "index.html").partition('id="new"')[2].partition("</section>")[0]
    assert re.findall(r'href="apps/org\.flatdex\.(\w+)/', new) == ["Hello", "New"]
    for name, kind in (("Hello", "updated"), ("Old", "gone"), ("New", "new")):
        assert name in page
        assert f'<category term="{kind}"/>' in feed
    assert "apps/org.flatdex.New/index.html" in feed
    assert "apps/org.flatdex.Old/index.html" not in feed


def test_what_went_from_one_channel_and_stays_in_another_is_not_new(tmp_path: Path) -> None:
    of, store = config(tmp_path), Store(tmp_path / "store")
    with store.locked("build", create=True):
        write(store, made(of, app(), app(branch="beta")), of, 1_790_000_000)
        newer = _next(of, store, app())
    assert [change.kind for change in newer.changes] == ["gone"]
    assert 'id="new"' not in text_of(newer, "index.html")


def _next(of: Config, store: Store, *images: object, note: dict[str, object] | None = None) -> Site:
    previous = store.newest()
    memory = Memory("", previous, note)
    return made(of, *images, surroundings=Surroundings(partial(changes, previous, now=1_790_009_999), memory=memory))  # type: ignore[arg-type]


def test_a_page_that_was_made_of_the_same_is_taken_from_the_earlier_snapshot(tmp_path: Path) -> None:
    of, store = config(tmp_path), Store(tmp_path / "store")
    with store.locked("build", create=True):
        memory = Memory()
        first = made(of, app(), app("Other"), surroundings=Surroundings(memory=memory))
        note = memory.note(write(store, first, of, 1_790_000_000).id)
        images = (app(version="1.1"), app("Other"))
        found = _next(of, store, *images, note=note)
        taken = {path for path, content in found.files.items() if isinstance(content, OnDisk)}
        assert "apps/org.flatdex.Other/index.html" in taken
        assert not {"apps/org.flatdex.Hello/index.html", "changes/index.html", "feed.atom"} & taken
        anew = _next(of, store, *images)
        assert not any(isinstance(content, OnDisk) for content in anew.files.values())
        assert {path: bytes_of(content) for path, content in found.files.items()} == {
            path: bytes_of(content) for path, content in anew.files.items()
        }


def test_the_same_images_in_any_order_give_the_same_pages(tmp_path: Path) -> None:
    images = [app(name, tags=("latest", "testing")) for name in ("Beta", "Alpha", "Gamma")]
    one, other = made(config(tmp_path, text=TWO_TAGS), *images), made(config(tmp_path, text=TWO_TAGS), *images[::-1])
    assert {path: content.sha256 for path, content in one.files.items()} == {
        path: content.sha256 for path, content in other.files.items()
    }

"""What of an image's metadata goes into index files, checked: icons, which may become files, and appdata."""

from __future__ import annotations

from collections.abc import Container, Hashable, Iterable, Iterator, Mapping
from functools import partial

from builder import flatpak, processes
from builder.appdata import reading
from builder.appdata.components import Component, look
from builder.appdata.versions import newest_version
from builder.catalog import Image, Skip
from builder.config import Config, Form, Index
from builder.content import Content, InMemory
from builder.memo import NOTHING, Memo
from builder.site import icons, index

_Key = tuple[bool, str, str, str]


class Labels:
    """The entries of images in index files, each made once; beside them the icons' files, and what was left out."""

    def __init__(self, config: Config, checked_icons: Container[str], memo: Memo = NOTHING) -> None:
        self._config = config
        self._checked_icons = checked_icons
        self._memo = memo
        self._icons: dict[str, InMemory | str] = {}
        self._appdata: dict[str, str] = {}
        self._components: dict[str, tuple[Component, ...]] = {}
        self._known: dict[_Key, Mapping[str, str]] = {}
        self._entries: dict[tuple[_Key, frozenset[str], Form], bytes] = {}
        self.files: dict[str, Content] = {}
        self.skips: set[Skip] = set()

    def entry(self, of: Index, image: Image, form: Form, up: str) -> bytes:
        """The entry of `image` in a file of the index `of`; `up` is put before relative URLs."""
        key = (of.extract_icons, image.source, image.repository, image.digest)
        if key not in self._known:
            metadata = index.with_token(index.slim(image.metadata), self._config.source(image.source).token)
            self._known[key] = dict(self._checked(image, metadata, of.extract_icons))
        place = (key, image.tags, form)
        if place not in self._entries:
            made = partial(index.entry, image, form, self._known[key])
            # What is kept of earlier has fewer labels than the image itself.
            self._entries[place] = made() if image.kept else self._memo.of(("entry", place), made)
        entry = self._entries[place]
        return self._memo.of(("raised", entry, up), partial(index.raised, entry, up)) if up else entry

    def appdata(self, image: Image) -> str:
        """An image's appdata; empty if it has none that can be read."""
        appdata = image.metadata.get(flatpak.APPDATA, "")
        return "" if not appdata or self._fault(appdata) else appdata

    def version(self, image: Image) -> str:
        """The newest version that an image's appdata tells of; empty if it tells of none."""
        appdata = self.appdata(image)
        return self._memo.of((newest_version, appdata), partial(newest_version, appdata))

    def read(self, shown: Iterable[Image], others: Iterable[Image], languages: tuple[str, ...]) -> None:
        """Reads the appdata of all images, and what that of those that are `shown` says in these languages."""
        # Alike beside alike, so that each process gets as much of both.
        work = {text: partial(look, text, languages) for text in _texts(shown)}
        for text in _texts(others):
            work.setdefault(text, partial(_only_fault, text))
        new = {text: piece for text, piece in work.items() if not self._memo.has(_look_of(piece))}
        done = dict(zip(new, processes.shared_out(list(new.values())), strict=True))
        for text, piece in work.items():
            found = self._memo.of(_look_of(piece), partial(done.__getitem__, text))
            self._appdata[text], self._components[text] = found

    def components(self, image: Image) -> tuple[Component, ...]:
        """What the appdata of an image that was read as `shown` says; nothing if it can't be read."""
        return self._components.get(image.metadata.get(flatpak.APPDATA, ""), ())

    def icons(self, image: Image) -> tuple[tuple[int, str], ...]:
        """An image's icons as files of the site, for its pages: their sizes in pixels, and their paths."""
        found = (
            (size, self._icon(image.metadata[key])) for key, size in flatpak.ICONS.items() if key in image.metadata
        )
        return tuple((size, self._file(icon)) for size, icon in found if not isinstance(icon, str))

    def _checked(self, image: Image, metadata: Mapping[str, str], extract: bool) -> Iterator[tuple[str, str]]:
        for key, value in metadata.items():
            if key in flatpak.ICONS:
                icon = self._icon(value)
                if isinstance(icon, str):
                    self._skip(image, "icon-rejected", f"{key}: {icon}; the image is published without it")
                else:
                    yield key, self._extracted(icon) if extract else value
            elif key == flatpak.APPDATA and (fault := self._fault(value)):
                self._skip(
                    image, "appdata-broken", f"{fault}; the image is published without it, so no search finds it"
                )
            else:
                yield key, value

    def _icon(self, value: str) -> InMemory | str:
        """The icon, or why it is none."""
        if value not in self._icons:
            try:
                self._icons[value] = self._memo.of(("icon", value), partial(self._decoded, value))
            except icons.Rejected as error:
                self._icons[value] = str(error)
        return self._icons[value]

    def _decoded(self, value: str) -> InMemory:
        return InMemory(icons.decoded(value, self._checked_icons))

    def _extracted(self, icon: InMemory) -> str:
        return self._config.icons.url + self._file(icon).removeprefix(f"{self._config.icons.folder}/")

    def _file(self, icon: InMemory) -> str:
        path = f"{self._config.icons.folder}/{icons.path(icon.sha256)}"
        self.files[path] = icon
        return path

    def _fault(self, appdata: str) -> str:
        if appdata not in self._appdata:
            self._appdata[appdata] = reading.fault(appdata)
        return self._appdata[appdata]

    def _skip(self, image: Image, code: str, why: str) -> None:
        self.skips.add(Skip(image.source, image.repository, image.digest, code, why))


def _texts(images: Iterable[Image]) -> Iterator[str]:
    return filter(None, (image.metadata.get(flatpak.APPDATA) for image in images))


def _look_of(piece: partial[tuple[str, tuple[Component, ...]]]) -> Hashable:
    """What a look at appdata depends on, and nothing else: the function and its arguments."""
    return (piece.func, *piece.args)


def _only_fault(text: str) -> tuple[str, tuple[Component, ...]]:
    return reading.fault(text), ()

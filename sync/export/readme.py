"""`README.txt`: how to use a stick, for whoever finds one, on any system."""

from __future__ import annotations

from collections.abc import Collection

from builder import flatpak, templating
from builder.description import Snapshot, time_text
from builder.oci import Malformed
from sync.export.layout import Offered

_MARK = "\ufeff"
"""By this, older programs on Windows know that a text is UTF-8."""


def text(snapshot: Snapshot, images: Collection[Offered], since: str | None) -> bytes:
    """The file's bytes, with the line ends of Windows."""
    remote = snapshot.document["remote"]
    applications = [each for each in images if _is_application(each)]
    repos = sorted(each.path for each in snapshot.files if each.path.endswith(".flatpakrepo") and "/" not in each.path)
    name = str(remote.get("name") or "")
    main = f"{name}.flatpakrepo"
    found = templating.render(
        "stick-readme.txt",
        title=remote.get("title") or name or "Flatpaks",
        name=name or "stick",
        repo=main if main in repos else "",
        url=remote.get("url") or "",
        id=snapshot.id,
        created=time_text(snapshot.created),
        since=since,
        lines=[_line(each) for each in applications],
        example=_id(applications[0]) if applications else "org.example.App",
        has_page="index.html" in snapshot.by_path,
    )
    plain = "\r\n".join(found.splitlines()) + "\r\n"
    return (plain if plain.isascii() else _MARK + plain).encode("utf-8")


def _is_application(image: Offered) -> bool:
    return image.ref.startswith("app/")


def _id(image: Offered) -> str:
    try:
        return flatpak.parse_ref(image.ref).id
    except Malformed:
        return image.ref


def _line(image: Offered) -> str:
    """An application in a list: what it is called, and by which ref."""
    known = " ".join(_plain(word) for word in (image.name, image.version) if word)
    return f"{image.ref}{f'  ({known})' if known else ''}"


def _plain(words: str) -> str:
    return " ".join("".join(letter if letter.isprintable() else " " for letter in words).split())

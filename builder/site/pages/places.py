"""Which of a user's files an application may read or change."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from builder.site.pages.allowed import Level, Permission, listed
from builder.site.pages.messages import N_

_HOST = frozenset({"host", "host-root", "/"})
_HOME = frozenset({"home", "~", "/home"})
_SYSTEM = frozenset({"host-os", "host-etc"})
_FOLDERS = {
    "xdg-desktop": (N_("Can read the files on your desktop"), N_("Can read and change the files on your desktop")),
    "xdg-documents": (N_("Can read your documents"), N_("Can read and change your documents")),
    "xdg-download": (N_("Can read your downloads"), N_("Can read and change your downloads")),
    "xdg-music": (N_("Can read your music"), N_("Can read and change your music")),
    "xdg-pictures": (N_("Can read your pictures"), N_("Can read and change your pictures")),
    "xdg-videos": (N_("Can read your videos"), N_("Can read and change your videos")),
    "xdg-public-share": (N_("Can read your public folder"), N_("Can read and change your public folder")),
    "xdg-templates": (N_("Can read your templates"), N_("Can read and change your templates")),
}
_NAMED = {
    "xdg-config": "~/.config",
    "xdg-data": "~/.local/share",
    "xdg-cache": "~/.cache",
    "xdg-state": "~/.local/state",
}
_DATA = frozenset({*_NAMED.values(), "~/.local"})
_DRIVES = ("/media", "/run/media", "/mnt", "/var/run/media")
_SECRET = ("~/.ssh", "~/.gnupg", "~/.local/share/keyrings", "~/.password-store", "~/.pki", "~/.aws")
# Whoever writes there has programs started the next time that you log in, or an application let out of its sandbox.
_STARTED = (
    *("~/.bashrc", "~/.bash_profile", "~/.profile", "~/.zshrc", "~/.local/bin", "~/bin", "~/.config/autostart"),
    *("~/.config/systemd", "~/.local/share/flatpak", "~/.local/share/applications", "~/.config/environment.d"),
)
_POWERFUL = ("docker.sock", "podman/podman.sock", "systemd/private")
_GVFS = ("xdg-run/gvfs", "xdg-run/gvfsd")
_PIPEWIRE = "xdg-run/pipewire-0"

_ESCAPE = Permission(
    Level.RISKY,
    N_("Can have programs started outside its sandbox"),
    N_("It can change files which decide what is started when you log in, or talk to a service that starts programs."),
)


def permissions(entries: Iterable[str]) -> Iterator[Permission]:
    """For the entries of `filesystems`: places, each perhaps with `:ro`, `:rw` or `:create`, or denied with a `!`."""
    places = _places(entries)
    yield from _everything(places)
    places = {place: change for place, change in places.items() if not _covered(place, change, places)}
    others: dict[bool, list[str]] = {True: [], False: []}
    for place, change in places.items():
        found = _known(place, change)
        if found is None:
            others[change].append(place)
        else:
            yield from found
    yield from _others(others)


def _places(entries: Iterable[str]) -> dict[str, bool]:
    """By place, in one form for each, whether it can be changed."""
    found: dict[str, bool] = {}
    for entry in entries:
        place, _, mode = entry.removeprefix("!").rpartition(":")
        if mode not in ("ro", "rw", "create", "reset"):
            place, mode = entry.removeprefix("!"), "rw"
        place = _form(place)
        if entry.startswith("!"):
            found.pop(place, None)
            if mode == "reset":
                found.clear()
        elif place:
            found[place] = mode != "ro"
    return found


def _form(place: str) -> str:
    place = place.rstrip("/") or place[:1]
    place = {**dict.fromkeys(_HOST, "host"), **dict.fromkeys(_HOME, "home")}.get(place, place)
    first, slash, rest = place.partition("/")
    return f"{_NAMED[first]}{slash}{rest}" if first in _NAMED else place


def _everything(places: Mapping[str, bool]) -> Iterator[Permission]:
    if places.get("host"):
        yield Permission(
            Level.RISKY,
            N_("Can read and change all your files"),
            N_("Including those that decide which programs are started when you log in."),
        )
    elif "host" in places and not places.get("home"):
        yield Permission(Level.RISKY, N_("Can read all your files"), N_("Including passwords and keys kept there."))
    if places.get("home") and not places.get("host"):
        yield Permission(
            Level.RISKY,
            N_("Can read and change all files in your home folder"),
            N_("Including those that decide which programs are started when you log in."),
        )
    elif "home" in places and "host" not in places:
        yield Permission(
            Level.RISKY, N_("Can read all files in your home folder"), N_("Including passwords and keys kept there.")
        )


def _covered(place: str, change: bool, places: Mapping[str, bool]) -> bool:
    """Whether all that it allows was said of your home, or of everything."""
    if place in ("host", "home"):
        return True
    in_home = place.startswith("~") or (place.startswith("xdg-") and not place.startswith("xdg-run"))
    wide = [places[each] for each in ("host", *(("home",) if in_home else ())) if each in places]
    elsewhere = place.startswith(("/run", "/var/run", "xdg-run"))
    return not elsewhere and any(all_of_it or not change for all_of_it in wide)


def _known(place: str, change: bool) -> list[Permission] | None:
    """What is to be said of a place; None if there are no words for it."""
    if place in _SYSTEM:
        return [Permission(Level.NOTABLE, N_("Can read the programs and the settings of your system"))]
    if place in _FOLDERS:
        return [Permission(Level.NOTABLE, _FOLDERS[place][change])]
    if place in _DATA or _below(place, ("~/.var",)):
        title = N_("Can read and change settings and data of other applications") if change else _READ_SETTINGS
        return [Permission(Level.RISKY, title)]
    if place == "xdg-run" or place.endswith(_POWERFUL) or (change and _below(place, _STARTED)):
        return [_ESCAPE]
    if _below(place, _SECRET):
        return [
            Permission(Level.RISKY, N_("Can read your keys and passwords in %(places)s"), values=(("places", place),))
        ]
    if _below(place, _GVFS):
        return [Permission(Level.NOTABLE, N_("Can read and change files on servers that you are connected to"))]
    if place == _PIPEWIRE:
        return [Permission(Level.NOTABLE, N_("Can use sound and video devices without asking"))]
    if _below(place, _DRIVES):
        return [Permission(Level.NOTABLE, _DRIVE_FILES[change])]
    return None


_READ_SETTINGS = N_("Can read settings and data of other applications")
_DRIVE_FILES = (
    N_("Can read files on USB sticks and other drives"),
    N_("Can read and change files on USB sticks and other drives"),
)


def _below(place: str, tops: Iterable[str]) -> bool:
    return any(place == top or place.startswith(top + "/") for top in tops)


def _others(others: Mapping[bool, list[str]]) -> Iterator[Permission]:
    if others[True]:
        title = N_("Can read and change files in: %(places)s")
        yield Permission(Level.NOTABLE, title, values=(("places", listed(others[True])),))
    if others[False]:
        yield Permission(Level.SAFE, N_("Can read files in: %(places)s"), values=(("places", listed(others[False])),))

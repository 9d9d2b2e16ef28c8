"""What an application may do on a user's machine, from its metadata, in words that a person understands."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from builder.appdata import markup
from builder.site.pages import buses, places
from builder.site.pages.allowed import Level as Level
from builder.site.pages.allowed import Permission as Permission
from builder.site.pages.allowed import listed
from builder.site.pages.messages import N_

Groups = Mapping[str, Mapping[str, str]]

_LONGEST = 256 * 1024  # characters
_ORDER = (Level.RISKY, Level.NOTABLE, Level.SAFE)

_NOTHING = Permission(
    Level.SAFE,
    N_("Needs no special permissions"),
    N_("It sees nothing but its own files, and asks before it uses anything else."),
)

# None: nothing that a user has to know of. What is in no table is named as it is.
_SHARED = {
    "network": Permission(
        Level.NOTABLE,
        N_("Has access to the network"),
        N_("It can send what it can read to anybody, and receive anything."),
    ),
    "ipc": Permission(Level.SAFE, N_("Can share memory with other applications"), N_("Graphics are faster this way.")),
}
_X11 = Permission(
    Level.RISKY,
    N_("Can see and control other windows (X11)"),
    N_("It can read what you type in other windows, take pictures of them, and type in your place."),
)
_FALLBACK_X11 = Permission(
    Level.NOTABLE,
    N_("Can see and control other windows if your desktop uses X11"),
    N_("With Wayland, which most desktops use today, it can’t."),
)
_SOCKETS = {
    "x11": _X11,
    "fallback-x11": _FALLBACK_X11,
    "wayland": None,
    "inherit-wayland-socket": None,
    "pulseaudio": Permission(
        Level.NOTABLE, N_("Can play and record sound"), N_("It can listen to microphones without asking.")
    ),
    "session-bus": Permission(
        Level.RISKY,
        N_("Can control your whole session"),
        N_("It can talk to all your applications, and start programs that do whatever you can do."),
    ),
    "system-bus": Permission(
        Level.RISKY, N_("Can talk to all services of the system"), N_("Whatever they do for you, they will do for it.")
    ),
    "ssh-auth": Permission(
        Level.RISKY, N_("Can use your SSH keys"), N_("It can log in wherever you can, but doesn’t see the keys.")
    ),
    "gpg-agent": Permission(
        Level.RISKY, N_("Can use your GPG keys"), N_("It can sign and decrypt in your name, but doesn’t see the keys.")
    ),
    "pcsc": Permission(Level.NOTABLE, N_("Can use smart cards")),
    "cups": Permission(Level.SAFE, N_("Can print")),
}
_DEVICES = {
    "all": Permission(
        Level.NOTABLE,
        N_("Can use all devices"),
        N_("Cameras, game controllers and anything else that is plugged in, without asking."),
    ),
    "dri": Permission(Level.SAFE, N_("Can use the graphics card")),
    "input": Permission(Level.NOTABLE, N_("Can use game controllers and other input devices")),
    "kvm": Permission(Level.SAFE, N_("Can run virtual machines")),
    "shm": Permission(Level.NOTABLE, N_("Can see memory that other programs share")),
    "usb": Permission(Level.NOTABLE, N_("Can use all USB devices")),
}
_FEATURES = {
    "devel": Permission(
        Level.NOTABLE,
        N_("Can look into running programs, as developers do"),
        N_("Only its own, but it may use system calls that other applications may not."),
    ),
    "multiarch": Permission(Level.SAFE, N_("Can run programs that were made for other processors")),
    "bluetooth": Permission(Level.NOTABLE, N_("Can use Bluetooth")),
    "canbus": Permission(Level.NOTABLE, N_("Can use the network inside vehicles and machines (CAN bus)")),
    "per-app-dev-shm": None,
}
_TABLES: Mapping[str, Mapping[str, Permission | None]] = {
    "sockets": _SOCKETS,
    "devices": _DEVICES,
    "shared": _SHARED,
    "features": _FEATURES,
}


def permissions(metadata: str) -> tuple[Permission, ...]:
    """What the metadata (Flatpak's key file) allows, the most far-reaching first; one SAFE entry if it is nothing."""
    groups = _groups(metadata)
    context = groups.get("Context", {})
    found = [
        *buses.permissions(groups),
        *places.permissions(_items(context.get("filesystems", ""))),
        *_of_tables(context),
        *_usb(groups.get("USB Devices", {})),
        *_persistent(_items(context.get("persistent", ""))),
    ]
    found = list(dict.fromkeys(found))
    return tuple(sorted(found, key=lambda each: _ORDER.index(each.level))) or (_NOTHING,)


def _groups(metadata: str) -> Groups:
    """The key file's groups and keys; lines that are neither are left out, for nobody vouches for the text."""
    groups: dict[str, dict[str, str]] = {}
    group: dict[str, str] = {}
    for line in metadata[:_LONGEST].split("\n"):
        line = line.strip()
        if line.startswith("[") and line.endswith("]"):
            group = groups.setdefault(line[1:-1], {})
        elif "=" in line and not line.startswith("#"):
            key, _, value = line.partition("=")
            group[key.rstrip()] = value.lstrip()
    return groups


def _items(value: str) -> list[str]:
    """The items of a list that hold something, each once, clean."""
    return list(dict.fromkeys(filter(None, (markup.cut(markup.clean(item), 100) for item in value.split(";")))))


def _of_tables(context: Mapping[str, str]) -> Iterator[Permission]:
    unknown = []
    for key, table in _TABLES.items():
        names = _allowed(_items(context.get(key, "")))
        if key == "devices" and "all" in names:
            names = {"all": None}
        for name in names:
            if name not in table:
                unknown.append(name)
            elif (permission := table[name]) and not (name == "x11" and "fallback-x11" in names):
                yield permission
    if unknown:
        yield Permission(
            Level.NOTABLE,
            N_("Has permissions that are not known here: %(names)s"),
            values=(("names", listed(unknown)),),
        )


def _allowed(items: list[str]) -> dict[str, None]:
    """The names, without those that are denied.

    `if:NAME:CONDITION` may come true; for X11 the condition is that there is no Wayland.
    """
    names: dict[str, None] = {}
    for item in items:
        if item.startswith("!"):
            names.pop(item[1:], None)
        elif item.startswith("if:"):
            name = item.split(":")[1]
            names["fallback-x11" if name == "x11" else name or item] = None
        else:
            names[item] = None
    return names


def _usb(group: Mapping[str, str]) -> Iterator[Permission]:
    if _items(group.get("enumerable-devices", "")):
        yield Permission(Level.SAFE, N_("Can ask you for access to USB devices"))


def _persistent(names: list[str]) -> Iterator[Permission]:
    if names:
        yield Permission(
            Level.SAFE,
            N_("Keeps some of its files in a private folder: %(places)s"),
            values=(("places", listed(names)),),
        )

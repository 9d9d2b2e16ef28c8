"""Which services an application may talk to, on the session's bus and on the system's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping

from builder.appdata import markup
from builder.site.pages.allowed import Level, Permission, listed
from builder.site.pages.messages import N_

_ESCAPE = Permission(
    Level.RISKY,
    N_("Can start any program outside its sandbox"),
    N_("Such a program can do whatever you can do: all your files, all your devices, the network."),
)
_PASSWORDS = Permission(Level.RISKY, N_("Can read and change all your saved passwords"))
_SETTINGS = Permission(
    Level.RISKY,
    N_("Can read and change the settings of your desktop and of other applications"),
    N_("A setting can also be a program that is started."),
)
_PERMISSIONS = Permission(Level.RISKY, N_("Can give itself permissions that you would be asked for"))
_DESKTOP = Permission(Level.RISKY, N_("Can control your desktop"), N_("How much it can do depends on the desktop."))
_AWAKE = Permission(Level.SAFE, N_("Can keep the screen from being locked"))
_ACCOUNTS = Permission(Level.NOTABLE, N_("Can use your online accounts, and read your mail, contacts and calendars"))
_SEARCH = Permission(Level.NOTABLE, N_("Can search the names and contents of your files"))
_BLUETOOTH = Permission(Level.NOTABLE, N_("Can use Bluetooth"))
_SERVERS = Permission(Level.NOTABLE, N_("Can read and change files on servers that you are connected to"))
_NETWORKS = Permission(Level.NOTABLE, N_("Can see and change the settings of your network"))

# By a service's name, also for all names that begin with it and a dot. None: nothing that a user has to know of.
_SESSION: Mapping[str, Permission | None] = {
    "org.freedesktop.Flatpak": _ESCAPE,
    "org.freedesktop.systemd1": _ESCAPE,
    "org.kde.klauncher": _ESCAPE,
    "org.kde.klauncher5": _ESCAPE,
    "org.freedesktop.impl.portal": _PERMISSIONS,
    "org.freedesktop.secrets": _PASSWORDS,
    "org.gnome.keyring": _PASSWORDS,
    "org.kde.kwalletd": _PASSWORDS,
    "org.kde.kwalletd5": _PASSWORDS,
    "org.kde.kwalletd6": _PASSWORDS,
    "ca.desrt.dconf": _SETTINGS,
    "org.gnome.SettingsDaemon": _SETTINGS,
    "org.gnome.SettingsDaemon.MediaKeys": None,
    "org.gnome.Shell": _DESKTOP,
    "org.gnome.Mutter": _DESKTOP,
    "org.kde.KWin": _DESKTOP,
    "org.kde.plasmashell": _DESKTOP,
    "org.a11y.Bus": Permission(Level.RISKY, N_("Can see and control what is in other windows")),
    "org.gtk.vfs": _SERVERS,
    "org.freedesktop.Tracker1": _SEARCH,
    "org.freedesktop.Tracker3": _SEARCH,
    "org.freedesktop.LocalSearch3": _SEARCH,
    "org.gnome.OnlineAccounts": _ACCOUNTS,
    "org.gnome.evolution.dataserver": _ACCOUNTS,
    "org.freedesktop.Notifications": Permission(Level.SAFE, N_("Can show notifications")),
    "org.freedesktop.ScreenSaver": _AWAKE,
    "org.freedesktop.PowerManagement": _AWAKE,
    "org.gnome.SessionManager": _AWAKE,
    "org.gnome.ScreenSaver": _AWAKE,
    "org.freedesktop.portal": None,
    "org.freedesktop.FileManager1": None,
    "org.kde.StatusNotifierWatcher": None,
    "org.ayatana.indicator.application": None,
    "com.canonical.AppMenu.Registrar": None,
    "com.canonical.Unity": None,
    "org.mpris.MediaPlayer2": Permission(Level.SAFE, N_("Can control media players, or be controlled as one")),
}
_SYSTEM: Mapping[str, Permission | None] = {
    "org.freedesktop.systemd1": Permission(Level.RISKY, N_("Can start and stop services of the system")),
    "org.freedesktop.PackageKit": Permission(Level.RISKY, N_("Can install and remove software")),
    "org.freedesktop.Flatpak.SystemHelper": Permission(Level.RISKY, N_("Can install and remove software")),
    "org.freedesktop.PolicyKit1": Permission(Level.NOTABLE, N_("Can ask for administrator rights")),
    "org.freedesktop.login1": Permission(
        Level.NOTABLE, N_("Can put the computer to sleep, restart it or switch it off")
    ),
    "org.freedesktop.UDisks2": Permission(Level.NOTABLE, N_("Can manage your drives")),
    "org.freedesktop.NetworkManager": _NETWORKS,
    "org.freedesktop.resolve1": _NETWORKS,
    "org.bluez": _BLUETOOTH,
    "org.freedesktop.GeoClue2": Permission(Level.NOTABLE, N_("Can ask for your location")),
    "org.freedesktop.Avahi": Permission(Level.SAFE, N_("Can look for devices on your network")),
    "org.freedesktop.UPower": None,
    "org.freedesktop.timedate1": None,
    "org.freedesktop.hostname1": None,
    "org.freedesktop.locale1": None,
}


def permissions(groups: Mapping[str, Mapping[str, str]]) -> Iterator[Permission]:
    """For the groups of a key file that say which services of a bus may be seen, talked to or offered."""
    application = groups.get("Application", {}).get("name", "")
    others: list[str] = []
    offered: list[str] = []
    for bus, table in (("Session", _SESSION), ("System", _SYSTEM), ("Accessibility", {})):
        for name, policy in groups.get(f"{bus} Bus Policy", {}).items():
            if policy.strip() not in ("talk", "own"):
                continue
            found = _known(name, table)
            yield from (permission for permission in found if permission)
            if not found and not (application and _below(name, application)):
                (others if policy.strip() == "talk" else offered).append(markup.cut(markup.clean(name), 100))
    yield from _others(others, offered)


def _known(name: str, table: Mapping[str, Permission | None]) -> list[Permission | None]:
    """What is known of a service, by the longest name that fits; of `NAME.*` what is known of all below it."""
    top = name.removesuffix("*").rstrip(".")
    fitting = [each for each in table if _below(top, each)]
    found = [table[max(fitting, key=len)]] if fitting else []
    return found + [each for below, each in table.items() if name.endswith("*") and _below(below, top)]


def _below(name: str, top: str) -> bool:
    return not top or name == top or name.startswith(top + ".")


def _others(others: Iterable[str], offered: Iterable[str]) -> Iterator[Permission]:
    names, own = list(dict.fromkeys(others)), list(dict.fromkeys(offered))
    if names:
        yield Permission(Level.NOTABLE, N_("Can talk to other programs: %(names)s"), values=(("names", listed(names)),))
    if own:
        yield Permission(
            Level.SAFE, N_("Offers a service to other programs: %(names)s"), values=(("names", listed(own)),)
        )

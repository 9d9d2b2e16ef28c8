"""What an application may do, in words: nothing far-reaching goes unsaid, whatever form it was asked for in."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.site.pages.permissions import Level, Permission, permissions

APPLICATION = "[Application]\nname=org.example.App\nruntime=org.example.Platform/x86_64/1\n"
NOTHING = "Needs no special permissions"


def context(**lists: str) -> tuple[Permission, ...]:
    return permissions(f"{APPLICATION}[Context]\n" + "".join(f"{key}={value}\n" for key, value in lists.items()))


def said(found: tuple[Permission, ...]) -> list[tuple[str, str]]:
    """Levels and titles as they are shown in English; details have to come out, too."""
    assert all(each.detail % dict(each.values) == each.detail for each in found if each.detail)
    return [(each.level.value, each.title % dict(each.values)) for each in found]


@pytest.mark.parametrize(
    "metadata", ["", "[Context]", APPLICATION, "[Runtime]\nname=org.example.Platform\n", "nonsense"]
)
def test_nothing_is_one_safe_entry(metadata: str) -> None:
    assert said(permissions(metadata)) == [("safe", NOTHING)]


@pytest.mark.parametrize(
    ("key", "name", "level", "title"),
    [
        ("shared", "network", "notable", "Has access to the network"),
        ("shared", "ipc", "safe", "Can share memory with other applications"),
        ("sockets", "x11", "risky", "Can see and control other windows (X11)"),
        ("sockets", "fallback-x11", "notable", "Can see and control other windows if your desktop uses X11"),
        ("sockets", "wayland", "safe", NOTHING),
        ("sockets", "inherit-wayland-socket", "safe", NOTHING),
        ("sockets", "pulseaudio", "notable", "Can play and record sound"),
        ("sockets", "session-bus", "risky", "Can control your whole session"),
        ("sockets", "system-bus", "risky", "Can talk to all services of the system"),
        ("sockets", "ssh-auth", "risky", "Can use your SSH keys"),
        ("sockets", "gpg-agent", "risky", "Can use your GPG keys"),
        ("sockets", "pcsc", "notable", "Can use smart cards"),
        ("sockets", "cups", "safe", "Can print"),
        ("devices", "all", "notable", "Can use all devices"),
        ("devices", "dri", "safe", "Can use the graphics card"),
        ("devices", "input", "notable", "Can use game controllers and other input devices"),
        ("devices", "kvm", "safe", "Can run virtual machines"),
        ("devices", "shm", "notable", "Can see memory that other programs share"),
        ("devices", "usb", "notable", "Can use all USB devices"),
        ("features", "devel", "notable", "Can look into running programs, as developers do"),
        ("features", "multiarch", "safe", "Can run programs that were made for other processors"),
        ("features", "bluetooth", "notable", "Can use Bluetooth"),
        ("features", "canbus", "notable", "Can use the network inside vehicles and machines (CAN bus)"),
        ("features", "per-app-dev-shm", "safe", NOTHING),
        ("persistent", ".app;.b", "safe", "Keeps some of its files in a private folder: .app, .b"),
        ("sockets", "telepathy", "notable", "Has permissions that are not known here: telepathy"),
        ("sockets", "!x11", "safe", NOTHING),
        ("sockets", "x11;!x11", "safe", NOTHING),
        (
            "sockets",
            "x11;wayland;fallback-x11",
            "notable",
            "Can see and control other windows if your desktop uses X11",
        ),
        ("sockets", "if:x11:!has-wayland", "notable", "Can see and control other windows if your desktop uses X11"),
        ("sockets", "if:pulseaudio:x", "notable", "Can play and record sound"),
        ("sockets", "if:", "notable", "Has permissions that are not known here: if:"),
        ("devices", "dri;all;kvm", "notable", "Can use all devices"),
    ],
)
def test_each_permission_has_its_words(key: str, name: str, level: str, title: str) -> None:
    assert said(context(**{key: name})) == [(level, title)]


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ("host", [("risky", "Can read and change all your files")]),
        ("host:rw", [("risky", "Can read and change all your files")]),
        ("host-root", [("risky", "Can read and change all your files")]),
        ("/", [("risky", "Can read and change all your files")]),
        ("host;home;xdg-documents;/srv;~/.ssh", [("risky", "Can read and change all your files")]),
        ("host:ro", [("risky", "Can read all your files")]),
        ("home", [("risky", "Can read and change all files in your home folder")]),
        ("~/", [("risky", "Can read and change all files in your home folder")]),
        ("home:create", [("risky", "Can read and change all files in your home folder")]),
        ("home:ro;xdg-music:ro", [("risky", "Can read all files in your home folder")]),
        ("host:ro;home", [("risky", "Can read and change all files in your home folder")]),
        (
            "home:ro;xdg-music",
            [("risky", "Can read all files in your home folder"), ("notable", "Can read and change your music")],
        ),
        (
            "home;/srv",
            [
                ("risky", "Can read and change all files in your home folder"),
                ("notable", "Can read and change files in: /srv"),
            ],
        ),
        ("host-os", [("notable", "Can read the programs and the settings of your system")]),
        ("host-etc;host-os", [("notable", "Can read the programs and the settings of your system")]),
        ("xdg-documents", [("notable", "Can read and change your documents")]),
        ("xdg-download:ro", [("notable", "Can read your downloads")]),
        ("xdg-pictures/", [("notable", "Can read and change your pictures")]),
        ("xdg-config", [("risky", "Can read and change settings and data of other applications")]),
        ("~/.config:ro", [("risky", "Can read settings and data of other applications")]),
        ("~/.var/app", [("risky", "Can read and change settings and data of other applications")]),
        ("xdg-config/kdeglobals:ro", [("safe", "Can read files in: ~/.config/kdeglobals")]),
        ("xdg-config/a;~/b;/c:create", [("notable", "Can read and change files in: ~/.config/a, ~/b, /c")]),
        ("xdg-config/autostart", [("risky", "Can have programs started outside its sandbox")]),
        ("xdg-config/autostart:ro", [("safe", "Can read files in: ~/.config/autostart")]),
        ("~/.bashrc", [("risky", "Can have programs started outside its sandbox")]),
        ("xdg-data/flatpak/overrides", [("risky", "Can have programs started outside its sandbox")]),
        ("/run/docker.sock:ro", [("risky", "Can have programs started outside its sandbox")]),
        (
            "host;/var/run/docker.sock",
            [
                ("risky", "Can have programs started outside its sandbox"),
                ("risky", "Can read and change all your files"),
            ],
        ),
        ("xdg-run", [("risky", "Can have programs started outside its sandbox")]),
        ("~/.ssh:ro", [("risky", "Can read your keys and passwords in ~/.ssh")]),
        ("xdg-run/gvfs", [("notable", "Can read and change files on servers that you are connected to")]),
        ("xdg-run/pipewire-0", [("notable", "Can use sound and video devices without asking")]),
        ("/run/media", [("notable", "Can read and change files on USB sticks and other drives")]),
        ("/media/x:ro", [("notable", "Can read files on USB sticks and other drives")]),
        ("!host", [("safe", NOTHING)]),
        ("host;!host", [("safe", NOTHING)]),
        ("home;~/a;!host:reset", [("safe", NOTHING)]),
        (";;", [("safe", NOTHING)]),
        (
            "".join(f"~/{n};" for n in range(99)),
            [("notable", "Can read and change files in: " + ", ".join(f"~/{n}" for n in range(12)) + ", …")],
        ),
    ],
)
def test_places(places: str, expected: list[tuple[str, str]]) -> None:
    assert sorted(said(context(filesystems=places))) == sorted(expected)


def bus(kind: str, *policies: str) -> list[tuple[str, str]]:
    return said(permissions(f"{APPLICATION}[{kind} Bus Policy]\n" + "\n".join(policies)))


ESCAPE = ("risky", "Can start any program outside its sandbox")
PASSWORDS = ("risky", "Can read and change all your saved passwords")


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("org.freedesktop.Flatpak=talk", ESCAPE),
        ("org.freedesktop.Flatpak = talk", ESCAPE),
        ("org.freedesktop.Flatpak.Development=own", ESCAPE),
        ("org.freedesktop.systemd1=talk", ESCAPE),
        ("org.freedesktop.secrets=talk", PASSWORDS),
        ("org.kde.kwalletd6=talk", PASSWORDS),
        (
            "ca.desrt.dconf=talk",
            ("risky", "Can read and change the settings of your desktop and of other applications"),
        ),
        (
            "org.gnome.SettingsDaemon.Power=talk",
            ("risky", "Can read and change the settings of your desktop and of other applications"),
        ),
        ("org.gnome.SettingsDaemon.MediaKeys=talk", ("safe", NOTHING)),
        ("org.freedesktop.portal.Desktop=talk", ("safe", NOTHING)),
        (
            "org.freedesktop.impl.portal.PermissionStore=talk",
            ("risky", "Can give itself permissions that you would be asked for"),
        ),
        ("org.gnome.Shell=talk", ("risky", "Can control your desktop")),
        ("org.a11y.Bus=talk", ("risky", "Can see and control what is in other windows")),
        ("org.gtk.vfs.*=talk", ("notable", "Can read and change files on servers that you are connected to")),
        ("org.freedesktop.Notifications=talk", ("safe", "Can show notifications")),
        ("org.freedesktop.ScreenSaver=talk", ("safe", "Can keep the screen from being locked")),
        ("org.example.App.Helper=own", ("safe", NOTHING)),
        ("org.example.Application=own", ("safe", "Offers a service to other programs: org.example.Application")),
        ("org.other.App=talk", ("notable", "Can talk to other programs: org.other.App")),
        ("org.freedesktop.Flatpak=none", ("safe", NOTHING)),
        ("org.freedesktop.Flatpak=see", ("safe", NOTHING)),
        ("org.freedesktop.Flatpaks=talk", ("notable", "Can talk to other programs: org.freedesktop.Flatpaks")),
    ],
)
def test_services_of_the_session(policy: str, expected: tuple[str, str]) -> None:
    assert bus("Session", policy) == [expected]


@pytest.mark.parametrize("name", ["org.freedesktop.*", "org.*", "*"])
def test_a_pattern_is_all_that_it_covers(name: str) -> None:
    found = bus("Session", f"{name}=talk")
    assert ESCAPE in found and PASSWORDS in found


def test_who_is_called_like_a_service_is_not_spared() -> None:
    metadata = "[Application]\nname=org\n[Session Bus Policy]\norg.freedesktop.Flatpak=talk\n"
    assert said(permissions(metadata)) == [ESCAPE]


@pytest.mark.parametrize(
    ("policy", "expected"),
    [
        ("org.freedesktop.systemd1=talk", ("risky", "Can start and stop services of the system")),
        ("org.freedesktop.UDisks2=talk", ("notable", "Can manage your drives")),
        ("org.bluez=talk", ("notable", "Can use Bluetooth")),
        ("org.freedesktop.UPower=talk", ("safe", NOTHING)),
        ("org.freedesktop.Flatpak=talk", ("notable", "Can talk to other programs: org.freedesktop.Flatpak")),
    ],
)
def test_services_of_the_system(policy: str, expected: tuple[str, str]) -> None:
    assert bus("System", policy) == [expected]


def test_usb_devices_that_are_asked_for() -> None:
    assert said(permissions("[USB Devices]\nenumerable-devices=vnd:0fd9\n")) == [
        ("safe", "Can ask you for access to USB devices")
    ]


def test_the_most_far_reaching_comes_first_and_nothing_twice() -> None:
    found = context(
        shared="ipc;network;network",
        sockets="x11;wayland",
        devices="dri",
        filesystems="xdg-music;home",
        features="bluetooth",
    )
    found += permissions("[Context]\nfeatures=bluetooth\n[System Bus Policy]\norg.bluez=talk\n")
    levels = [each.level for each in found[:-1]]
    order = (Level.RISKY, Level.NOTABLE, Level.SAFE)
    assert levels == sorted(levels, key=order.index)
    assert found[-1] == Permission(Level.NOTABLE, "Can use Bluetooth") and len(set(found[:-1])) == len(found) - 1


def test_groups_are_read_as_a_key_file_is() -> None:
    metadata = (
        "shared=ignored\n[Context]\n# sockets=x11;\nshared = ipc;\n[Other]\nshared=x\n[Context]\r\nshared=network;\r\n"
    )
    assert said(permissions(metadata)) == [("notable", "Has access to the network")]
    metadata = "[Context]\nsockets=cups\n[Other]\n[Context]\ndevices=dri\n"
    assert said(permissions(metadata)) == [("safe", "Can print"), ("safe", "Can use the graphics card")]


HOSTILE = "<script>\u202e%(x)s%s\x1b[31m"


def test_names_are_no_more_than_names() -> None:
    found = permissions(
        f"[Context]\nsockets={HOSTILE};{'x' * 5000}\nfilesystems=~/{HOSTILE}\npersistent={HOSTILE}\n"
        f"[Session Bus Policy]\n{HOSTILE}=talk\na.{HOSTILE}=own\n"
    )
    assert len(found) == 5
    for _, title in said(found):
        assert "<script>%(x)s%s[31m" in title and "\u202e" not in title and len(title) < 400


lines = st.lists(
    st.text(max_size=20)
    | st.sampled_from(
        ["[Context]", "[Session Bus Policy]", "[", "]", "[]", "=", "filesystems=!", "filesystems=:ro;/;//;~"]
    )
    | st.builds(
        lambda key, items: f"{key}={';'.join(items)}",
        st.sampled_from(["sockets", "filesystems", "devices", "shared", "features", "persistent", "*", ".*", "org..*"]),
        st.lists(
            st.text(max_size=8)
            | st.sampled_from(["talk", "host", "xdg-", "xdg-config", "if:", "!", "~x", ":", "home:"])
        ),
    ),
    max_size=12,
)


@given(lines)
def test_any_metadata_says_something(metadata: list[str]) -> None:
    found = permissions("\n".join(metadata))
    assert found
    for _, title in said(found):
        assert re.search(r"\w", title) and "\n" not in title


@pytest.mark.parametrize(
    "metadata",
    [
        "[Session Bus Policy]\n" + "".join(f"a.b{n}=talk\n" for n in range(99_999)),
        "=" * 999_999,
        "[Context]\nfilesystems=" + "~/a;" * 250_000,
    ],
)
def test_a_megabyte_is_read_in_a_moment(metadata: str) -> None:
    assert len(permissions(metadata)) == 1

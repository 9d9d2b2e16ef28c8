"""The appdata of the examples: what software centres and web pages show about them."""

from string import Template

_FRAME = Template("""\
<?xml version="1.0" encoding="UTF-8"?>
<components version="0.8" origin="flatpak">
$component</components>
""")

_APPLICATION = Template("""\
  <component type="desktop-application">
    <id>org.flatdex.Demo</id>
    <name>Flatdex Demo</name>
    <summary>Say hello from a static Flatpak remote</summary>
    <summary xml:lang="de">Grüßt aus einer statischen Flatpak-Quelle</summary>
    <description>
      <p>A very small application that prints one line: a greeting and its own version.</p>
      <p>If you can read that line, the index, the icons and the image all came from plain files on a web server.</p>
      <p xml:lang="de">Eine sehr kleine Anwendung, die eine Zeile ausgibt: einen Gruß und ihre eigene Version.</p>
      <p xml:lang="de">Wer die Zeile lesen kann, hat Index, Symbole und Abbild als einfache Dateien von einem Webserver
        bekommen.</p>
    </description>
    <developer id="org.flatdex"><name>The flatdex examples</name></developer>
    <developer_name>The flatdex examples</developer_name>
    <metadata_license>CC0-1.0</metadata_license>
    <project_license>MIT</project_license>
    <categories>
      <category>Utility</category>
      <category>ConsoleOnly</category>
    </categories>
    <icon type="cached" width="64" height="64">org.flatdex.Demo.png</icon>
    <icon type="cached" width="128" height="128">org.flatdex.Demo.png</icon>
    <launchable type="desktop-id">org.flatdex.Demo.desktop</launchable>
    <content_rating type="oars-1.1"/>
    <releases>
      <release version="$version" date="$date">
        <description>
          <p>The greeting now names version $version.</p>
          <p xml:lang="de">Der Gruß nennt jetzt Version $version.</p>
        </description>
      </release>
    </releases>
    <bundle type="flatpak" runtime="$runtime" sdk="$runtime">$ref</bundle>
  </component>
""")

_RUNTIME = Template("""\
  <component type="runtime">
    <id>org.flatdex.Platform</id>
    <name>Flatdex Platform</name>
    <summary>The runtime of the flatdex demo</summary>
    <summary xml:lang="de">Die Laufzeitumgebung der Flatdex-Demo</summary>
    <description>
      <p>Just enough for a shell script: a shell and the libraries that it is linked with.</p>
      <p>They are copies of those on the machine that wrote this example, so it is not meant for anyone else.</p>
      <p xml:lang="de">Gerade genug für ein Shell-Skript: eine Shell und die Bibliotheken, die sie braucht.</p>
    </description>
    <developer id="org.flatdex"><name>The flatdex examples</name></developer>
    <developer_name>The flatdex examples</developer_name>
    <metadata_license>CC0-1.0</metadata_license>
    <project_license>LicenseRef-free</project_license>
    <icon type="cached" width="64" height="64">org.flatdex.Platform.png</icon>
    <icon type="cached" width="128" height="128">org.flatdex.Platform.png</icon>
    <releases>
      <release version="$version" date="$date"/>
    </releases>
    <bundle type="flatpak" runtime="$runtime" sdk="$runtime">$ref</bundle>
  </component>
""")


def application_appdata(*, version: str, date: str, ref: str, runtime: str) -> str:
    """The appdata of the application; `runtime` is ID/ARCH/BRANCH."""
    return _framed(_APPLICATION, version=version, date=date, ref=ref, runtime=runtime)


def runtime_appdata(*, version: str, date: str, ref: str, runtime: str) -> str:
    """The appdata of the runtime."""
    return _framed(_RUNTIME, version=version, date=date, ref=ref, runtime=runtime)


def _framed(component: Template, **values: str) -> str:
    """Values go in as they are: versions are checked, and dates and refs hold nothing that XML could stumble over."""
    return _FRAME.substitute(component=component.substitute(values))

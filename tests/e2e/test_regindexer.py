"""A regindexer deployment, taken over as it is: the same files, the same icons' folder, the same answers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.site import Flatdex, get
from tests.real.apache import Apache
from tests.real.flatpak import Flatpak
from tests.real.images import APP, RUNTIME, app_layout, runtime_layout
from tests.real.registry import DockerRegistry

INDEX = """
    {name}:
        output: /var/lib/regindexer/index/{file}.json
        registry: {registry}
        registry_public: /
        tags: ['{tag}']
        required_annotations: ['org.flatpak.ref']
        extract_icons: True
"""
CONFIG = (
    """
icons_dir: /var/lib/regindexer/icons/
icons_uri: /app-icons/
indexes:
"""
    + INDEX.replace("{name}", "flatpak").replace("{file}", "flatpak").replace("{tag}", "latest")
    + INDEX.replace("{name}", "flatpak_testing").replace("{file}", "flatpak-testing").replace("{tag}", "testing")
    + INDEX.replace("{name}", "flatpak_amd64").replace("{file}", "flatpak-amd64").replace("{tag}", "latest")
    + "        architectures: ['amd64']\n"
    + INDEX.replace("{name}", "flatpak_testing_amd64")
    .replace("{file}", "flatpak-testing-amd64")
    .replace("{tag}", "testing")
    + "        architectures: ['amd64']\n"
    + """
daemon:
    topic_prefix: org.fedoraproject
    environment: prod
"""
)


@pytest.fixture
def registry(real_tmp: Path) -> Iterator[DockerRegistry]:
    with DockerRegistry(real_tmp / "registry") as server:
        yield server


@pytest.fixture(params=["htaccess", "server"])
def apache(request: pytest.FixtureRequest, real_tmp: Path, registry: DockerRegistry) -> Iterator[Apache]:
    """As it was deployed: two folders aliased into the output, and the registry behind the same host's /v2/."""
    root = real_tmp / "flatdex" / "store" / "current"
    extra = f"""
Alias /index/ "{root}/index/"
Alias /app-icons/ "{root}/app-icons/"
ProxyPass /v2/ {registry.url}/v2/
"""
    server = Apache(real_tmp / "apache", real_tmp / "apache", modules=("proxy", "proxy_http"), extra=extra)
    override = "None" if request.param == "server" else "FileInfo Indexes"
    server.extra += f'<Directory "{root}">\nAllowOverride {override}\nRequire all granted\n</Directory>\n'
    server.extra = server.extra.replace("Require all granted\n", "Options FollowSymLinks\nRequire all granted\n")
    with server:
        yield server


@pytest.fixture
def flatdex(real_tmp: Path, registry: DockerRegistry) -> Flatdex:
    return Flatdex(real_tmp / "flatdex", CONFIG.replace("{registry}", registry.url), "regindexer-config.yaml")


def publish(flatdex: Flatdex, apache: Apache) -> None:
    """`flatdex publish --store DIR`; a server that reads no .htaccess gets its rules from the command."""
    flatdex.run("publish", "--store", "store")
    if "AllowOverride None" in apache.extra and "RewriteEngine" not in apache.extra:
        apache.extra += flatdex.run("rules", "apache", "--store", "store").stdout
        apache.reload()


def test_the_same_flow_from_a_regindexer_configuration(
    flatdex: Flatdex, registry: DockerRegistry, apache: Apache, real_tmp: Path, tmp_path: Path
) -> None:
    registry.copy(runtime_layout(tmp_path), "org.flatdex.platform:latest")
    registry.copy(app_layout(tmp_path, version="1.0"), "hello:latest")
    publish(flatdex, apache)
    client = Flatpak(real_tmp / "client")
    client.remote_add("fedora", apache.url)
    with client.authenticator():
        assert client.run("remote-ls", "fedora").returncode == 0
        client.run("update", "--appstream", "fedora")
        assert APP in client.run("search", "hello", "--columns=application").stdout
        client.run("install", "--noninteractive", "fedora", APP)
        listed = client.run("list", "--columns=application").stdout.split()
        assert sorted(listed) == [APP, RUNTIME]
        if client.can_run:
            assert client.run("run", APP).stdout == "hello 1.0\n"
        registry.copy(app_layout(tmp_path, version="1.1"), "hello:latest")
        publish(flatdex, apache)
        expire(client)
        client.run("update", "--noninteractive")
    if client.can_run:
        assert client.run("run", APP).stdout == "hello 1.1\n"
    icons = [line for line in apache.access_log() if line.path.startswith("/app-icons/")]
    assert {line.status for line in icons} == {200}
    assert len({line.path for line in icons}) == len(icons)


def expire(client: Flatpak) -> None:
    """Lets the 30 minutes pass that regindexer's deployments gave an index: the client forgets what it cached."""
    caches = list(client.folder.rglob("oci/*.index.gz*")) or list((client.folder / "user").rglob("*.index*"))
    assert caches
    for cache in caches:
        cache.unlink()


def test_file_names_and_answers_are_those_of_the_deployment(
    flatdex: Flatdex, registry: DockerRegistry, apache: Apache, tmp_path: Path
) -> None:
    registry.copy(runtime_layout(tmp_path), "org.flatdex.platform:latest")
    registry.copy(app_layout(tmp_path), "hello:testing")
    publish(flatdex, apache)
    files = {path.name: path.read_bytes() for path in (flatdex.store / "current" / "index").glob("*.json")}
    assert set(files) == {
        "flatpak.json",
        "flatpak-testing.json",
        "flatpak-amd64.json",
        "flatpak-testing-amd64.json",
    }
    answers = {
        "": "flatpak.json",
        "tag=latest": "flatpak.json",
        "tag=testing": "flatpak-testing.json",
        "tag=unheard": "flatpak.json",
        "architecture=amd64&tag=unheard": "flatpak-amd64.json",
        "annotation%3Aorg.flatpak.ref%3Aexists=1&architecture=amd64&os=linux&tag=latest": "flatpak-amd64.json",
        "label%3Aorg.flatpak.ref%3Aexists=1&architecture=amd64&os=linux&tag=testing": "flatpak-testing-amd64.json",
        "architecture=arm64&tag=testing": "flatpak-testing.json",
    }
    for query, file in answers.items():
        answer = get(f"{apache.url}index/static?{query}")
        assert answer.body == files[file], query
        assert answer.headers["cache-control"] == "public, max-age=1800"


def test_an_icon_is_where_icons_uri_says(
    flatdex: Flatdex, registry: DockerRegistry, apache: Apache, tmp_path: Path
) -> None:
    registry.copy(app_layout(tmp_path), "hello:latest")
    publish(flatdex, apache)
    image = get(f"{apache.url}index/static").json["Results"][0]["Images"][0]
    icon = image["Labels"]["org.freedesktop.appstream.icon-64"]
    assert icon.startswith("/app-icons/")
    answer = get(apache.url.rstrip("/") + icon)
    assert answer.body.startswith(b"\x89PNG")
    assert answer.headers["cache-control"] == "public, max-age=31536000, immutable"

"""The harness tests itself: every component works with the others, and each of these tests can fail."""

from __future__ import annotations

import base64
import json
import os
import secrets
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from tests.real import process
from tests.real.apache import Apache
from tests.real.files import readable_folder, remove
from tests.real.flatpak import Flatpak
from tests.real.images import APP, RUNTIME, app_layout, png, runtime_layout
from tests.real.nginx import Nginx
from tests.real.process import Child, CommandFailedError, ServerFailedError, free_port, is_running, run
from tests.real.registry import DockerRegistry
from tests.real.rsyncd import Rsyncd
from tests.real.sshd import Sshd

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
NO_TOKEN = {"org.flatpak.commit-metadata.xa.token-type": "AAAAAABp"}
AS_ROOT = os.geteuid() == 0

Json = dict[str, Any]


@pytest.fixture(scope="module")
def layouts() -> Iterator[dict[str, Path]]:
    """The images of this module's tests, made once."""
    with readable_folder() as folder:
        yield {
            "platform": runtime_layout(folder),
            "hello": app_layout(folder),
            "hello-2": app_layout(folder, version="2.0", icon_colour=(200, 30, 30)),
            "hello-arm": app_layout(folder, arch="aarch64"),
        }


@pytest.fixture
def registry(real_tmp: Path) -> Iterator[DockerRegistry]:
    """An empty registry that keeps an access log."""
    with DockerRegistry(real_tmp / "registry", access_log=True) as server:
        yield server


def get(url: str, **headers: str) -> requests.Response:
    """GET without redirects, on a connection of its own."""
    return requests.get(url, headers=headers, timeout=10, allow_redirects=False)


def config_of(layout: Path) -> Json:
    """The image config of an OCI layout with one image."""
    manifest = blob(layout, json.loads((layout / "index.json").read_text())["manifests"][0]["digest"])
    return blob(layout, manifest["config"]["digest"])


def blob(layout: Path, digest: str) -> Json:
    """A JSON blob of an OCI layout."""
    content: Json = json.loads((layout / "blobs" / digest.replace(":", "/")).read_text())
    return content


# Processes


def test_ports_are_given_out_once(monkeypatch: pytest.MonkeyPatch) -> None:
    ports = [free_port() for _ in range(50)]
    assert len(set(ports)) == 50
    monkeypatch.setattr(process, "_PORTS", ports)
    with pytest.raises(RuntimeError, match="no free port"):
        free_port()
    other = run([sys.executable, "-c", f"from tests.real import process; print(process._reserve({ports[-1]}))"])
    assert other.stdout == "None\n", "another run could have been given the same port"


def test_a_dead_server_is_noticed_at_once(tmp_path: Path) -> None:
    started = time.monotonic()
    child = Child(["sh", "-c", "echo no such database; exit 7"], log=tmp_path / "log")
    with child, pytest.raises(ServerFailedError, match=r"ended with 7\nno such database"):
        child.wait_until_listening(free_port())
    assert time.monotonic() - started < 5


def test_a_silent_server_is_given_up(tmp_path: Path) -> None:
    child = Child(["sleep", "60"], log=tmp_path / "log")
    with child, pytest.raises(ServerFailedError, match="no listener on port"):
        child.wait_until_listening(free_port(), seconds=0.1)
    assert not is_running(child.pid)


def test_stop_ends_also_what_resists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(process, "_TERM_SECONDS", 0.2)
    script = "trap '' TERM; setsid sleep 60 & echo $!; sleep 60 & echo $!; while :; do sleep 0.1; done"
    child = Child(["sh", "-c", script], log=tmp_path / "log")
    process.wait_for(lambda: len(child.text().split()) == 2, "two process ids")
    child.stop()
    child.stop()
    assert not any(is_running(pid) for pid in [child.pid, *map(int, child.text().split())])


def test_servers_end_when_the_tests_are_killed(tmp_path: Path) -> None:
    program = (
        "import os, pathlib, sys; from tests.real.process import Child\n"
        "child = Child(['sleep', '60'], log=pathlib.Path(sys.argv[1]))\n"
        "child.wait_until(lambda: open(f'/proc/{child.pid}/comm').read() == 'sleep\\n', 'sleep')\n"
        "print(child.pid, flush=True); os.kill(os.getpid(), 9)"
    )
    killed = run([sys.executable, "-c", program, str(tmp_path / "log")], check=False)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    process.wait_for(lambda: not is_running(int(killed.stdout)), "the server to end")


def test_a_server_survives_the_thread_that_started_it(tmp_path: Path) -> None:
    children: list[Child] = []

    def start() -> None:
        child = Child(["sh", "-c", "echo started; exec sleep 60"], log=tmp_path / "log")
        child.wait_until(lambda: child.text() == "started\n", "first word")
        children.append(child)

    starter = threading.Thread(target=start)
    starter.start()
    starter.join()
    with children[0] as child:
        time.sleep(0.1)
        assert child.alive


def test_run_waits_for_no_leftovers() -> None:
    started = time.monotonic()
    result = run(["sh", "-c", "sleep 60 & echo $!"])
    process.wait_for(lambda: not is_running(int(result.stdout)), "the leftover to end")
    with pytest.raises(CommandFailedError, match=r"--- stderr\noh no"):
        run(["sh", "-c", "echo oh no >&2; exit 3"])
    with pytest.raises(subprocess.TimeoutExpired):
        run(["sh", "-c", "sleep 60 & wait"], timeout=0.1)
    assert time.monotonic() - started < 20


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    process.require("sh", "cat")
    monkeypatch.setenv("CI", "true")
    with pytest.raises(pytest.fail.Exception, match="not installed: no-such-a, no-such-b"):
        process.require("sh", "no-such-a", "no-such-b")
    monkeypatch.delenv("CI")
    with pytest.raises(pytest.skip.Exception, match="not installed: no-such-a"):
        process.require("no-such-a")


# The session


def test_nothing_points_out_of_the_session() -> None:
    folder = Path(os.environ["HOME"]).parent
    for name in ("XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR", "REGISTRY_AUTH_FILE"):
        assert Path(os.environ[name]).parent == folder
    assert not any(name.lower() in ("http_proxy", "https_proxy") for name in os.environ)


def test_only_loopback_can_be_reached() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("example.org", 80)
    with socket.socket() as outgoing, pytest.raises(OSError, match="nothing but loopback"):
        outgoing.connect(("192.0.2.1", 80))
    assert socket.getaddrinfo("127.0.0.1", 80)


def test_folders_are_removed_whatever_they_hold() -> None:
    with readable_folder() as folder:
        (folder / "shut").mkdir()
        (folder / "shut/file").write_text("")
        (folder / "shut").chmod(0o500)
        remove(folder / "never-made")
    assert not folder.exists()


# Images


def test_images_are_flatpaks_own(layouts: dict[str, Path]) -> None:
    config = config_of(layouts["hello-2"])
    labels = config["config"]["Labels"]
    assert (config["os"], config_of(layouts["hello-arm"])["architecture"]) == ("linux", "arm64")
    assert labels["org.flatpak.ref"].startswith(f"app/{APP}/")
    assert f"runtime={RUNTIME}/" in labels["org.flatpak.metadata"]
    assert 'version="2.0"' in labels["org.freedesktop.appstream.appdata"]
    for size in (64, 128):
        icon = base64.b64decode(labels[f"org.freedesktop.appstream.icon-{size}"].partition(",")[2])
        assert icon == png(size, (200, 30, 30))
    assert config_of(layouts["platform"])["config"]["Labels"]["org.flatpak.ref"].startswith(f"runtime/{RUNTIME}/")


# The registry


def test_registry_keeps_a_pushed_image(registry: DockerRegistry, layouts: dict[str, Path]) -> None:
    digest = registry.copy(layouts["hello"], "org/hello:latest")
    answer = get(f"{registry.url}/v2/org/hello/manifests/latest", Accept=OCI_MANIFEST)
    assert answer.headers["Docker-Content-Digest"] == digest
    assert digest == json.loads((layouts["hello"] / "index.json").read_text())["manifests"][0]["digest"]
    log = registry.log()
    assert log.count('"GET /v2/org/hello/manifests/latest HTTP/1.1" 200') == 1
    deleted = requests.delete(f"{registry.url}/v2/org/hello/manifests/{digest}", timeout=10)
    assert deleted.status_code == 202
    assert get(f"{registry.url}/v2/org/hello/manifests/latest", Accept=OCI_MANIFEST).status_code == 404


def test_registry_takes_other_forms(registry: DockerRegistry, layouts: dict[str, Path], tmp_path: Path) -> None:
    digest = registry.copy(layouts["hello"], "hello:docker", convert_to="v2s2")
    answer = get(f"{registry.url}/v2/hello/manifests/{digest}", Accept=DOCKER_MANIFEST)
    assert answer.json()["mediaType"] == DOCKER_MANIFEST

    both = tmp_path / "both"
    shutil.copytree(layouts["hello"], both)
    shutil.copytree(layouts["hello-arm"], both, dirs_exist_ok=True)
    index = image_index(both, layouts["hello"], layouts["hello-arm"])
    assert registry.copy(both, "hello:both", every_platform=True) == index
    answer = get(f"{registry.url}/v2/hello/manifests/both", Accept=OCI_INDEX)
    assert [entry["platform"]["architecture"] for entry in answer.json()["manifests"]][1] == "arm64"


def image_index(target: Path, *parts: Path) -> str:
    """Let an OCI layout that has the blobs of its parts name an image index of them; returns its digest."""
    manifests = []
    for part in parts:
        descriptor = json.loads((part / "index.json").read_text())["manifests"][0]
        platform = {key: config_of(part)[key] for key in ("architecture", "os")}
        manifests.append(descriptor | {"platform": platform})
    text = json.dumps({"schemaVersion": 2, "mediaType": OCI_INDEX, "manifests": manifests})
    digest = run(["sh", "-c", 'printf %s "$1" | sha256sum', "sh", text]).stdout.split()[0]
    (target / "blobs/sha256" / digest).write_text(text)
    outer = {"mediaType": OCI_INDEX, "digest": f"sha256:{digest}", "size": len(text)}
    (target / "index.json").write_text(json.dumps({"schemaVersion": 2, "manifests": [outer]}))
    return f"sha256:{digest}"


def test_registries_do_not_share(real_tmp: Path, layouts: dict[str, Path]) -> None:
    with DockerRegistry(real_tmp / "a") as first, DockerRegistry(real_tmp / "b") as second:
        first.copy(layouts["platform"], "platform:latest")
        assert get(f"{first.url}/v2/platform/tags/list").json()["tags"] == ["latest"]
        assert get(f"{second.url}/v2/platform/tags/list").status_code == 404
        assert first.log() == ""
    with pytest.raises(requests.ConnectionError):
        get(f"{first.url}/v2/")


# Apache and nginx


@pytest.mark.parametrize("mount", ["/", "/deep/path/"])
def test_apache_obeys_htaccess(real_tmp: Path, mount: str) -> None:
    root = site(real_tmp / "site")
    with Apache(real_tmp / "apache", root, mount=mount) as apache:
        answer = get(f"{apache.url}page.html?a=1&b=%3A", **{"User-Agent": 'say "hi"\\', "Accept-Encoding": "gzip"})
        assert (answer.status_code, answer.headers["X-From-Htaccess"]) == (200, "yes")
        assert get(f"{apache.url}.htaccess").status_code == 403
        assert get(f"{apache.url}none").status_code == 404
        lines = apache.access_log(at_least=3)
    assert apache.url.endswith(mount)
    (first,) = [line for line in lines if line.status == 200]
    assert (first.method, first.path, first.status) == ("GET", f"{mount}page.html?a=1&b=%3A", 200)
    assert (first.bytes, first.user_agent, first.accept_encoding) == (5, 'say "hi"\\', "gzip")
    assert first.etag == answer.headers["ETag"]
    others = {(line.path, line.status, line.etag) for line in lines if line is not first}
    assert others == {(f"{mount}.htaccess", 403, ""), (f"{mount}none", 404, "")}
    if mount != "/":
        assert get_status(apache, f"http://127.0.0.1:{apache.port}/page.html") == 404


def get_status(apache: Apache, url: str) -> int:
    """The status of one request to a server that is started for it."""
    with apache:
        return get(url).status_code


def site(folder: Path, text: str = "page\n") -> Path:
    """A document root with a page and a rule."""
    folder.mkdir(parents=True)
    (folder / "page.html").write_text(text)
    (folder / ".htaccess").write_text("Header set X-From-Htaccess yes\n")
    return folder


def test_apache_can_be_told_to_ignore_htaccess(real_tmp: Path) -> None:
    with Apache(real_tmp / "apache", site(real_tmp / "site"), allow_override="None") as apache:
        assert "X-From-Htaccess" not in get(f"{apache.url}page.html").headers


def test_apache_follows_a_flipped_symlink(real_tmp: Path) -> None:
    current = real_tmp / "store" / "current"
    with Apache(real_tmp / "apache", current) as apache:
        assert get(f"{apache.url}page.html").status_code == 403
        for text in ("old\n", "new\n"):
            site(real_tmp / "store" / text.strip(), text)
            (real_tmp / "store/next").symlink_to(text.strip())
            (real_tmp / "store/next").replace(current)
            assert get(f"{apache.url}page.html").text == text


def test_apache_reloads(real_tmp: Path) -> None:
    with Apache(real_tmp / "apache", site(real_tmp / "site"), modules=["env", "expires"]) as apache:
        for value in ("old", "new"):
            apache.extra = f"Header set X-Extra {value}"
            apache.reload()
            assert get(f"{apache.url}page.html").headers["X-Extra"] == value
        apache.extra = "Haeder set X-Extra no"
        with pytest.raises(CommandFailedError, match="Invalid command 'Haeder'"):
            apache.reload()
        assert get(f"{apache.url}page.html").headers["X-Extra"] == "new"
        assert "resuming normal operations" in apache.error_log()


def test_apache_says_why_it_does_not_start(real_tmp: Path) -> None:
    with pytest.raises(ServerFailedError, match="Invalid command 'Nonsense'"):
        Apache(real_tmp / "apache", real_tmp, extra="Nonsense on").start()


def test_apache_stands_before_a_registry(real_tmp: Path, registry: DockerRegistry, layouts: dict[str, Path]) -> None:
    registry.copy(layouts["platform"], "platform:latest")
    modules = ["deflate", "env", "expires", "mime_magic", "negotiation", "proxy", "proxy_http"]
    extra = f"ProxyPass /v2/ {registry.url}/v2/"
    with Apache(real_tmp / "apache", site(real_tmp / "site"), modules=modules, extra=extra) as apache:
        assert get(f"{apache.url}v2/platform/tags/list").json()["tags"] == ["latest"]
        assert get(f"{apache.url}page.html").text == "page\n"


@pytest.mark.parametrize("server", [Apache, Nginx])
def test_unreadable_files_are_noticed(real_tmp: Path, server: type[Apache] | type[Nginx]) -> None:
    root = site(real_tmp / "site")
    (root / "page.html").chmod(0o600 if AS_ROOT else 0o000)
    with server(real_tmp / "state", root) as running:
        assert get(f"{running.url}page.html").status_code == 403
        assert "Permission denied" in running.error_log()


@pytest.mark.skipif(not AS_ROOT, reason="an ordinary user's servers read what the user can")
def test_closed_folders_are_refused_with_advice(real_tmp: Path) -> None:
    (real_tmp / "closed").mkdir(mode=0o700)
    for server in (Apache, Nginx):
        with pytest.raises(PermissionError, match="real_tmp"):
            server(real_tmp / "state", real_tmp / "closed" / "site")


def test_nginx_serves(real_tmp: Path) -> None:
    root = real_tmp / "current"
    root.symlink_to(site(real_tmp / "site"))
    with Nginx(real_tmp / "nginx", root, extra='location = /page.html { add_header X-Extra "yes"; }') as nginx:
        answer = get(f"{nginx.url}page.html")
        assert (answer.text, answer.headers["X-Extra"]) == ("page\n", "yes")
        assert get(f"{nginx.url}page.html", **{"If-None-Match": answer.headers["ETag"]}).status_code == 304
        assert len(nginx.access_log()) == 2
        nginx.stop()
        with pytest.raises(requests.ConnectionError):
            get(nginx.url)
        nginx.start()
        assert get(f"{nginx.url}page.html").status_code == 200
    with pytest.raises(ServerFailedError, match='unknown directive "nonsense"'):
        Nginx(real_tmp / "nginx", root, extra="nonsense on;").start()


# Copying


def copy(*args: object, check: bool = True) -> subprocess.CompletedProcess[str]:
    """Run rsync."""
    process.require("rsync")
    return run(["rsync", *map(str, args)], check=check)


def test_rsync_copies_over_ssh(real_tmp: Path) -> None:
    root = site(real_tmp / "site")
    with Sshd(real_tmp / "sshd") as sshd:
        copy("-a", "-e", sshd.command, f"{root}/", f"{sshd.host}:{real_tmp}/copy/")
        assert (real_tmp / "copy/page.html").read_text() == "page\n"
        home = run([*sshd.command.split(), sshd.host, "echo $HOME"]).stdout.strip()
        assert home == str(real_tmp / "sshd/home")
        refused = copy("-a", "-e", sshd.command, f"{root}/", f"{sshd.host}:/proc/no/", check=False)
        assert refused.returncode != 0
        (real_tmp / "sshd/authorized_keys").write_text("")
        refused = copy("-a", "-e", sshd.command, f"{root}/", f"{sshd.host}:{real_tmp}/second/", check=False)
    # ssh's own code, or rsync's for a lost connection: whichever rsync meets first.
    assert refused.returncode in (12, 255)
    assert not (real_tmp / "second").exists()
    assert "Permission denied (publickey)" in refused.stderr
    assert "Accepted publickey" in sshd.log()


def test_sshd_can_force_a_command(real_tmp: Path) -> None:
    with Sshd(real_tmp / "sshd", key_options='restrict,command="echo forced"') as sshd:
        assert run([*sshd.command.split(), sshd.host, "echo free"]).stdout == "forced\n"


def test_sshd_leaves_no_session_behind(real_tmp: Path) -> None:
    with Sshd(real_tmp / "sshd") as sshd:
        log = real_tmp / "client.log"
        with Child([*sshd.command.split(), sshd.host, "echo $$; exec sleep 60"], log=log) as client:
            client.wait_until(lambda: client.text().endswith("\n"), "process id")
            session = int(client.text())
            assert is_running(session)
            sshd.stop()
            assert not is_running(session)


def test_rsyncd_takes_a_push_from_who_knows_the_password(real_tmp: Path) -> None:
    root = site(real_tmp / "site")
    with Rsyncd(real_tmp / "state", real_tmp / "target", user="pusher", password=secrets.token_hex(8)) as rsyncd:
        right = f"--password-file={rsyncd.password_file}"
        copy("-a", right, f"{root}/", rsyncd.url())
        copy("-a", right, f"{root}/", rsyncd.url("sub/"))
        assert {"page.html", "sub"} <= {path.name for path in (real_tmp / "target").iterdir()}
        wrong = real_tmp / "wrong"
        wrong.write_text("guess\n")
        wrong.chmod(0o600)
        refused = copy("-a", f"--password-file={wrong}", f"{root}/", rsyncd.url("other/"), check=False)
    assert (refused.returncode, (real_tmp / "target/other").exists()) == (5, False)
    assert "auth failed" in refused.stderr and "auth failed" in rsyncd.log()


@pytest.mark.parametrize(
    ("chroot", "munge", "expected"),
    [(False, None, "/rsyncd-munged/elsewhere"), (False, False, "elsewhere"), (True, None, "elsewhere")],
)
def test_rsyncd_munges_as_told(real_tmp: Path, chroot: bool, munge: bool | None, expected: str) -> None:
    if chroot and not AS_ROOT:
        pytest.skip("only root can chroot")
    (real_tmp / "current").symlink_to("elsewhere")
    with Rsyncd(real_tmp / "state", real_tmp / "target", chroot=chroot, munge=munge) as rsyncd:
        copy("-l", real_tmp / "current", rsyncd.url() + "/")
    assert str((real_tmp / "target/current").readlink()) == expected


# The flatpak client


class Remote:
    """A site of one hand-written index, with the images in a registry."""

    def __init__(self, folder: Path, registry: DockerRegistry) -> None:
        self.folder, self.registry = folder, registry
        (folder / "index").mkdir(parents=True)

    def publish(self, layouts: dict[str, Path], extra_labels: dict[str, str]) -> None:
        """Push each layout to NAME:latest and write the index from what the registry then has."""
        results = []
        for name, layout in layouts.items():
            digest = self.registry.copy(layout, f"{name}:latest")
            results.append({"Name": name, "Images": [self._image(name, digest, extra_labels)], "Lists": []})
        index = {"Registry": f"{self.registry.url}/", "Results": results}
        (self.folder / "index/static").write_text(json.dumps(index))

    def _image(self, name: str, digest: str, extra_labels: dict[str, str]) -> Json:
        base = f"{self.registry.url}/v2/{name}"
        manifest = get(f"{base}/manifests/{digest}", Accept=OCI_MANIFEST).json()
        config = get(f"{base}/blobs/{manifest['config']['digest']}").json()
        return {
            "Digest": digest,
            "MediaType": OCI_MANIFEST,
            "OS": config["os"],
            "Architecture": config["architecture"],
            "Tags": ["latest"],
            "Labels": config["config"]["Labels"] | extra_labels,
        }


RULES = 'Header set Cache-Control no-cache\n<Files "static">\nForceType application/json\n</Files>\n'
INSTALLATIONS = ["user", "system"] if AS_ROOT else ["user"]


@pytest.fixture
def remote(real_tmp: Path, registry: DockerRegistry) -> Remote:
    """An unpublished remote; the client always asks for its index, as the rules allow no remembering."""
    made = Remote(real_tmp / "site", registry)
    (made.folder / ".htaccess").write_text(RULES)
    return made


@pytest.mark.parametrize("installation", INSTALLATIONS)
@pytest.mark.parametrize("mount", ["/", "/flat/packs/"])
def test_flatpak_installs_runs_and_updates(
    real_tmp: Path, remote: Remote, layouts: dict[str, Path], installation: Any, mount: str
) -> None:
    remote.publish({"hello": layouts["hello"], "platform": layouts["platform"]}, NO_TOKEN)
    flatpak = Flatpak(real_tmp / "client", installation=installation)
    with Apache(real_tmp / "apache", remote.folder, mount=mount) as apache:
        flatpak.remote_add("flatdex", apache.url.rstrip("/"))
        assert APP in flatpak.run("remote-ls", "flatdex").stdout
        flatpak.run("install", "--noninteractive", "flatdex", APP)
        assert_installed(flatpak, "1.0")
        remote.publish({"hello": layouts["hello-2"], "platform": layouts["platform"]}, NO_TOKEN)
        flatpak.run("update", "--noninteractive", APP)
        assert_installed(flatpak, "2.0")
        asked = [line for line in apache.access_log() if line.path.startswith(f"{mount}index/static?")]
    assert {line.status for line in asked} == {200, 304}
    assert all("Flatpak" in line.user_agent and line.accept_encoding == "gzip" for line in asked)
    assert '"GET /v2/hello/blobs/' in remote.registry.log()


def assert_installed(flatpak: Flatpak, version: str) -> None:
    """The application of this version and its runtime are there, and it runs where sandboxes can."""
    listed = flatpak.run("list", "--columns=application").stdout.split()
    assert {APP, RUNTIME} <= set(listed)
    deployed = next(flatpak.folder.glob(f"*/app/{APP}/current/active/files/bin/hello"))
    assert f"hello {version}" in deployed.read_text()
    if flatpak.can_run:
        assert flatpak.run("run", APP).stdout == f"hello {version}\n"


def test_flatpak_needs_the_authenticator_without_a_token_type(
    real_tmp: Path, remote: Remote, layouts: dict[str, Path]
) -> None:
    remote.publish({"platform": layouts["platform"]}, {})
    flatpak = Flatpak(real_tmp / "client")
    with Apache(real_tmp / "apache", remote.folder) as apache:
        repo = f"[Flatpak Repo]\nTitle=Tests\nUrl=oci+{apache.url}\n"
        (remote.folder / "tests.flatpakrepo").write_text(repo)
        flatpak.from_file(f"{apache.url}tests.flatpakrepo")
        alone = flatpak.run("install", "--noninteractive", "flatdex", RUNTIME, check=False)
        assert alone.returncode != 0
        with flatpak.authenticator():
            flatpak.run("install", "--noninteractive", "flatdex", RUNTIME)
    assert '"HEAD /v2/platform/manifests/' in remote.registry.log()
    with pytest.raises(CommandFailedError, match=r"--- stderr\n.*error"):
        flatpak.run("remote-ls", "flatdex")


def test_flatpak_notices_a_forged_image(real_tmp: Path, remote: Remote, layouts: dict[str, Path]) -> None:
    remote.publish({"platform": layouts["platform"]}, NO_TOKEN)
    index = remote.folder / "index/static"
    digest = json.loads(index.read_text())["Results"][0]["Images"][0]["Digest"]
    index.write_text(index.read_text().replace(digest, f"sha256:{'0' * 64}"))
    flatpak = Flatpak(real_tmp / "client")
    with Apache(real_tmp / "apache", remote.folder) as apache:
        flatpak.remote_add("flatdex", apache.url)
        failed = flatpak.run("install", "--noninteractive", "flatdex", RUNTIME, check=False)
    assert failed.returncode != 0 and "404" in failed.stderr

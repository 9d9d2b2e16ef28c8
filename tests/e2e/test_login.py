"""Registries that want a login, by the real command: a docker-registry with htpasswd, and one with a token service."""

from __future__ import annotations

import base64
import gzip
import json
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import quote

import pytest

from tests.builder.helpers import Blobs, flatpak_labels
from tests.real.files import readable_folder
from tests.real.process import located, run
from tests.real.registry import DockerRegistry
from tests.real.tokens import Authority, Listening, Signer, listening
from tests.sync.command import flatdex

USER, PASSWORD, WRONG = "robot$flatdex", "swordfish-4711", "wrong-horse"
REF = "app/org.flatdex.Private/x86_64/stable"
CONFIG = """\
store: ./store
remote: {{name: example, title: Example, url: "http://127.0.0.1:8080/"}}
sources:
  main: {{registry: "{url}", auth_file: ./logins.json{more}}}
indexes:
  stable: {{tags: [latest]}}
"""
DONE, FAILED, PARTLY = 0, 1, 4

Result = subprocess.CompletedProcess[str]


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder for the servers of this module."""
    with readable_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def filled(folder: Path) -> Path:
    """The folder of a registry that has an image in `team/private`."""
    blobs = Blobs()
    layout = blobs.layout(folder / "layout", blobs.image(flatpak_labels(REF)))
    with DockerRegistry(folder / "registry") as server:
        server.copy(layout, "team/private:latest")
    return folder / "registry"


@pytest.fixture(scope="module")
def by_password(filled: Path) -> Iterator[DockerRegistry]:
    """A registry that knows one login."""
    file = filled / "htpasswd"
    file.write_text(run([located("htpasswd"), "-Bbn", USER, PASSWORD]).stdout)
    with DockerRegistry(filled, auth={"htpasswd": {"realm": "private", "path": str(file)}}) as server:
        yield server


@pytest.fixture(scope="module")
def signer(folder: Path) -> Signer:
    """Who signs the tokens that the registry believes."""
    return Signer(Authority(folder / "signer"))


@pytest.fixture(scope="module")
def service(signer: Signer) -> Iterator[Listening]:
    """A token service that knows one login."""
    with listening(signer.ear(USER, PASSWORD)) as server:
        yield server


@pytest.fixture(scope="module")
def by_token(filled: Path, signer: Signer, service: Listening) -> Iterator[DockerRegistry]:
    """A registry that believes this service's tokens."""
    token = {
        "realm": f"{service.url}/token",
        "service": signer.service,
        "issuer": signer.issuer,
        "rootcertbundle": str(signer.authority.certificate),
    }
    with DockerRegistry(filled, auth={"token": token}) as server:
        yield server


def configure(folder: Path, server: DockerRegistry, password: str = PASSWORD, more: str = "") -> Path:
    """A configuration with a login; the login's file."""
    (folder / "flatdex.yaml").write_text(CONFIG.format(url=server.url, more=more))
    file = folder / "logins.json"
    login = base64.b64encode(f"{USER}:{password}".encode()).decode()
    file.write_text(json.dumps({"auths": {server.host: {"auth": login}}}))
    return file


def tell_nothing(folder: Path, result: Result, *more: str, password: str = PASSWORD) -> None:
    """Fails where the store, or what the command said, has a login or a token."""
    encoded = base64.b64encode(f"{USER}:{password}".encode()).decode()
    secrets = [USER, quote(USER), password, encoded, *more]
    texts = {"stdout": result.stdout.encode(), "stderr": result.stderr.encode()}
    for path in (folder / "store").rglob("*") if (folder / "store").exists() else ():
        texts[f"the name {path}"] = path.name.encode()
        if path.is_file():
            data = path.read_bytes()
            texts[str(path)] = data + (gzip.decompress(data) if data.startswith(b"\x1f\x8b") else b"")
    found = [(place, secret) for place, data in texts.items() for secret in secrets if secret.encode() in data]
    assert not found


def refs(folder: Path) -> list[str]:
    """What is published."""
    index = json.loads((folder / "store/current/index/latest.json").read_bytes())
    labels = [image["Labels"] for result in index["Results"] for image in result["Images"]]
    return [each["org.flatpak.ref"] for each in labels]


@contextmanager
def logged_in(server: DockerRegistry, folder: Path) -> Iterator[Path]:
    """A file as `skopeo login` writes it."""
    file = folder / "by-skopeo.json"
    options = ("--tls-verify=false", "--authfile", file, "--username", USER, "--password", PASSWORD)
    run([located("skopeo"), "login", *options, server.host])
    yield file
    run([located("skopeo"), "logout", "--authfile", file, server.host])


# A password


def test_a_private_registry_is_published_and_nothing_tells_the_login(
    tmp_path: Path, by_password: DockerRegistry
) -> None:
    configure(tmp_path, by_password)
    result = flatdex("-v", "publish", cwd=tmp_path)
    assert result.returncode == DONE, result.stderr
    assert refs(tmp_path) == [REF]
    tell_nothing(tmp_path, result)
    again = flatdex("-v", "publish", "--json", cwd=tmp_path)
    assert again.returncode == DONE and json.loads(again.stdout)["changed"] is False
    tell_nothing(tmp_path, again)


def test_a_login_by_skopeo_is_found_where_the_environment_says(tmp_path: Path, by_password: DockerRegistry) -> None:
    configure(tmp_path, by_password)
    config = tmp_path / "flatdex.yaml"
    config.write_text(config.read_text().replace(", auth_file: ./logins.json", ""))
    with logged_in(by_password, tmp_path) as file:
        result = flatdex("publish", cwd=tmp_path, env={"REGISTRY_AUTH_FILE": str(file)})
    assert result.returncode == DONE, result.stderr
    assert refs(tmp_path) == [REF]
    elsewhere = {"REGISTRY_AUTH_FILE": "", "XDG_RUNTIME_DIR": "", "XDG_CONFIG_HOME": "", "DOCKER_CONFIG": ""}
    home = tmp_path / "home"
    (home / ".config/containers").mkdir(parents=True)
    (tmp_path / "logins.json").rename(home / ".config/containers/auth.json")
    result = flatdex("check", "--online", cwd=tmp_path, env={**elsewhere, "HOME": str(home)})
    assert result.returncode == DONE, result.stderr


def test_a_wrong_password_is_told_with_its_file_and_without_itself(tmp_path: Path, by_password: DockerRegistry) -> None:
    file = configure(tmp_path, by_password, WRONG)
    for verb in (["-v", "publish"], ["check", "--online"]):
        result = flatdex(*verb, cwd=tmp_path)
        assert result.returncode == FAILED
        assert f"answered 401 Unauthorized to the login from {file}" in result.stderr
        tell_nothing(tmp_path, result, password=WRONG)
    assert not (tmp_path / "store/current").exists()


def test_a_password_that_was_changed_keeps_the_site_as_it_was(tmp_path: Path, by_password: DockerRegistry) -> None:
    configure(tmp_path, by_password)
    assert flatdex("publish", cwd=tmp_path).returncode == DONE
    file = configure(tmp_path, by_password, WRONG)
    result = flatdex("-v", "publish", cwd=tmp_path)
    assert result.returncode == PARTLY
    assert "stale main: unauthorized since" in result.stderr and f"to the login from {file}" in result.stderr
    tell_nothing(tmp_path, result, password=WRONG)
    result = flatdex("publish", "--json", cwd=tmp_path)
    assert [each["code"] for each in json.loads(result.stdout)["stale"]] == ["unauthorized"]
    tell_nothing(tmp_path, result, password=WRONG)
    assert refs(tmp_path) == [REF]


def test_without_a_login_the_message_says_what_to_do(tmp_path: Path, by_password: DockerRegistry) -> None:
    configure(tmp_path, by_password).write_text("{}")
    result = flatdex("publish", cwd=tmp_path)
    assert result.returncode == FAILED
    assert "answered 401 Unauthorized to a client without login" in result.stderr


def test_a_broken_auth_file_is_named(tmp_path: Path, by_password: DockerRegistry) -> None:
    file = configure(tmp_path, by_password)
    file.write_text(file.read_text()[:-2])
    result = flatdex("publish", cwd=tmp_path)
    assert result.returncode == FAILED
    assert f"the auth file {file} is not JSON" in result.stderr
    tell_nothing(tmp_path, result)


# Tokens


def test_a_registry_with_a_token_service_is_published_and_nothing_tells_login_or_token(
    tmp_path: Path, by_token: DockerRegistry, service: Listening, signer: Signer
) -> None:
    configure(tmp_path, by_token, more=f', auth_realms: ["{service.url}/token"]')
    result = flatdex("-v", "publish", cwd=tmp_path)
    assert result.returncode == DONE, result.stderr
    assert refs(tmp_path) == [REF]
    assert signer.issued
    tell_nothing(tmp_path, result, *(part for token in signer.issued for part in token.split(".")[1:]))


def test_a_token_service_that_refuses_the_password_is_told(
    tmp_path: Path, by_token: DockerRegistry, service: Listening
) -> None:
    file = configure(tmp_path, by_token, WRONG, f', auth_realms: ["{service.url}"]')
    result = flatdex("-v", "publish", cwd=tmp_path)
    assert result.returncode == FAILED
    assert f"the token service {service.url}/token answered 401 to the login from {file}" in result.stderr
    tell_nothing(tmp_path, result, password=WRONG)


def test_a_token_service_elsewhere_gets_no_login_unless_it_is_allowed(
    tmp_path: Path, by_token: DockerRegistry, service: Listening
) -> None:
    configure(tmp_path, by_token)
    before = len(service.heard)
    result = flatdex("-v", "publish", cwd=tmp_path)
    assert result.returncode == FAILED
    assert "the login was not sent to" in result.stderr and "`auth_realms`" in result.stderr
    assert {request.authorization for request in service.heard[before:]} == {""}
    tell_nothing(tmp_path, result)

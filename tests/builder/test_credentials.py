"""Auth files: found where podman and docker look for them, read as they read them, and never shown."""

from __future__ import annotations

import base64
import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest

from builder.sources import credentials
from builder.sources.credentials import BadAuthFileError, Credentials, Helpers, find, keys, usual_places

PASSWORD = "swordfish-4711"
QUAY = "https://quay.io"


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home folder in which nothing is found but what a test puts there."""
    real = usual_places

    def places(environment: Mapping[str, str]) -> Iterator[Path]:
        for place in real(environment):
            inside = place.is_relative_to(tmp_path)
            yield place if inside else tmp_path / "root" / place.relative_to("/")

    monkeypatch.setattr(credentials, "usual_places", places)
    return tmp_path


def encoded(user: str, password: str = PASSWORD) -> str:
    """As it stands in an auth file."""
    return base64.b64encode(f"{user}:{password}".encode()).decode()


def written(file: Path, auths: Mapping[str, str] | None = None, **more: object) -> Path:
    """An auth file: users by key, all with the same password."""
    file.parent.mkdir(parents=True, exist_ok=True)
    logins = {key: {"auth": encoded(user)} for key, user in (auths or {}).items()}
    file.write_text(json.dumps({"auths": logins, **more}))
    return file


def user_at(
    registry: str, file: Path | None, repository: str = "", environment: Mapping[str, str] | None = None
) -> str:
    """Who is found; empty for nobody."""
    found = find(registry, repository, file, environment or {"HOME": "/nowhere"})
    return found.user if found else ""


# Where


def test_each_usual_place_is_looked_into_in_podmans_order(home: Path) -> None:
    environment = {
        "HOME": str(home / "home"),
        "XDG_RUNTIME_DIR": str(home / "runtime"),
        "XDG_CONFIG_HOME": str(home / "config"),
        "DOCKER_CONFIG": str(home / "docker"),
    }
    files = [
        home / "runtime/containers/auth.json",
        home / f"root/run/containers/{os.getuid()}/auth.json",
        home / "config/containers/auth.json",
        home / "docker/config.json",
    ]
    assert user_at(QUAY, None, environment=environment) == ""
    for number, file in reversed(list(enumerate(files))):
        written(file, {"quay.io": f"user-{number}"})
        assert user_at(QUAY, None, environment=environment) == f"user-{number}"
    named = written(home / "named.json", {"quay.io": "named"})
    assert user_at(QUAY, None, environment={**environment, "REGISTRY_AUTH_FILE": str(named)}) == "named"
    own = written(home / "own.json", {"quay.io": "own"})
    assert user_at(QUAY, own, environment={**environment, "REGISTRY_AUTH_FILE": str(named)}) == "own"


def test_without_xdg_and_docker_variables_the_home_folder_is_looked_into(home: Path) -> None:
    environment = {"HOME": str(home)}
    written(home / ".docker/config.json", {"quay.io": "docker"})
    assert user_at(QUAY, None, environment=environment) == "docker"
    written(home / ".config/containers/auth.json", {"quay.io": "podman"})
    assert user_at(QUAY, None, environment=environment) == "podman"


def test_a_file_without_this_login_leads_to_the_next_one(home: Path) -> None:
    written(home / ".config/containers/auth.json", {"other.example": "other"})
    written(home / ".docker/config.json", {"quay.io": "docker"})
    assert user_at(QUAY, None, environment={"HOME": str(home)}) == "docker"


def test_a_named_file_is_the_only_one(home: Path) -> None:
    written(home / ".docker/config.json", {"quay.io": "docker"})
    named = written(home / "named.json", {"other.example": "other"})
    assert user_at(QUAY, named, environment={"HOME": str(home)}) == ""


def test_who_has_no_home_has_no_login_there(monkeypatch: pytest.MonkeyPatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert Path("/.docker/config.json") in list(usual_places({}))


def test_the_place_of_a_login_is_its_file(tmp_path: Path) -> None:
    file = written(tmp_path / "a.json", {"quay.io": "me"})
    assert find(QUAY, "", file, {}) == Credentials("me", PASSWORD, "", str(file))


# Which


@pytest.mark.parametrize(
    ("repository", "user"),
    [
        ("team/app", "app"),
        ("team/app/sub", "app"),
        ("team/application", "team"),
        ("team", "team"),
        ("teams/app", "host"),
        ("other", "host"),
        ("", "host"),
    ],
)
def test_the_longest_key_counts(tmp_path: Path, repository: str, user: str) -> None:
    logins = {"quay.io/team": "team", "quay.io": "host", "quay.io/team/app": "app", "quay.io/other/x": "x"}
    assert user_at(QUAY, written(tmp_path / "a.json", logins), repository) == user


def test_a_key_with_a_port_is_for_this_port(tmp_path: Path) -> None:
    file = written(tmp_path / "a.json", {"r.example:5000": "port", "r.example": "host", "r.example:5000/team": "team"})
    assert user_at("https://r.example:5000", file) == "port"
    assert user_at("https://r.example:5000", file, "team/app") == "team"
    assert user_at("https://r.example", file) == "host"
    assert user_at("https://r.example:5001", file) == ""
    assert user_at("https://sub.r.example", file) == ""


def test_the_case_of_a_host_does_not_matter_that_of_a_repository_does(tmp_path: Path) -> None:
    file = written(tmp_path / "a.json", {"R.Example/Team": "team", "R.EXAMPLE": "host"})
    assert user_at("https://r.EXAMPLE", file, "Team/app") == "team"
    assert user_at("https://r.example", file, "team/app") == "host"


@pytest.mark.parametrize(
    "registry", ["registry-1.docker.io", "index.docker.io", "docker.io", "registry.hub.docker.com"]
)
@pytest.mark.parametrize("key", ["docker.io", "index.docker.io", "https://index.docker.io/v1/", "registry-1.docker.io"])
def test_docker_hub_has_many_names(tmp_path: Path, registry: str, key: str) -> None:
    file = written(tmp_path / "a.json", {key: "hub"})
    assert user_at(f"https://{registry}", file, "library/app") == "hub"
    assert user_at("https://docker.io.example", file) == ""


def test_a_key_as_older_tools_wrote_it_is_for_the_host(tmp_path: Path) -> None:
    for key in ("https://r.example", "http://r.example/", "https://r.example/v1/", "https://r.example/v2"):
        assert user_at("https://r.example", written(tmp_path / "a.json", {key: "old"}), "team/app") == "old"


@pytest.mark.parametrize("order", [1, -1])
def test_a_key_as_it_should_be_counts_more_than_an_old_one(tmp_path: Path, order: int) -> None:
    logins = dict([("r.example", "new"), ("https://r.example/v1/", "old")][::order])
    assert user_at("https://r.example", written(tmp_path / "a.json", logins)) == "new"


@pytest.mark.parametrize("version", ["v1", "v2"])
def test_a_repository_may_be_called_like_a_version(tmp_path: Path, version: str) -> None:
    file = written(tmp_path / "a.json", {f"r.example/team/{version}": "special", "r.example/team": "team"})
    assert user_at("https://r.example", file, f"team/{version}") == "special"
    assert user_at("https://r.example", file, "team/app") == "team"


def test_the_keys_of_a_repository() -> None:
    assert keys("h:1", "a/b/c") == ["h:1/a/b/c", "h:1/a/b", "h:1/a", "h:1"]
    assert keys("h:1", "") == ["h:1"]


# What


def test_an_identity_token_stands_beside_or_in_place_of_a_login(tmp_path: Path) -> None:
    file = tmp_path / "a.json"
    for entry, expected in (
        ({"identitytoken": "t"}, Credentials("", "", "t", str(file))),
        ({"auth": encoded("u", ""), "identitytoken": "t"}, Credentials("u", "", "t", str(file))),
    ):
        file.write_text(json.dumps({"auths": {"quay.io": entry}}))
        assert find(QUAY, "", file, {}) == expected


@pytest.mark.parametrize("password", ["a:b:c", "", "pässwörd€", "with space\t", "x" * 3000])
def test_a_password_may_be_anything(tmp_path: Path, password: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(json.dumps({"auths": {"quay.io": {"auth": encoded("u", password)}}}))
    found = find(QUAY, "", file, {})
    assert found is not None
    assert (found.user, found.password) == ("u", password)
    assert base64.b64decode(found.basic.removeprefix("Basic ")).decode() == f"u:{password}"


@pytest.mark.parametrize("text", ["", "\n", "{}", '{"auths":{}}', '{"auths":null}', '{"auths":{"quay.io":{}}}'])
def test_a_file_without_logins_is_a_file_without_logins(tmp_path: Path, text: str) -> None:
    file = tmp_path / "a.json"
    file.write_text(text)
    assert find(QUAY, "", file, {}) is None


SECRET = encoded("me")


@pytest.mark.parametrize(
    ("text", "what"),
    [
        (f'{{"auths":{{"quay.io":{{"auth":"{SECRET}"}}}}', "is not JSON"),
        (f'"{SECRET}"', "is not a JSON object"),
        (f'["{SECRET}"]', "is not a JSON object"),
        (f'{{"auths":"{SECRET}"}}', "`auths` in the auth file"),
        (f'{{"auths":["{SECRET}"]}}', "`auths` in the auth file"),
        (f'{{"auths":{{}},"credHelpers":"{SECRET}"}}', "`credHelpers` in the auth file"),
        (f'{{"auths":{{"quay.io":"{SECRET}"}}}}', "a login in the auth file"),
        (f'{{"auths":{{"quay.io":{{"auth":"me:{PASSWORD}"}}}}}}', "is not base64 of USER:PASSWORD"),
        (f'{{"auths":{{"quay.io":{{"auth":"{SECRET[:-1]}"}}}}}}', "is not base64 of USER:PASSWORD"),
        (f'{{"auths":{{"quay.io":{{"auth":["{SECRET}"]}}}}}}', "is not base64 of USER:PASSWORD"),
        ('{"auths":{"quay.io":{"auth":"c3dvcmRmaXNo"}}}', "is not base64 of USER:PASSWORD"),
        ('{"auths":{"quay.io":{"auth":"/////w=="}}}', "is not base64 of USER:PASSWORD"),
        (f'{{"credHelpers":{{"quay.io":"../{SECRET}"}}}}', "names a credential helper that is none"),
        (f'{{"credHelpers":{{"quay.io":{{"x":"{SECRET}"}}}}}}', "names a credential helper that is none"),
        (f"\udcff{SECRET}", "is not JSON"),
        ("[" * 100_000, "is not JSON"),
    ],
)
def test_a_broken_file_is_named_and_not_quoted(tmp_path: Path, text: str, what: str) -> None:
    file = tmp_path / "a.json"
    file.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(BadAuthFileError) as caught:
        find(QUAY, "", file, {})
    assert what in str(caught.value) and str(file) in str(caught.value)
    chain: BaseException | None = caught.value
    while chain is not None:
        for secret in (SECRET, PASSWORD, "swordfish"):
            assert secret not in repr(chain)
        chain = None if chain.__suppress_context__ and not chain.__cause__ else chain.__cause__ or chain.__context__


@pytest.mark.parametrize("by_environment", [False, True])
def test_a_named_file_that_is_not_there_is_an_error(tmp_path: Path, by_environment: bool) -> None:
    file = tmp_path / "none.json"
    environment = {"REGISTRY_AUTH_FILE": str(file)} if by_environment else {}
    with pytest.raises(BadAuthFileError, match=r"none\.json is not there"):
        find(QUAY, "", None if by_environment else file, environment)


def test_a_file_that_cannot_be_read_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "a.json").mkdir()
    with pytest.raises(BadAuthFileError, match=r"a\.json cannot be read: Is a directory"):
        find(QUAY, "", tmp_path / "a.json", {})


def test_a_broken_file_in_a_usual_place_is_an_error_too(home: Path) -> None:
    file = home / ".config/containers/auth.json"
    file.parent.mkdir(parents=True)
    file.write_text("{")
    with pytest.raises(BadAuthFileError, match=f"{file} is not JSON"):
        find(QUAY, "", None, {"HOME": str(home)})


# Helpers


def helper(folder: Path, name: str, script: str) -> dict[str, str]:
    """A credential helper on PATH; the environment that has it."""
    program = folder / f"docker-credential-{name}"
    program.write_text(f"#!/bin/sh\nread -r asked\necho \"$1 $asked\" >>'{folder}/asked'\n{script}\n")
    program.chmod(0o755)
    return {"HOME": "/nowhere", "PATH": f"{folder}:/usr/bin:/bin"}


def gives(user: str) -> str:
    """A script that knows a login."""
    return f"""echo '{{"ServerURL":"x","Username":"{user}","Secret":"{PASSWORD}"}}'"""


NOT_FOUND = "echo 'credentials not found in native keychain'; exit 1"


@pytest.mark.parametrize("more", [{"credHelpers": {"quay.io": "mine"}}, {"credsStore": "mine"}])
def test_a_helper_is_asked_for_the_host(tmp_path: Path, more: dict[str, Any]) -> None:
    environment = helper(tmp_path, "mine", gives("me"))
    file = written(tmp_path / "a.json", **more)
    found = find(QUAY, "team/app", file, environment)
    assert found == Credentials("me", PASSWORD, "", f"{file} (docker-credential-mine)")
    assert (tmp_path / "asked").read_text() == "get quay.io\n"


def test_a_helpers_token_is_an_identity_token(tmp_path: Path) -> None:
    environment = helper(tmp_path, "mine", gives("<token>"))
    found = find(QUAY, "", written(tmp_path / "a.json", credsStore="mine"), environment)
    assert found is not None
    assert (found.user, found.password, found.token) == ("", "", PASSWORD)


def test_docker_hub_has_another_name_for_helpers(tmp_path: Path) -> None:
    environment = helper(tmp_path, "mine", gives("me"))
    file = written(tmp_path / "a.json", credHelpers={"docker.io": "mine"})
    assert user_at("https://registry-1.docker.io", file, environment=environment) == "me"
    assert (tmp_path / "asked").read_text() == "get https://index.docker.io/v1/\n"


def test_a_helper_for_one_registry_counts_more_than_the_store_for_all(tmp_path: Path) -> None:
    helper(tmp_path, "all", gives("all"))
    environment = helper(tmp_path, "one", gives("one"))
    file = written(tmp_path / "a.json", credHelpers={"quay.io": "one"}, credsStore="all")
    assert user_at(QUAY, file, environment=environment) == "one"
    assert user_at("https://other.example", file, environment=environment) == "all"


@pytest.mark.parametrize("script", [NOT_FOUND, f"({NOT_FOUND}) >&2; exit 1"])
def test_a_helper_that_knows_no_login_is_no_error(tmp_path: Path, script: str) -> None:
    environment = helper(tmp_path, "mine", script)
    assert find(QUAY, "", written(tmp_path / "a.json", credsStore="mine"), environment) is None


@pytest.mark.parametrize(
    ("script", "what"),
    [
        (f"echo {PASSWORD}; exit 3", "ended with exit code 3"),
        (f"echo {PASSWORD}", "gave no login"),
        (f"""echo '["{PASSWORD}"]'""", "gave no login"),
        (f"""echo '{{"Secret":"{PASSWORD}"}}'""", "gave no login"),
        ("sleep 60", "did not answer in 0.2 seconds"),
    ],
)
def test_a_broken_helper_is_an_error_that_does_not_quote_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str, what: str
) -> None:
    monkeypatch.setattr(credentials, "_HELPER_TIMEOUT", 0.2 if "sleep" in script else 15)
    environment = helper(tmp_path, "mine", script if "sleep" not in script else f"exec {script}")
    file = written(tmp_path / "a.json", credsStore="mine")
    with pytest.raises(BadAuthFileError) as caught:
        find(QUAY, "", file, environment)
    assert what in str(caught.value)
    assert "docker-credential-mine" in str(caught.value) and str(file) in str(caught.value)
    assert PASSWORD not in str(caught.value)


def test_a_helper_that_is_not_installed_is_an_error(tmp_path: Path) -> None:
    file = written(tmp_path / "a.json", credHelpers={"quay.io": "mine"})
    with pytest.raises(BadAuthFileError, match="names docker-credential-mine, which is not installed"):
        find(QUAY, "", file, {"PATH": str(tmp_path)})


@pytest.mark.parametrize("script", [gives("me"), NOT_FOUND, "exit 3"])
def test_a_helper_is_asked_once_about_a_host_whatever_it_says(tmp_path: Path, script: str) -> None:
    environment = helper(tmp_path, "mine", script)
    file = written(tmp_path / "a.json", credsStore="mine")
    helpers = Helpers(environment)
    said = []
    for number in range(5):
        try:
            found = find(QUAY, f"team/app{number}", file, environment, helpers)
            said.append(found.user if found else "")
        except BadAuthFileError as error:
            said.append(str(error))
    assert len(set(said)) == 1
    assert (tmp_path / "asked").read_text() == "get quay.io\n"

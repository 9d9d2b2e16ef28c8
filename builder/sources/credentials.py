"""Who to be at a registry: the containers auth files, as podman, skopeo and docker write them."""

from __future__ import annotations

import base64
import binascii
import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

_LARGEST = 1024 * 1024
_HELPER_TIMEOUT = 15  # seconds
_HELPER = re.compile(r"[A-Za-z0-9._-]+")
_NOT_FOUND = "credentials not found"
_DOCKER_HUB = frozenset(("docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com"))


@dataclass(frozen=True)
class Credentials:
    """A login; `token` is an identity token in place of a password. Only `place`, the file's path, may be shown."""

    user: str = field(repr=False)
    password: str = field(repr=False)
    token: str = field(repr=False, default="")
    place: str = ""

    @property
    def basic(self) -> str:
        """As an Authorization header."""
        return "Basic " + base64.b64encode(f"{self.user}:{self.password}".encode()).decode("ascii")


class BadAuthFileError(Exception):
    """An auth file that can't be used; the message says which and why, and nothing of what it holds."""


class Helpers:
    """Docker's credential helpers, each asked once about a host; may be shared by threads."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        self._environment = environment
        self._answers: dict[tuple[str, str, Path], Credentials | BadAuthFileError | None] = {}
        self._lock = threading.Lock()

    def ask(self, name: str, host: str, file: Path) -> Credentials | None:
        """What the helper that a file names says of a host. Raises BadAuthFileError."""
        asked = (name, host, file)
        with self._lock:
            if asked not in self._answers:
                try:
                    self._answers[asked] = _from_helper(name, host, file, self._environment)
                except BadAuthFileError as error:
                    self._answers[asked] = error
            answer = self._answers[asked]
        if isinstance(answer, BadAuthFileError):
            raise BadAuthFileError(str(answer))
        return answer


def find(
    registry: str,
    repository: str,
    auth_file: Path | None,
    environment: Mapping[str, str],
    helpers: Helpers | None = None,
) -> Credentials | None:
    """The credentials for a repository of the registry at this URL. Raises BadAuthFileError.

    Asked for are `auth_file`, or else REGISTRY_AUTH_FILE, or else the usual places, in podman's order. Within a file
    the longest key that is the repository's name or a part of its beginning counts.
    """
    host = _host(registry)
    helpers = helpers or Helpers(environment)
    named = auth_file or _path(environment.get("REGISTRY_AUTH_FILE"))
    for file in (named,) if named else usual_places(environment):
        document = _document(file)
        if document is not None:
            found = _in_document(document, file, host, repository, helpers)
            if found:
                return found
        elif named:
            raise BadAuthFileError(f"the auth file {named} is not there")
    return None


def usual_places(environment: Mapping[str, str]) -> Iterator[Path]:
    """Where podman, skopeo and docker keep logins."""
    home = home_of(environment)
    runtime = environment.get("XDG_RUNTIME_DIR")
    if runtime:
        yield Path(runtime) / "containers/auth.json"
    yield Path(f"/run/containers/{os.getuid()}/auth.json")
    yield Path(environment.get("XDG_CONFIG_HOME") or home / ".config") / "containers/auth.json"
    yield Path(environment.get("DOCKER_CONFIG") or home / ".docker") / "config.json"


def home_of(environment: Mapping[str, str]) -> Path:
    """The home folder; / for who has none, as in a container that runs as any user."""
    try:
        return Path(environment.get("HOME") or Path.home())
    except RuntimeError:
        return Path("/")


def keys(host: str, repository: str) -> list[str]:
    """The keys that may hold a repository's login, the longest first.

    >>> keys("quay.io", "team/app")
    ['quay.io/team/app', 'quay.io/team', 'quay.io']
    """
    parts = [host, *repository.split("/")] if repository else [host]
    return ["/".join(parts[:number]) for number in range(len(parts), 0, -1)]


def _in_document(
    document: Mapping[str, Any], file: Path, host: str, repository: str, helpers: Helpers
) -> Credentials | None:
    logins = _by_normal_key(_mapping(document, "auths", file))
    helpers_of = _by_normal_key(_mapping(document, "credHelpers", file))
    for key in keys(host, repository):
        if key in helpers_of:
            return helpers.ask(str(helpers_of[key]), host, file)
        if key in logins:
            found = _login(logins[key], file)
            if found:
                return found
    store = document.get("credsStore")
    return helpers.ask(store, host, file) if isinstance(store, str) and store else None


def _document(file: Path) -> dict[str, Any] | None:
    """What the file holds; None if there is no such file."""
    try:
        with file.open("rb") as opened:
            text = opened.read(_LARGEST)
        document = json.loads(text) if text.strip() else {}
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        raise BadAuthFileError(f"the auth file {file} cannot be read: {error.strerror}") from error
    except (ValueError, RecursionError):
        raise BadAuthFileError(f"the auth file {file} is not JSON") from None
    if not isinstance(document, dict):
        raise BadAuthFileError(f"the auth file {file} is not a JSON object")
    return document


def _mapping(document: Mapping[str, Any], key: str, file: Path) -> Mapping[str, Any]:
    value = document.get(key) or {}
    if not isinstance(value, dict):
        raise BadAuthFileError(f"`{key}` in the auth file {file} is not an object")
    return value


def _login(entry: object, file: Path) -> Credentials | None:
    if not isinstance(entry, dict):
        raise BadAuthFileError(f"a login in the auth file {file} is not an object")
    token = str(entry.get("identitytoken") or "")
    if not token.isascii():
        raise BadAuthFileError(f"an identity token in the auth file {file} is none")
    encoded = entry.get("auth")
    if not encoded:
        return Credentials("", "", token, str(file)) if token else None
    try:
        user, colon, password = base64.b64decode(str(encoded), validate=True).decode("utf-8").partition(":")
    except (binascii.Error, ValueError):
        colon = ""
    if not colon:
        raise BadAuthFileError(f"a login in the auth file {file} is not base64 of USER:PASSWORD")
    return Credentials(user, password.rstrip("\0"), token, str(file))


def _from_helper(name: str, host: str, file: Path, environment: Mapping[str, str]) -> Credentials | None:
    """Asks docker's helper; that it knows no login is no error, that it fails is one."""
    program = f"docker-credential-{name}"
    if not _HELPER.fullmatch(name):
        raise BadAuthFileError(f"the auth file {file} names a credential helper that is none")
    asked = "https://index.docker.io/v1/" if host == "docker.io" else host
    try:
        answer = subprocess.run(
            [program, "get"],
            input=asked.encode(),
            capture_output=True,
            timeout=_HELPER_TIMEOUT,
            check=False,
            env=dict(environment),
        )
        if answer.returncode:
            if _NOT_FOUND in (answer.stdout + answer.stderr).decode("utf-8", "replace").lower():
                return None
            raise BadAuthFileError(f"{program}, named in {file}, ended with exit code {answer.returncode}")
        found = json.loads(answer.stdout)
        user, secret = str(found["Username"]), str(found["Secret"])
        f"{user}:{secret}".encode()
    except FileNotFoundError:
        raise BadAuthFileError(f"the auth file {file} names {program}, which is not installed") from None
    except subprocess.TimeoutExpired:
        raise BadAuthFileError(f"{program}, named in {file}, did not answer in {_HELPER_TIMEOUT} seconds") from None
    except (OSError, ValueError, KeyError, TypeError):
        raise BadAuthFileError(f"{program}, named in {file}, gave no login") from None
    place = f"{file} ({program})"
    return Credentials("", "", secret, place) if user == "<token>" else Credentials(user, secret, "", place)


def _host(registry: str) -> str:
    host = urlsplit(registry).netloc.lower()
    return "docker.io" if host in _DOCKER_HUB else host


def _by_normal_key(mapping: Mapping[str, Any]) -> dict[str, Any]:
    """What is written as it should be counts more than what an older tool left behind."""
    return {_normal(key): mapping[key] for key in sorted(mapping, key=lambda key: "://" not in key)}


def _normal(key: str) -> str:
    """A key as podman writes it. What older tools wrote as a URL is for its whole host:

    >>> _normal("https://index.docker.io/v1/")
    'docker.io'
    """
    bare = re.sub(r"^https?://", "", key.strip())
    host, slash, rest = bare.rstrip("/").partition("/")
    if bare != key.strip():
        slash = rest = ""
    host = host.lower()
    return ("docker.io" if host in _DOCKER_HUB else host) + slash + rest


def _path(text: str | None) -> Path | None:
    return Path(text) if text else None

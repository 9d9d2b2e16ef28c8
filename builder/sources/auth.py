"""How to prove it: the challenges of registries, and tokens, each fetched once and kept while it lasts."""

from __future__ import annotations

import json
import re
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from urllib.parse import unquote, urlencode, urlsplit

from builder.sources.credentials import Credentials

_LIFETIME = 60.0  # seconds, where a token service doesn't say
_LONGEST_LIFETIME = 3600.0
_LONGEST_TOKEN = 64 * 1024
_CHALLENGE = re.compile(r'([^\s,="]+)\s*=\s*("(?:[^"\\]|\\.)*"|[^\s,"]*)|([^\s,="]+)')
_TOKEN = re.compile(r"[\x21-\x7e]+")
_ORIGIN = re.compile(r"(https?)://(\[[0-9a-z:.%]+\]|[^\x00-\x20\x7f/?#\\@:\[\]]+)(?::([0-9]{0,5}))?(?=[/?#]|$)")
_PORTS = {"http": 80, "https": 443}

_WELL_KNOWN = {
    "https://registry-1.docker.io": "https://auth.docker.io",
    "https://index.docker.io": "https://auth.docker.io",
    "https://registry.gitlab.com": "https://gitlab.com",
}
"""Registries whose token service is known to be at another origin."""


@dataclass(frozen=True)
class Challenge:
    """What a 401 asks for: `basic`, or `bearer` with a token from `realm`."""

    scheme: str
    realm: str = ""
    service: str = ""
    scope: str = ""


@dataclass(frozen=True)
class _Token:
    value: str = field(repr=False)
    until: float


class RefusedError(Exception):
    """No token could be had; the message says why, `status` is the token service's, if it answered.

    `again`: another try may do better.
    """

    def __init__(self, why: str, status: int | None = None, *, again: bool = False) -> None:
        super().__init__(why)
        self.status = status
        self.again = again


Ask = Callable[[str, str, dict[str, str], bytes | None], tuple[int, bytes]]
"""Sends a request to a token service: method, URL, headers, body. The answer's status and body."""

Login = Callable[[str], Credentials | None]
"""The credentials for a scope's repository."""


class Authorizer:
    """The Authorization header for one registry at `origin`; may be shared by threads.

    Credentials go to the registry's own origin, to its well-known token service, and to `realms`: nowhere else.
    """

    def __init__(self, origin: str, login: Login, realms: tuple[str, ...] = ()) -> None:
        self._origin = origin
        self._login = login
        self._realms = realms
        self._challenge: Challenge | None = None
        self._asked_for: set[str] = set()
        """The scopes that are known to need an Authorization, which others may do without."""
        self._tokens: dict[str, _Token] = {}
        self._locks: dict[str, threading.Lock] = {}
        self._lock = threading.Lock()

    def header(self, scope: str, ask: Ask) -> str:
        """What to send with a request, by all that the registry asked for so far; empty: nothing."""
        challenge = self._challenge
        if challenge is None:
            return ""
        if challenge.scheme == "basic":
            credentials = self._password(scope)
            return credentials.basic if credentials else ""
        try:
            return f"Bearer {self._token(challenge, scope, ask)}"
        except RefusedError:
            if scope in self._asked_for:
                raise
            return ""

    def challenged(self, scope: str, header: str, sent: str) -> bool:
        """Takes note of a 401's WWW-Authenticate; whether another try makes sense.

        `sent` is the Authorization that the request had: a token that was taken back before its time is dropped.
        """
        found = self._chosen(list(challenges(header)), sent)
        if found is None:
            return False
        self._challenge = found
        self._asked_for.add(scope)
        if found.scheme == "basic":
            credentials = self._password(scope)
            return credentials is not None and sent != credentials.basic
        with self._lock:
            token = self._tokens.get(scope)
            if token and sent == f"Bearer {token.value}":
                del self._tokens[scope]
        return True

    def _chosen(self, offered: list[Challenge], sent: str) -> Challenge | None:
        bearer = next((each for each in offered if each.scheme == "bearer"), None)
        known = self._challenge
        if known and (not offered or (known.scheme == "bearer" and sent.startswith("Bearer "))):
            return bearer or known  # Harbor asks for Basic where a token is too old
        return bearer or next(iter(offered), None)

    def _password(self, scope: str) -> Credentials | None:
        credentials = self._login(scope)
        return credentials if credentials and (credentials.user or credentials.password) else None

    def _token(self, challenge: Challenge, scope: str, ask: Ask) -> str:
        with self._lock:
            lock = self._locks.setdefault(scope, threading.Lock())
        with lock:  # who comes second finds what the first one fetched
            token = self._tokens.get(scope)
            if token is None or token.until <= time.monotonic():
                token = self._fetched(challenge, scope, ask)
                self._tokens[scope] = token
            return token.value

    def _fetched(self, challenge: Challenge, scope: str, ask: Ask) -> _Token:
        credentials = self._login(scope) if self.trusts(challenge.realm) else None
        started = time.monotonic()
        status, body = ask(*_question(challenge, scope, credentials))
        if status != 200:
            raise RefusedError(self._why(challenge, f"answered {status}", scope), status)
        try:
            answer = json.loads(body)
            token = answer.get("token") or answer.get("access_token")
            if not isinstance(token, str) or not _TOKEN.fullmatch(token) or len(token) > _LONGEST_TOKEN:
                raise ValueError
            lifetime = float(answer.get("expires_in") or _LIFETIME)
            lifetime = min(lifetime, _LONGEST_LIFETIME) if lifetime > 0 else _LIFETIME
        except (ValueError, TypeError, AttributeError, RecursionError, OverflowError):
            raise RefusedError(self._why(challenge, "gave no token", scope), status) from None
        return _Token(token, started + max(lifetime - 10, lifetime / 2))

    def trusts(self, realm: str) -> bool:
        """Whether credentials may be sent to a token service."""
        origin = origin_of(realm)
        return (
            origin == self._origin
            or origin == _WELL_KNOWN.get(self._origin)
            or any(_is_within(realm, each) for each in self._realms)
        )

    def asker(self, scope: str) -> str:
        """Who it was that the registry answered, as the end of a sentence; empty if it never asked who."""
        challenge = self._challenge
        if challenge is None:
            return ""
        credentials = self._password(scope) if challenge.scheme == "basic" else self._login(scope)
        if credentials is None:
            return " to a client without login"
        if challenge.scheme == "basic" or self.trusts(challenge.realm):
            return f" to the login from {credentials.place}"
        return (
            f"; the login was not sent to the token service {_shown(challenge.realm)}, since it is not the registry's"
            " own (`auth_realms` of the source can allow it)"
        )

    def _why(self, challenge: Challenge, what: str, scope: str) -> str:
        return f"the token service {_shown(challenge.realm)} {what}{self.asker(scope)}"


def _shown(realm: str) -> str:
    return f"{realm.partition('?')[0]:.200}"


def _question(
    challenge: Challenge, scope: str, credentials: Credentials | None
) -> tuple[str, str, dict[str, str], bytes | None]:
    query = {"service": challenge.service, "scope": scope or challenge.scope}
    wanted = {key: value for key, value in query.items() if value}
    if credentials and credentials.token:
        form = {
            "grant_type": "refresh_token",
            "client_id": "flatdex",
            **wanted,
            "refresh_token": credentials.token,
        }
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        return "POST", challenge.realm, headers, urlencode(form).encode("ascii")
    joint = "&" if "?" in challenge.realm else "?"
    url = f"{challenge.realm}{joint}{urlencode(wanted)}" if wanted else challenge.realm
    return "GET", url, {"Authorization": credentials.basic} if credentials else {}, None


def challenges(header: str) -> Iterator[Challenge]:
    """The challenges of a WWW-Authenticate header that flatdex can meet."""
    scheme = ""
    values: dict[str, str] = {}
    for match in _CHALLENGE.finditer(header):
        if match[3]:
            yield from _met(scheme, values)
            scheme, values = match[3].lower(), {}
        else:
            values.setdefault(match[1].lower(), _unquoted(match[2]))
    yield from _met(scheme, values)


def _met(scheme: str, values: Mapping[str, str]) -> Iterator[Challenge]:
    realm = values.get("realm", "")
    if scheme == "basic":
        yield Challenge("basic", realm)
    elif scheme == "bearer" and realm.startswith(("http://", "https://")):
        yield Challenge("bearer", realm, values.get("service", ""), values.get("scope", ""))


def _unquoted(value: str) -> str:
    return re.sub(r"\\(.)", r"\1", value[1:-1]) if value.startswith('"') else value


def origin_of(url: str) -> str:
    """Scheme, host and port of a URL, in one form; empty for what is none, or what programs read differently."""
    match = _ORIGIN.match(url.lower())
    if not match:
        return ""
    scheme, host, port = match.groups()
    number = int(port or _PORTS[scheme])
    return f"{scheme}://{host}" + ("" if number == _PORTS[scheme] else f":{number}")


def _is_within(realm: str, allowed: str) -> bool:
    """Whether a realm is at an allowed one's origin, and below its path."""
    if origin_of(realm) == "" or origin_of(realm) != origin_of(allowed):
        return False
    mine, other = (unquote(urlsplit(url).path).rstrip("/") for url in (realm, allowed))
    return ".." not in mine and (mine == other or mine.startswith(other + "/"))

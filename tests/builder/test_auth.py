"""Logins and tokens: each is sent where it belongs and nowhere else, and each token is fetched once."""

from __future__ import annotations

import base64
import json
import tempfile
import threading
import time
import traceback
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from builder.catalog import Failure
from builder.config import Access, RegistrySource
from builder.sources import access, transport
from builder.sources.answers import FetchError
from builder.sources.auth import Authorizer, Challenge, RefusedError, challenges, origin_of
from builder.sources.cache import Cache
from builder.sources.credentials import Credentials
from builder.sources.reading import Item, RegistryReading
from builder.sources.transport import Transport
from tests.builder.helpers import Answer, Blobs, Json, Script, as_registry, images_of
from tests.real.tokens import Authority, Ear, Heard, Listening, listening

USER, PASSWORD = "robot$flatdex", "swordfish-4711"
BASIC = "Basic " + base64.b64encode(f"{USER}:{PASSWORD}".encode()).decode()
SECRETS = (USER, PASSWORD, BASIC.partition(" ")[2], "tok-")
LATEST = frozenset({"latest"})


# Makers, shared with the tests beside this one


def source_at(url: str, *repositories: str, **values: Any) -> RegistrySource:
    """A source whose `values` are those of its Access; all repositories unless some are named."""
    return RegistrySource("main", url, f"{url}/", repositories or ("*",), access=Access(**values))


def items(
    source: RegistrySource,
    environment: Mapping[str, str] | None = None,
    tags: frozenset[str] = LATEST,
    folder: Path | None = None,
) -> list[Item]:
    """All that a registry holds, and what could not be read of it; `folder` keeps the cache."""
    with (
        tempfile.TemporaryDirectory(prefix="flatdex-test-") as nowhere,
        Cache(folder or Path(nowhere)) as cache,
        access.opened(source, cache, {"HOME": nowhere, **(environment or {})}) as registry,
    ):
        reading = RegistryReading(registry, source, tags, cache, lambda what: lambda done, total: None)
        reading.look()
        return list(reading.items())


def names(found: list[Item]) -> list[str]:
    """The repositories of which an image was read; nothing may have failed."""
    assert not [item for item in found if isinstance(item, Failure)], found
    return [image.repository for image in images_of(found)]


def failed(found: list[Item]) -> Failure:
    """The one failure."""
    (one,) = (item for item in found if isinstance(item, Failure))
    return one


def login_file(folder: Path, host: str, login: str = f"{USER}:{PASSWORD}", **more: str) -> Path:
    """An auth file with one login."""
    file = folder / "logins.json"
    encoded = {"auth": base64.b64encode(login.encode()).decode()} if login else {}
    file.write_text(json.dumps({"auths": {host: {**encoded, **more}}}))
    return file


def content(*repositories: str) -> Script:
    """A registry of these repositories, or of `app`."""
    blobs = Blobs()
    descriptor: Json = blobs.image()
    return as_registry(blobs, {name: {"latest": descriptor} for name in repositories or ("app",)})


def only_with(script: Script, authorization: Callable[[str], bool], challenge: str) -> Ear:
    """A registry that answers 401 to any other Authorization."""

    def answer(request: Heard) -> Answer | None:
        if authorization(request.authorization):
            return script(request.path)
        return Answer(b'{"errors":[{"code":"UNAUTHORIZED"}]}', 401, {"WWW-Authenticate": challenge})

    return answer


def by_basic(script: Script) -> Ear:
    """A registry that wants the login itself."""
    return only_with(script, lambda sent: sent == BASIC, 'Basic realm="Registry Realm"')


class TokenService:
    """Hands out tokens at `/token`, as part of a registry or alone."""

    def __init__(self, key: str = "token", **more: object) -> None:
        self.key = key
        self.more = more
        self.issued: list[str] = []
        self.taken_back: set[str] = set()
        self.anonymous = True

    def __call__(self, request: Heard) -> Answer | None:
        """As a server of its own."""
        if not self.anonymous and request.authorization != BASIC:
            return Answer(b"{}", 401)
        scope = request.query.get("scope", ["none"])[0]
        self.issued.append(f"tok-{len(self.issued)}-{scope}")
        return Answer(json.dumps({self.key: self.issued[-1], **self.more}).encode())

    def knows(self, authorization: str, path: str) -> bool:
        """Whether this is a token for what is at the path."""
        token = authorization.removeprefix("Bearer ")
        _, _, scope = token.partition("-")[2].partition("-")
        name = scope.split(":")[1] if scope.count(":") > 1 else ""
        there = f"/v2/{name}/" in path or (name == "catalog" and "_catalog" in path)
        return token in self.issued and token not in self.taken_back and there

    def with_registry(self, script: Script, realm: str = "") -> Ear:
        """A registry that wants tokens from `realm`, or from its own /token."""

        def answer(request: Heard) -> Answer | None:
            if request.path.startswith("/token"):
                return self(request)
            if self.knows(request.authorization, request.path):
                return script(request.path)
            place = realm or f"http://{request.headers['host']}/token"
            challenge = f'Bearer realm="{place}",service="a registry",scope="what:ever:pull"'
            return Answer(b"{}", 401, {"WWW-Authenticate": challenge})

        return answer


def no_secret_in(text: str) -> None:
    """Fails where a text has anything that nobody may see."""
    assert not [secret for secret in SECRETS if secret in text], text


# Anonymous and Basic


def test_an_open_registry_sees_no_login(tmp_path: Path) -> None:
    script = content("app", "other")
    with listening(lambda request: script(request.path)) as server:
        file = login_file(tmp_path, server.host)
        assert names(items(source_at(server.url, auth_file=file))) == ["app", "other"]
    assert {request.authorization for request in server.heard} == {""}


def test_basic_is_sent_once_it_was_asked_for(tmp_path: Path) -> None:
    with listening(by_basic(content("app", "other"))) as server:
        file = login_file(tmp_path, server.host)
        assert names(items(source_at(server.url, auth_file=file))) == ["app", "other"]
    assert [request.authorization for request in server.heard] == ["", *[BASIC] * (len(server.heard) - 1)]


def test_basic_without_a_login_is_a_plain_401() -> None:
    with listening(by_basic(content())) as server:
        failure = failed(items(source_at(server.url, "app")))
    assert failure.code == "unauthorized"
    assert "answered 401 Unauthorized to a client without login" in failure.why and "podman login" in failure.why


def test_a_wrong_password_is_tried_once_and_the_message_says_whose_it_is(tmp_path: Path) -> None:
    with listening(by_basic(content())) as server:
        file = login_file(tmp_path, server.host, f"{USER}:wrong-{PASSWORD}")
        failure = failed(items(source_at(server.url, "app", auth_file=file), tags=frozenset({"latest", "v1"})))
    assert failure.code == "unauthorized"
    assert f"answered 401 Unauthorized to the login from {file}" in failure.why
    no_secret_in(failure.why)
    tried = {request.authorization for request in server.heard} - {""}
    assert len(tried) == 1 and len(server.heard) <= 4


def test_each_repository_can_have_a_login_of_its_own(tmp_path: Path) -> None:
    def of(user: str) -> str:
        return base64.b64encode(f"{user}:secret".encode()).decode()

    script = content("one/app", "two/app")

    def answer(request: Heard) -> Answer | None:
        user = request.path.split("/")[2]
        if request.authorization == f"Basic {of(user)}":
            return script(request.path)
        return Answer(b"", 401, {"WWW-Authenticate": "Basic"})

    with listening(answer) as server:
        file = tmp_path / "logins.json"
        file.write_text(json.dumps({"auths": {f"{server.host}/{name}": {"auth": of(name)} for name in ("one", "two")}}))
        assert names(items(source_at(server.url, "one/app", "two/app", auth_file=file))) == ["one/app", "two/app"]


def test_an_identity_token_is_no_password_for_basic(tmp_path: Path) -> None:
    with listening(by_basic(content())) as server:
        file = login_file(tmp_path, server.host, "", identitytoken="tok-identity")
        assert failed(items(source_at(server.url, "app", auth_file=file))).code == "unauthorized"
    assert {request.authorization for request in server.heard} == {""}


def test_a_login_in_netrc_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".netrc").write_text(f"machine 127.0.0.1 login {USER} password {PASSWORD}\n")
    monkeypatch.setenv("HOME", str(tmp_path))
    with listening(by_basic(content())) as server:
        assert failed(items(source_at(server.url, "app"))).code == "unauthorized"
    assert {request.authorization for request in server.heard} == {""}


# Bearer


@pytest.mark.parametrize("key", ["token", "access_token"])
def test_an_anonymous_token_is_fetched_once_for_each_repository(key: str) -> None:
    service = TokenService(key)
    with listening(service.with_registry(content("app", "other"))) as server:
        assert names(items(source_at(server.url))) == ["app", "other"]
    asked = server.asked("/token")
    scopes = sorted(request.query["scope"][0] for request in asked)
    assert scopes == ["registry:catalog:*", "repository:app:pull", "repository:other:pull"]
    assert {request.query["service"][0] for request in asked} == {"a registry"}
    assert {request.authorization for request in asked} == {""}


def test_a_login_is_exchanged_for_tokens_and_not_sent_to_the_registry(tmp_path: Path) -> None:
    service = TokenService()
    service.anonymous = False
    with listening(service.with_registry(content("app", "other"))) as server:
        file = login_file(tmp_path, server.host)
        assert names(items(source_at(server.url, auth_file=file))) == ["app", "other"]
    assert {request.authorization for request in server.asked("/token")} == {BASIC}
    assert BASIC not in {request.authorization for request in server.asked("/v2/")}


def test_sixteen_threads_at_one_repository_fetch_one_token() -> None:
    service = TokenService()
    script = content()
    slow = threading.Event()

    def answer(request: Heard) -> Answer | None:
        if request.path.startswith("/token"):
            slow.wait(0.2)
        return service.with_registry(script)(request)

    start = threading.Barrier(16)
    with listening(answer) as server:
        authorizer = Authorizer(origin_of(server.url), lambda scope: None)

        def fetch(_: int) -> int:
            start.wait(10)
            return web.get(f"{server.url}/v2/app/tags/list", 1000, scope="repository:app:pull").status

        with Transport(16, server.url, authorizer) as web, ThreadPoolExecutor(16) as pool:
            assert list(pool.map(fetch, range(16))) == [200] * 16
    assert len(server.asked("/token")) == 1


def test_a_token_taken_back_early_is_fetched_anew_once_for_all_threads() -> None:
    service = TokenService()
    with listening(service.with_registry(content())) as server:
        authorizer = Authorizer(origin_of(server.url), lambda scope: None)
        with Transport(16, server.url, authorizer) as web, ThreadPoolExecutor(16) as pool:

            def fetch(_: int = 0) -> int:
                return web.get(f"{server.url}/v2/app/tags/list", 1000, scope="repository:app:pull").status

            fetch()
            service.taken_back.update(service.issued)
            assert list(pool.map(fetch, range(64))) == [200] * 64
    assert len(server.asked("/token")) == 2


def test_a_registry_that_takes_no_token_ends_in_a_401_and_not_in_a_loop() -> None:
    service = TokenService()
    with listening(service.with_registry(lambda path: None)) as server:
        service.knows = lambda authorization, path: False  # type: ignore[method-assign]
        failure = failed(items(source_at(server.url, "app")))
    assert failure.code == "unauthorized"
    assert len(server.heard) <= 6


def test_a_401_without_a_challenge_takes_a_token_back_too() -> None:
    service = TokenService()
    script = content()

    def answer(request: Heard) -> Answer | None:
        real = service.with_registry(script)(request)
        return Answer(b"", 401) if real and real.status == 401 and request.authorization else real

    with listening(answer) as server:
        authorizer = Authorizer(origin_of(server.url), lambda scope: None)
        with Transport(1, server.url, authorizer) as web:
            for _ in range(2):
                assert web.get(f"{server.url}/v2/app/tags/list", 1000, scope="repository:app:pull").status == 200
                service.taken_back.update(service.issued)
    assert len(server.asked("/token")) == 2


@pytest.mark.parametrize(
    ("more", "lasts"),
    [
        ({}, 50),
        ({"expires_in": None}, 50),
        ({"expires_in": 0}, 50),
        ({"expires_in": -5}, 50),
        ({"expires_in": 300}, 290),
        ({"expires_in": "300"}, 290),
        ({"expires_in": 8}, 4),
        ({"expires_in": 10**12}, 3590),
        ({"expires_in": float("inf")}, 3590),
        ({"expires_in": float("nan")}, 50),
    ],
)
def test_a_token_is_used_until_shortly_before_it_expires(
    monkeypatch: pytest.MonkeyPatch, more: dict[str, object], lasts: float
) -> None:
    now = 1000.0
    monkeypatch.setattr(time, "monotonic", lambda: now)
    asked = []

    def ask(method: str, url: str, headers: dict[str, str], body: bytes | None) -> tuple[int, bytes]:
        asked.append(url)
        return 200, json.dumps({"token": f"t{len(asked)}", **more}).encode()

    authorizer = Authorizer("https://r.example", lambda scope: None)
    assert authorizer.challenged("s", 'Bearer realm="https://r.example/token"', "")
    assert authorizer.header("s", ask) == "Bearer t1"
    now += lasts - 0.1
    assert authorizer.header("s", ask) == "Bearer t1"
    now += 0.2
    assert authorizer.header("s", ask) == "Bearer t2"


@pytest.mark.parametrize("login", ["", "00000000-0000-0000-0000-000000000000:"])
def test_an_identity_token_is_posted_as_a_refresh_token(tmp_path: Path, login: str) -> None:
    service = TokenService("access_token")
    with listening(service.with_registry(content())) as server:
        file = login_file(tmp_path, server.host, login, identitytoken="tok-identity&=+")
        assert names(items(source_at(server.url, "app", auth_file=file))) == ["app"]
    (asked,) = server.asked("/token")
    assert (asked.method, asked.authorization) == ("POST", "")
    assert asked.headers["content-type"] == "application/x-www-form-urlencoded"
    assert asked.query == {
        "grant_type": ["refresh_token"],
        "client_id": ["flatdex"],
        "service": ["a registry"],
        "scope": ["repository:app:pull"],
        "refresh_token": ["tok-identity&=+"],
    }
    assert "identity" not in asked.path


@pytest.mark.parametrize(
    "body",
    [
        *(b"", b"<html>tok-x", b"[]", b"5", b"{}", b'{"token":""}', b'{"token":5}', b'{"token":["tok-x"]}'),
        *(b'{"token":"tok-a b"}', b'{"token":"tok-\\r\\nX: y"}', b'{"token":"tok-\\u00e4"}', b"[" * 100_000),
        *(b'{"token":"tok-x","expires_in":"soon"}', b'{"token":"tok-x","expires_in":[5]}'),
        b'{"token":"' + b"x" * 70_000 + b'"}',
    ],
)
def test_an_answer_without_a_token_is_an_error_that_does_not_repeat_it(body: bytes) -> None:
    service = TokenService()
    registry = service.with_registry(content())
    with listening(lambda request: Answer(body) if "/token" in request.path else registry(request)) as server:
        failure = failed(items(source_at(server.url, "app")))
    assert f"the token service {server.url}/token gave no token to a client without login" in failure.why
    assert failure.code == "bad-answer"
    no_secret_in(failure.why)


@pytest.mark.parametrize(("status", "code"), [(401, "unauthorized"), (403, "forbidden"), (307, "bad-answer")])
def test_a_token_service_that_refuses_a_login_is_named_with_the_logins_file(
    tmp_path: Path, status: int, code: str
) -> None:
    service = TokenService()
    registry = service.with_registry(content())
    refusal = Answer(PASSWORD.encode(), status, {"Location": "/elsewhere"})
    with listening(lambda request: refusal if "/token" in request.path else registry(request)) as server:
        file = login_file(tmp_path, server.host)
        failure = failed(items(source_at(server.url, "app", auth_file=file)))
    assert failure.code == code
    assert f"the token service {server.url}/token answered {status} to the login from {file}" in failure.why
    no_secret_in(failure.why)
    assert not server.asked("/elsewhere")


def test_a_token_service_with_a_problem_is_asked_again() -> None:
    service = TokenService()
    registry = service.with_registry(content())
    asked: list[Heard] = []

    def answer(request: Heard) -> Answer | None:
        if "/token" in request.path:
            asked.append(request)
            if len(asked) == 1:
                return Answer(b"", 503)
        return registry(request)

    with listening(answer) as server:
        assert names(items(source_at(server.url, "app"))) == ["app"]


# Challenges


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        ("", []),
        ("Basic", [Challenge("basic")]),
        ('BASIC realm="x"', [Challenge("basic", "x")]),
        ('Bearer realm="https://a/t",service="s",scope="c"', [Challenge("bearer", "https://a/t", "s", "c")]),
        ('bearer  Realm = "https://a/t" , SERVICE=s', [Challenge("bearer", "https://a/t", "s")]),
        (
            'Bearer realm="https://a/t?x=1,2",service="a, Basic b"',
            [Challenge("bearer", "https://a/t?x=1,2", "a, Basic b")],
        ),
        ('Bearer realm="https://a/t",service="say \\"s\\""', [Challenge("bearer", "https://a/t", 'say "s"')]),
        ('Basic realm="b", Bearer realm="https://a/t"', [Challenge("basic", "b"), Challenge("bearer", "https://a/t")]),
        ('Bearer realm="https://a/t",Basic realm="b"', [Challenge("bearer", "https://a/t"), Challenge("basic", "b")]),
        ('Negotiate, Basic realm="b"', [Challenge("basic", "b")]),
        ('Negotiate abc==, NTLM, Bearer realm="https://a/t"', [Challenge("bearer", "https://a/t")]),
        ('Bearer realm="https://a/t", Digest realm="https://evil/", nonce="n"', [Challenge("bearer", "https://a/t")]),
        ('Digest realm="https://evil/", Bearer realm="https://a/t"', [Challenge("bearer", "https://a/t")]),
        ('Bearer realm="https://a/t",realm="https://evil/"', [Challenge("bearer", "https://a/t")]),
        ('Bearer service="s"', []),
        ('Bearer realm="ftp://a/t"', []),
        ('Bearer realm="file:///etc/passwd"', []),
        ("Digest", []),
        ('"', []),
        (",,,==,", []),
    ],
)
def test_challenges_are_read(header: str, expected: list[Challenge]) -> None:
    assert list(challenges(header)) == expected


def test_bearer_is_preferred_wherever_it_stands() -> None:
    service = TokenService()
    registry = service.with_registry(content())

    def answer(request: Heard) -> Answer | None:
        real = registry(request)
        if real and real.status == 401:
            both = f'Basic realm="x", {real.headers["WWW-Authenticate"]}'
            return Answer(b"", 401, {"WWW-Authenticate": both})
        return real

    with listening(answer) as server:
        assert names(items(source_at(server.url, "app"))) == ["app"]


# Where a login may go


@pytest.mark.parametrize(
    ("origin", "realm", "realms", "expected"),
    [
        ("https://r.example", "https://r.example/token", (), True),
        ("https://r.example", "https://R.EXAMPLE:443/token", (), True),
        ("https://r.example", "https://r.example:8443/token", (), False),
        ("https://r.example", "http://r.example/token", (), False),
        ("https://r.example", "https://auth.r.example/token", (), False),
        ("https://r.example", "https://r.example.evil.example/token", (), False),
        ("https://r.example", "https://r.example@evil.example/token", (), False),
        ("https://r.example", "https://evil.example\\@r.example/token", (), False),
        ("https://r.example", "https://evil.example/@r.example", (), False),
        ("https://r.example", "https://evil.example?@r.example", (), False),
        ("https://r.example", "https://r.ex\tample/token", (), False),
        ("https://r.example", "https://[r.example/token", (), False),
        ("https://r.example", "https://r.example:99999999/token", (), False),
        ("https://r.example:5000", "https://r.example:50001/token", (), False),
        ("https://registry-1.docker.io", "https://auth.docker.io/token", (), True),
        ("https://index.docker.io", "https://auth.docker.io/token", (), True),
        ("https://registry-1.docker.io", "http://auth.docker.io/token", (), False),
        ("https://registry-1.docker.io", "https://gitlab.com/jwt/auth", (), False),
        ("https://registry.gitlab.com", "https://gitlab.com/jwt/auth", (), True),
        ("https://registry.gitlab.example", "https://gitlab.com/jwt/auth", (), False),
        ("https://r.example", "https://auth.docker.io/token", (), False),
        ("https://r.example", "https://git.example/jwt/auth", ("https://git.example/jwt/auth",), True),
        ("https://r.example", "https://git.example/jwt/auth?account=x", ("https://git.example/jwt/auth",), True),
        ("https://r.example", "https://git.example/jwt/auth/more", ("https://git.example/jwt/auth/",), True),
        ("https://r.example", "https://git.example/anything", ("https://git.example",), True),
        ("https://r.example", "https://git.example/jwt/authority", ("https://git.example/jwt/auth",), False),
        ("https://r.example", "https://git.example/jwt", ("https://git.example/jwt/auth",), False),
        ("https://r.example", "https://git.example/jwt/auth/../../evil", ("https://git.example/jwt/auth",), False),
        ("https://r.example", "https://git.example/jwt/auth/%2e%2E/evil", ("https://git.example/jwt/auth",), False),
        ("https://r.example", "https://git.example/jwt/auth%2f..%2fevil", ("https://git.example/jwt/auth",), False),
        ("https://r.example", "https://git.example:444/jwt/auth", ("https://git.example/jwt/auth",), False),
        ("https://r.example", "http://git.example/jwt/auth", ("https://git.example/jwt/auth",), False),
        ("https://r.example", "https://evil.example/", ("https://git.example", "https://other.example"), False),
    ],
)
def test_a_login_goes_to_the_registrys_own_token_service(
    origin: str, realm: str, realms: tuple[str, ...], expected: bool
) -> None:
    assert Authorizer(origin, lambda scope: None, realms).trusts(realm) is expected


@pytest.mark.parametrize(
    ("url", "origin"),
    [
        ("https://A.example/x", "https://a.example"),
        ("HTTPS://a.example:443", "https://a.example"),
        ("http://a.example:80/", "http://a.example"),
        ("http://a.example:443/", "http://a.example:443"),
        ("https://a.example:/x", "https://a.example"),
        ("http://[::1]:5000/x", "http://[::1]:5000"),
        ("https://a.example?x", "https://a.example"),
        ("https://a.example#x", "https://a.example"),
        *(
            (each, "")
            for each in ("", "a", "a.example", "ftp://a", "https://", "https:///x", "https://u@a", "https://a b")
        ),
        *((each, "") for each in ("https://a\\b", "https://a:x", "https://a:1:2", " https://a", "https://[::1", "//a")),
    ],
)
def test_an_origin_has_one_form(url: str, origin: str) -> None:
    assert origin_of(url) == origin


def elsewhere_and_registry(
    tmp_path: Path, *, posts: bool, paths: tuple[str, ...]
) -> tuple[Listening, Listening, list[Item]]:
    """A token service and a registry at two origins, and what is read with a login."""
    service = TokenService()
    with (
        listening(service) as other,
        listening(service.with_registry(content(), f"{other.url}/jwt/auth")) as server,
    ):
        more = {"login": "", "identitytoken": "tok-identity"} if posts else {}
        file = login_file(tmp_path, server.host, **more)
        realms = tuple(f"{other.url}{path}" for path in paths)
        return other, server, items(source_at(server.url, "app", auth_file=file, auth_realms=realms))


@pytest.mark.parametrize("posts", [False, True], ids=["password", "identity token"])
@pytest.mark.parametrize("paths", [(), ("/other",), ("/jwt/aut",)])
def test_a_token_service_elsewhere_is_asked_without_the_login(
    tmp_path: Path, posts: bool, paths: tuple[str, ...]
) -> None:
    other, server, found = elsewhere_and_registry(tmp_path, posts=posts, paths=paths)
    assert names(found) == ["app"], "the images are public"
    assert [(asked.method, asked.authorization, asked.body) for asked in other.heard] == [("GET", "", b"")]
    assert not [request for request in server.heard if request.authorization.startswith("Basic")]


@pytest.mark.parametrize("posts", [False, True], ids=["password", "identity token"])
def test_a_token_service_elsewhere_gets_the_login_where_the_configuration_allows_it(
    tmp_path: Path, posts: bool
) -> None:
    other, _, found = elsewhere_and_registry(tmp_path, posts=posts, paths=("/jwt",))
    assert names(found) == ["app"]
    assert (other.heard[0].authorization == BASIC) is not posts
    assert (b"tok-identity" in other.heard[0].body) is posts


def test_a_token_service_elsewhere_that_wants_a_login_is_told_with_what_can_allow_it(tmp_path: Path) -> None:
    service = TokenService()
    service.anonymous = False
    with (
        listening(service) as other,
        listening(service.with_registry(content(), f"{other.url}/jwt/auth?account=x")) as server,
    ):
        file = login_file(tmp_path, server.host)
        failure = failed(items(source_at(server.url, "app", auth_file=file)))
        assert failure.code == "unauthorized"
        assert f"the token service {other.url}/jwt/auth answered 401; the login was not sent to" in failure.why
        assert "`auth_realms`" in failure.why
        no_secret_in(failure.why)
    assert {request.authorization for request in other.heard} == {""}


def test_nothing_is_asked_of_a_token_service_over_http_where_the_registry_is_https(tmp_path: Path) -> None:
    authority = Authority(tmp_path / "keys")
    service = TokenService()
    with (
        listening(service) as other,
        listening(service.with_registry(content(), f"{other.url}/token"), authority.issue("server")) as server,
    ):
        file = login_file(tmp_path, server.host)
        values = {"auth_file": file, "ca": authority.certificate, "auth_realms": (other.url,)}
        failure = failed(items(source_at(server.url, "app", **values)))
    assert "is not reached by https" in failure.why
    assert other.heard == []
    assert {request.authorization for request in server.heard} == {""}


@pytest.mark.parametrize("form", ["{other}/{path}", "http://{other_host}\\@{host}/{path}", "//{other_host}/{path}"])
@pytest.mark.parametrize("scheme", ["basic", "bearer"])
def test_a_redirect_takes_neither_login_nor_token_along(tmp_path: Path, form: str, scheme: str) -> None:
    script = content()
    service = TokenService()
    with listening(lambda request: script(request.path.replace("/%5C@", "/").removeprefix("/x"))) as other:

        def moved(path: str) -> Answer | None:
            if "/blobs/" not in path:
                return script(path)
            values = {"other": other.url, "other_host": other.host, "host": server.host, "path": path.lstrip("/")}
            return Answer(b"", 307, {"Location": form.format(**values)})

        with listening(by_basic(moved) if scheme == "basic" else service.with_registry(moved)) as server:
            file = login_file(tmp_path, server.host)
            items(source_at(server.url, "app", auth_file=file))
    assert other.heard
    assert not [request for request in other.heard if request.authorization]
    assert not [request for request in other.heard if "cookie" in request.headers]


def test_a_redirect_within_the_registry_keeps_the_login(tmp_path: Path) -> None:
    script = content()

    def moved(path: str) -> Answer | None:
        if "/blobs/" in path and not path.startswith("/moved"):
            return Answer(b"", 302, {"Location": f"/moved{path}"})
        return script(path.removeprefix("/moved"))

    with listening(by_basic(moved)) as server:
        file = login_file(tmp_path, server.host)
        assert names(items(source_at(server.url, "app", auth_file=file))) == ["app"]


# What nobody may see


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("status", [0, 301, 307, 400, 401, 403, 429, 500, 503, 599])
@pytest.mark.parametrize("part", ["/token", "/tags/", "/manifests/", "/blobs/"])
def test_no_error_tells_a_login_or_a_token(tmp_path: Path, part: str, status: int) -> None:
    service = TokenService()
    service.anonymous = False
    registry = service.with_registry(content())

    def answer(request: Heard) -> Answer | None:
        if part not in request.path or (part != "/token" and not request.authorization):
            return registry(request)
        said = f"you sent {request.headers} {SECRETS}".encode()
        return Answer(said, status, {"X-Echo": request.authorization}) if status else None

    with listening(answer) as server:
        login = Credentials(USER, PASSWORD, "", "a file")
        authorizer = Authorizer(origin_of(server.url), lambda scope: login)
        with Transport(1, server.url, authorizer) as web:
            try:
                web.get(f"{server.url}/v2/app{part}x", 1000, scope="repository:app:pull")
            except FetchError as error:
                no_secret_in("".join(traceback.format_exception(error)))
                no_secret_in(repr(error))
            else:
                assert part == "/blobs/", "only this one is not there"
        file = login_file(tmp_path, server.host)
        for item in items(source_at(server.url, "app", auth_file=file)):
            no_secret_in(repr(item) if isinstance(item, Failure) else "")


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives up at once."""
    monkeypatch.setattr(transport, "_RETRIES", 0)


def test_no_repr_tells_a_login_or_a_token() -> None:
    login = Credentials(USER, PASSWORD, "tok-identity", "/a/file")
    assert "/a/file" in repr(login)
    no_secret_in(repr(login))
    authorizer = Authorizer("https://r.example", lambda scope: login)
    authorizer.challenged("s", 'Bearer realm="https://r.example/token"', "")
    assert authorizer.header("s", lambda *_: (200, b'{"token":"tok-x"}')) == "Bearer tok-x"
    no_secret_in(repr(authorizer) + repr(vars(authorizer)))
    assert authorizer.header("other", lambda *_: (200, b'{"token":"tok x"}')) == "", "nobody has asked for it yet"
    authorizer.challenged("other", 'Bearer realm="https://r.example/token"', "")
    with pytest.raises(RefusedError) as caught:
        authorizer.header("other", lambda *_: (200, b'{"token":"tok x"}'))
    no_secret_in(repr(caught.value))


def test_a_token_service_that_answers_far_too_much_is_a_failure_and_leaves_no_image_out() -> None:
    registry = TokenService().with_registry(content())
    endless = Answer(b'{"token":"' + b"x" * 300_000)
    with listening(lambda request: endless if "/token" in request.path else registry(request)) as server:
        assert "the token service" in failed(items(source_at(server.url, "app"))).why

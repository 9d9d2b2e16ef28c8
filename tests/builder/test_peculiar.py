"""What is peculiar to each product: registries that answer as their documentation and their issues say."""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from email.utils import formatdate
from pathlib import Path

import pytest

from builder import oci
from builder.catalog import Failure
from builder.config import Rate
from builder.sources import registry, transport
from builder.sources.reading import Item
from tests.builder.helpers import Answer, Blobs, Json, Script, as_registry, images_of
from tests.builder.test_auth import (
    BASIC,
    TokenService,
    content,
    failed,
    items,
    login_file,
    names,
    no_secret_in,
    source_at,
)
from tests.real.tokens import Ear, Heard, listening

HINT = "If this registry has no catalog, list its repositories by name"
SIGNED = "X-Amz-Signature=5167ed&Expires=1"


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives up at once."""
    monkeypatch.setattr(transport, "_RETRIES", 0)


def errors(status: int, code: str, **headers: str) -> Answer:
    """An error as registries word it."""
    return Answer(json.dumps({"errors": [{"code": code, "message": "swordfish-4711"}]}).encode(), status, headers)


def failures(found: list[Item]) -> list[Failure]:
    """What could not be read."""
    return [item for item in found if isinstance(item, Failure)]


# CNCF distribution: what docker-registry is


def test_distribution_pages_by_relative_links_and_says_null_where_no_tag_is_left(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(registry, "_PAGE", 1)
    script = content("a", "b", "c")

    def answer(request: Heard) -> Answer | None:
        if request.path.startswith("/v2/_catalog"):
            last = request.query.get("last", [""])[0]
            name = {"": "a", "a": "b", "b": "c"}[last]
            link = {"Link": f'</v2/_catalog?last={name}&n=1>; rel="next"'} if name != "c" else {}
            return Answer(json.dumps({"repositories": [name]}).encode(), headers=link)
        if request.path.startswith("/v2/b/tags/list"):
            return Answer(b'{"name":"b","tags":null}')
        if request.path.startswith("/v2/b/"):
            return errors(404, "MANIFEST_UNKNOWN")
        return script(request.path)

    with listening(answer) as server:
        assert names(items(source_at(server.url))) == ["a", "c"]
        wanted = frozenset(("latest", "one", "two"))  # so many that the tags are listed
        assert names(items(source_at(server.url), tags=wanted)) == ["a", "c"]
    assert len(server.asked("_catalog")) == 6


def test_distribution_knows_an_oci_manifest_only_where_it_is_accepted() -> None:
    blobs = Blobs()
    tags: dict[str, Mapping[str, Json]] = {
        "app": {"latest": blobs.image()},
        "index": {"latest": blobs.index(blobs.image(architecture="arm64"))},
        "docker": {"latest": blobs.image(media_type=oci.DOCKER_MANIFEST)},
    }
    script = as_registry(blobs, tags)

    def answer(request: Heard) -> Answer | None:
        real = script(request.path)
        accepted = request.headers.get("accept", "").split(", ")
        if (
            real
            and "/manifests/" in request.path
            and real.headers.get("Content-Type")
            not in (
                *accepted,
                "application/octet-stream",
            )
        ):
            return errors(404, "MANIFEST_UNKNOWN")
        return real

    with listening(answer) as server:
        assert sorted(names(items(source_at(server.url)))) == ["app", "docker", "index"]
    assert all(
        set(oci.MANIFEST_TYPES) <= set(each.headers["accept"].split(", ")) for each in server.asked("/manifests/")
    )


# Harbor


class Harbor(TokenService):
    """Tokens from /service/token; the catalog is for admins; who comes with a login gets Basic for an answer."""

    admin = False

    def registry(self, script: Script) -> Ear:
        """The whole of it, with a project `team`."""

        def answer(request: Heard) -> Answer | None:
            if request.path.startswith("/service/token"):
                return self(request)
            if "_catalog" in request.path:
                allowed = self.admin and request.authorization == BASIC
                return script(request.path) if allowed else self._basic()
            if request.authorization == BASIC or self.knows(request.authorization, request.path):
                return script(request.path)
            if request.authorization:
                return self._basic()
            realm = f"http://{request.headers['host']}/service/token"
            name = request.path.removeprefix("/v2/").split("/manifests/")[0]
            challenge = f'Bearer realm="{realm}",service="harbor-registry",scope="repository:{name}:pull"'
            return errors(401, "UNAUTHORIZED", **{"WWW-Authenticate": challenge})

        return answer

    def _basic(self) -> Answer:
        return errors(401, "UNAUTHORIZED", **{"WWW-Authenticate": 'Basic realm="harbor"'})


@pytest.mark.parametrize("robot", [False, True])
def test_harbors_catalog_is_for_admins_and_the_message_says_to_list_repositories(tmp_path: Path, robot: bool) -> None:
    with listening(Harbor().registry(content("team/app"))) as server:
        access = {"auth_file": login_file(tmp_path, server.host)} if robot else {}
        failure = failed(items(source_at(server.url, "team/*", **access)))
    assert (failure.code, failure.repository) == ("unauthorized", "")
    assert HINT in failure.why
    no_secret_in(failure.why)


def test_harbors_catalog_is_read_by_an_admin(tmp_path: Path) -> None:
    harbor = Harbor()
    harbor.admin = True
    with listening(harbor.registry(content("team/app", "library/other"))) as server:
        file = login_file(tmp_path, server.host)
        assert names(items(source_at(server.url, "team/*", auth_file=file))) == ["team/app"]


def test_harbors_robot_reads_what_is_listed_with_tokens_of_its_own_origin(tmp_path: Path) -> None:
    harbor = Harbor()
    harbor.anonymous = False
    with listening(harbor.registry(content("team/app", "team/other"))) as server:
        file = login_file(tmp_path, f"{server.host}/team")
        assert names(items(source_at(server.url, "team/app", "team/other", auth_file=file))) == [
            "team/app",
            "team/other",
        ]
    asked = server.asked("/service/token")
    assert sorted(each.query["scope"][0] for each in asked) == [
        "repository:team/app:pull",
        "repository:team/other:pull",
    ]
    assert {each.authorization for each in asked} == {BASIC}


def test_harbor_asks_for_basic_where_a_token_is_too_old_and_gets_a_new_token(tmp_path: Path) -> None:
    harbor = Harbor()
    registry = harbor.registry(content("team/app"))

    def answer(request: Heard) -> Answer | None:
        real = registry(request)
        if "/manifests/latest" in request.path and real and real.status == 200 and len(harbor.issued) == 1:
            harbor.taken_back.update(harbor.issued)
        return real

    with listening(answer) as server:
        assert names(items(source_at(server.url, "team/app"))) == ["team/app"]
    assert len(harbor.issued) == 2


# Zot


def test_zot_is_read_without_a_login_and_pages_by_absolute_urls() -> None:
    script = content("a", "b")

    def answer(request: Heard) -> Answer | None:
        if request.path.startswith("/v2/_catalog"):
            if "last" in request.query:
                return Answer(b'{"repositories":["b"]}')
            link = f'<http://{request.headers["host"]}/v2/_catalog?n=1&last=a>; rel="next"'
            return Answer(b'{"repositories":["a"]}', headers={"Link": link})
        return script(request.path)

    with listening(answer) as server:
        assert names(items(source_at(server.url))) == ["a", "b"]
    assert {request.authorization for request in server.heard} == {""}


# Quay


def quay(blobs_at: str, script: Script, service: TokenService) -> Ear:
    """Tokens from /v2/auth, no catalog, and blobs at a CDN behind signed URLs."""

    def answer(request: Heard) -> Answer | None:
        if request.path.startswith("/v2/auth"):
            return service(request)
        if not service.knows(request.authorization, request.path):
            realm = f"http://{request.headers['host']}/v2/auth"
            return errors(401, "UNAUTHORIZED", **{"WWW-Authenticate": f'Bearer realm="{realm}",service="quay.io"'})
        if "_catalog" in request.path:
            return Answer(b"<html>", 404)
        if "/blobs/" in request.path:
            return Answer(b"", 302, {"Location": f"{blobs_at}{request.path}?{SIGNED}"})
        return script(request.path)

    return answer


def test_quays_blobs_are_fetched_from_its_cdn_without_the_token(tmp_path: Path) -> None:
    script = content("team/app")
    with (
        listening(lambda request: script(request.path)) as cdn,
        listening(quay(cdn.url, script, TokenService())) as server,
    ):
        file = login_file(tmp_path, server.host)
        assert names(items(source_at(server.url, "team/app", auth_file=file))) == ["team/app"]
    assert cdn.heard and {request.authorization for request in cdn.heard} == {""}
    assert all(request.path.endswith(SIGNED) for request in cdn.heard)
    assert {request.authorization for request in server.asked("/v2/auth")} == {BASIC}


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize(
    "answer", [Answer(b"", 403), Answer(b"", 500), Answer(b"", 302, {"Location": f"?{SIGNED}"}), None]
)
def test_what_quays_cdn_was_asked_with_is_in_no_message(answer: Answer | None) -> None:
    with (
        listening(lambda request: answer) as cdn,
        listening(quay(cdn.url, content("team/app"), TokenService())) as server,
    ):
        failure = failed(items(source_at(server.url, "team/app")))
    assert "team/app/blobs/sha256:" in failure.why
    assert "Signature" not in failure.why and "5167ed" not in failure.why and "Expires" not in failure.why


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("place", ["http://127.0.0.1:1/x", "http://a b/x", "http://[/x", "ftp://x/", "http://*.x/"])
def test_a_signed_place_that_cannot_be_reached_is_in_no_message(place: str) -> None:
    script = content("team/app")

    def answer(request: Heard) -> Answer | None:
        if "/blobs/" in request.path:
            return Answer(b"", 307, {"Location": f"{place}?{SIGNED}"})
        return script(request.path)

    with listening(answer) as server:
        failure = failed(items(source_at(server.url, "team/app")))
    assert "Signature" not in failure.why and "5167ed" not in failure.why, failure.why


@pytest.mark.parametrize("login", [False, True])
def test_quay_has_no_catalog_for_anybody(tmp_path: Path, login: bool) -> None:
    with listening(quay("", content("team/app"), TokenService())) as server:
        access = {"auth_file": login_file(tmp_path, server.host)} if login else {}
        failure = failed(items(source_at(server.url, **access)))
    assert failure.code == "not-found" and HINT in failure.why


# GitHub's


def ghcr(script: Script, *private: str) -> tuple[Ear, TokenService]:
    """A token for everybody who asks, but 403 DENIED for what is private."""
    service = TokenService()

    def answer(request: Heard) -> Answer | None:
        if request.path.startswith("/token"):
            asked = request.query["scope"][0]
            if any(f":{name}:" in asked for name in private) and request.authorization != BASIC:
                return errors(403, "DENIED")
            return service(request)
        if "_catalog" in request.path:
            return errors(404, "PAGE_NOT_FOUND")
        if service.knows(request.authorization, request.path):
            return script(request.path)
        name = request.path.removeprefix("/v2/").split("/manifests/")[0]
        realm = f"http://{request.headers['host']}/token"
        challenge = f'Bearer realm="{realm}",service="ghcr.io",scope="repository:{name}:pull"'
        return errors(401, "UNAUTHORIZED", **{"WWW-Authenticate": challenge})

    return answer, service


def test_githubs_public_images_want_an_anonymous_token() -> None:
    answer, service = ghcr(content("user/app"))
    with listening(answer) as server:
        assert names(items(source_at(server.url, "user/app"))) == ["user/app"]
        assert HINT in failed(items(source_at(server.url, "user/*"))).why
    assert "repository:user/app:pull" in service.issued[0]


def test_githubs_private_image_fails_alone_and_is_read_with_a_login(tmp_path: Path) -> None:
    answer, _ = ghcr(content("user/app", "user/private"), "user/private")
    with listening(answer) as server:
        found = items(source_at(server.url, "user/app", "user/private"))
        assert [image.repository for image in images_of(found)] == ["user/app"]
        failure = failed(found)
        assert (failure.repository, failure.code) == ("user/private", "forbidden")
        assert f"the token service {server.url}/token answered 403 to a client without login" in failure.why
        no_secret_in(failure.why)
        file = login_file(tmp_path, server.host)
        found = items(source_at(server.url, "user/app", "user/private", auth_file=file))
        assert names(found) == ["user/app", "user/private"]


# GitLab


def test_a_gitlab_of_ones_own_has_its_tokens_elsewhere(tmp_path: Path) -> None:
    service = TokenService()
    script = content("group/open", "group/closed")

    def gitlab(request: Heard) -> Answer | None:
        if not request.path.startswith("/jwt/auth"):
            return Answer(b"", 404)
        asked = request.query["scope"][0]
        return errors(403, "DENIED") if "closed" in asked and request.authorization != BASIC else service(request)

    with (
        listening(gitlab) as forge,
        listening(service.with_registry(script, f"{forge.url}/jwt/auth")) as server,
    ):
        file = login_file(tmp_path, server.host)
        found = items(source_at(server.url, "group/open", "group/closed", auth_file=file))
        assert [image.repository for image in images_of(found)] == ["group/open"]
        failure = failed(found)
        assert (failure.repository, failure.code) == ("group/closed", "forbidden")
        assert "`auth_realms`" in failure.why and f"{forge.url}/jwt/auth" in failure.why
        assert {request.authorization for request in forge.heard} == {""}
        realms = (f"{forge.url}/jwt/auth",)
        found = items(source_at(server.url, "group/open", "group/closed", auth_file=file, auth_realms=realms))
        assert names(found) == ["group/closed", "group/open"]
    assert BASIC not in {request.authorization for request in server.heard}


# Docker Hub


class Hub:
    """Counts manifests as Docker Hub does: a GET is one, a HEAD is none; 429 when there is none left."""

    def __init__(self, script: Script, left: int = 1000) -> None:
        self.script = script
        self.left = left
        self.service = TokenService("access_token", expires_in=300)
        self.refusal: dict[str, str] = {}

    def __call__(self, request: Heard) -> Answer | None:
        """The registry."""
        if request.path.startswith("/token"):
            return self.service(request)
        if not self.service.knows(request.authorization, request.path):
            realm = f"http://{request.headers['host']}/token"
            return errors(401, "UNAUTHORIZED", **{"WWW-Authenticate": f'Bearer realm="{realm}",service="hub"'})
        if "/manifests/" not in request.path:
            return self.script(request.path)
        if request.method == "GET":
            if not self.left:
                return errors(429, "TOOMANYREQUESTS", **self.refusal)
            self.left -= 1
        real = self.script(request.path)
        count = {"RateLimit-Limit": "100;w=21600", "RateLimit-Remaining": f"{self.left};w=21600"}
        return real and Answer(real.body, real.status, {**real.headers, **count})


HUB = tuple(f"team/app{number}" for number in range(5))


def manifests(heard: list[Heard], method: str = "GET") -> int:
    """How many manifests were asked for, by whom a token was given."""
    return len([each for each in heard if "/manifests/" in each.path and each.method == method and each.authorization])


def test_docker_hub_is_asked_by_head_for_what_is_known(tmp_path: Path) -> None:
    hub = Hub(content(*HUB))
    with listening(hub) as server:
        source = source_at(server.url, *HUB, rate=Rate(100, 21600))
        assert names(items(source, folder=tmp_path)) == list(HUB)
        assert (manifests(server.heard), manifests(server.heard, "HEAD")) == (5, 0)
        server.heard.clear()
        assert names(items(source, folder=tmp_path)) == list(HUB)
        assert (manifests(server.heard), manifests(server.heard, "HEAD")) == (0, 5)
        blobs = Blobs()
        new = blobs.image(annotations={"a": "new"})
        hub.script = as_registry(blobs, {name: {"latest": new} for name in HUB})
        server.heard.clear()
        assert names(items(source, folder=tmp_path)) == list(HUB)
        assert (manifests(server.heard), manifests(server.heard, "HEAD")) == (5, 5)
    assert hub.left == 990


def test_a_rate_is_kept_across_runs_and_each_repository_gets_its_turn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(registry, "_PATIENCE", 0)
    hub = Hub(content(*HUB))
    with listening(hub) as server:
        source = source_at(server.url, *HUB, rate=Rate(2, 21600), connections=1)
        found = items(source, folder=tmp_path)
        assert [image.repository for image in images_of(found)] == list(HUB[:2])
        assert {failure.code for failure in failures(found)} == {"rate-limited"}
        assert "`rate` is used up" in failures(found)[0].why
        found = items(source, folder=tmp_path)
        assert manifests(server.heard) == 2, "the second run has nothing left either"
        assert [image.repository for image in images_of(found)] == list(HUB[:2]), "known ones cost nothing"
        (rates,) = (tmp_path / "rates").iterdir()
        rates.write_text("")
        found = items(source, folder=tmp_path)
        assert [image.repository for image in images_of(found)] == list(HUB[:4])
    assert manifests(server.heard) == 4


@pytest.mark.parametrize("rate", [None, Rate(100, 21600)])
def test_when_docker_hub_says_that_nothing_is_left_nothing_more_is_asked(tmp_path: Path, rate: Rate | None) -> None:
    hub = Hub(content(*HUB), left=2)
    with listening(hub) as server:
        found = items(source_at(server.url, *HUB, rate=rate, connections=1), folder=tmp_path)
        assert [image.repository for image in images_of(found)] == list(HUB[:2])
        assert manifests(server.heard) == 2
        assert {failure.code for failure in failures(found)} == {"rate-limited"}
        assert all("RateLimit-Remaining: 0" in failure.why for failure in failures(found))
        hub.left = 1000
        assert names(items(source_at(server.url, *HUB, rate=rate), folder=tmp_path)) == list(HUB)


@pytest.mark.parametrize("after", ["0", "1", "date"])
def test_a_pause_that_docker_hub_asks_for_is_kept(after: str) -> None:
    hub = Hub(content(*HUB), left=2)
    refused: list[float] = []

    def answer(request: Heard) -> Answer | None:
        real = hub(request)
        if real and real.status == 429:
            refused.append(time.monotonic())
            hub.left = 1000
        return Answer(real.body, real.status, {**real.headers, "RateLimit-Remaining": "7"}) if real else None

    hub.refusal = {"Retry-After": formatdate(time.time() + 2, usegmt=True) if after == "date" else after}
    with listening(answer) as server:
        assert names(items(source_at(server.url, *HUB, connections=1))) == list(HUB)
        waited = time.monotonic() - refused[0]
    assert len(refused) == 1
    assert waited >= {"0": 0, "1": 1, "date": 0.9}[after]


@pytest.mark.parametrize("refusal", [{}, {"Retry-After": "21600"}], ids=["no word", "six hours"])
def test_who_is_refused_for_long_fails_soon_and_goes_on_next_time(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, refusal: dict[str, str]
) -> None:
    monkeypatch.setattr(transport, "_BACKOFF", 0.01)
    hub = Hub(content(*HUB), left=0)
    hub.refusal = refusal
    started = time.monotonic()
    with listening(hub) as server:
        found = items(source_at(server.url, *HUB), folder=tmp_path)
        assert {failure.code for failure in failures(found)} == {"rate-limited"}
        assert len(failures(found)) == len(HUB)
        assert "The next build goes on from" in failures(found)[0].why or "goes on from it" in failures(found)[0].why
        assert time.monotonic() - started < 20
        no_secret_in(repr(found))
        hub.left = 1000
        assert names(items(source_at(server.url, *HUB), folder=tmp_path)) == list(HUB)

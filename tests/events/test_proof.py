"""Who may tell of news: those who show a secret, in any of the ways that registries have."""

from __future__ import annotations

import base64
import hashlib
import hmac
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.errors import FlatdexError
from sync.events.web import proof
from sync.events.web.proof import attempt, proven, read_secrets

SECRET = b"0123456789abcdef0123456789abcdef"
OTHER = b"fedcba9876543210fedcba9876543210"
TEXT = SECRET.decode()
BODY = b'{"events": []}'


def basic(user: str, password: str) -> str:
    """The value of Authorization for a user and a password."""
    return "Basic " + base64.b64encode(f"{user}:{password}".encode()).decode()


def signature(secret: bytes, body: bytes) -> str:
    """As GitHub signs."""
    return "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()


@pytest.mark.parametrize(
    "headers",
    [
        {"authorization": f"Bearer {TEXT}"},
        {"authorization": f"bearer  {TEXT} "},
        {"authorization": TEXT},
        {"authorization": basic("x", TEXT)},
        {"authorization": basic("", TEXT)},
        {"authorization": basic("quay", TEXT).replace("Basic", "BASIC")},
        {"x-gitlab-token": TEXT},
        {"x-hub-signature-256": signature(SECRET, BODY)},
        {"authorization": "Bearer nonsense", "x-gitlab-token": TEXT},
    ],
)
def test_each_way_to_show_a_secret(headers: dict[str, str]) -> None:
    assert proven(headers, BODY, [SECRET])
    assert proven(headers, BODY, [OTHER, SECRET]), "while secrets change, the new one and the old one both count"
    assert proven(headers, BODY, [SECRET, OTHER])
    assert not proven(headers, BODY, [OTHER])
    assert not proven(headers, BODY, [])


@pytest.mark.parametrize(
    "headers",
    [
        {},
        {"authorization": ""},
        {"authorization": "Bearer"},
        {"authorization": "Bearer "},
        {"authorization": f"Bearer {TEXT[:-1]}"},
        {"authorization": f"Bearer {TEXT}0"},
        {"authorization": f"Bearer {TEXT.upper()}"},
        {"authorization": f"Digest {TEXT}"},
        {"authorization": f"Bearer Bearer {TEXT}"},
        {"authorization": basic(TEXT, "x")},
        {"authorization": basic("x", TEXT + ":")},
        {"authorization": "Basic " + base64.b64encode(SECRET).decode()},
        {"authorization": "Basic !!!"},
        {"authorization": "Basic é"},
        {"x-gitlab-token": ""},
        {"x-token": TEXT},
        {"x-hub-signature-256": TEXT},
        {"x-hub-signature-256": signature(SECRET, BODY + b" ")},
        {"x-hub-signature-256": signature(SECRET, BODY).removeprefix("sha256=")},
        {"x-hub-signature-256": signature(SECRET, BODY).upper()},
        {"x-hub-signature-256": "sha256="},
        {"x-hub-signature": "sha1=" + hmac.new(SECRET, BODY, hashlib.sha1).hexdigest()},
    ],
)
def test_what_proves_nothing(headers: dict[str, str]) -> None:
    assert not proven(headers, BODY, [SECRET])


@given(st.dictionaries(st.sampled_from(["authorization", "x-gitlab-token", "x-hub-signature-256"]), st.text()))
def test_no_guess_is_taken_and_none_is_a_mistake_of_ours(headers: dict[str, str]) -> None:
    assert not proven(headers, BODY, [SECRET])


def test_every_secret_is_compared_whichever_fits(monkeypatch: pytest.MonkeyPatch) -> None:
    compared: list[tuple[bytes, bytes]] = []
    compare = hmac.compare_digest

    def noted(one: bytes, other: bytes) -> bool:
        compared.append((one, other))
        return compare(one, other)

    headers = {"authorization": f"Bearer {TEXT}", "x-hub-signature-256": signature(SECRET, BODY)}
    counts = []
    for secrets in ([SECRET, OTHER, OTHER], [OTHER, OTHER, SECRET], [OTHER, OTHER, OTHER]):
        compared.clear()
        with monkeypatch.context() as patch:
            patch.setattr(hmac, "compare_digest", noted)
            proven(headers, BODY, secrets)
        counts.append(len(compared))
        assert {len(each) for pair in compared for each in pair} == {32}, "lengths would tell of the secret's"
    assert counts == [9, 9, 9]


def test_the_log_says_how_but_not_what() -> None:
    assert attempt({}) == "no secret"
    said = attempt({"authorization": f"Bearer {TEXT}", "x-gitlab-token": TEXT})
    assert said == "wrong secret in Authorization, X-Gitlab-Token"


def written(folder: Path, data: bytes) -> Path:
    """A file of secrets."""
    file = folder / "webhook.secret"
    file.write_bytes(data)
    file.chmod(0o600)
    return file


def test_secrets_are_lines(tmp_path: Path) -> None:
    file = written(tmp_path, b"# since May\n" + SECRET + b"\n\n  " + OTHER + b"\r\n# " + b"x" * 40 + b"\n" + SECRET)
    assert read_secrets(file) == (SECRET, OTHER)


@pytest.mark.parametrize(
    ("data", "words"),
    [
        (b"", "there is no secret"),
        (b"\n \n# " + SECRET + b"\n", "there is no secret"),
        (b"x" * 15 + b"\n", "shorter than 16 characters"),
        (SECRET + b"\nshort\n", "shorter than 16 characters"),
        (SECRET + b" " + OTHER, "printable ASCII"),
        (SECRET + b"\0", "printable ASCII"),
        ("ünï".encode() * 20, "printable ASCII"),
        (b"x" * 1025, "printable ASCII"),
        (b"\n".join(b"%032d" % number for number in range(17)), "17 secrets"),
        (b"#" * 70_000, "can't be read"),
    ],
)
def test_a_file_that_is_no_good(tmp_path: Path, data: bytes, words: str) -> None:
    with pytest.raises(FlatdexError, match=words) as caught:
        read_secrets(written(tmp_path, data))
    assert caught.value.fix
    assert SECRET.decode() not in str(caught.value)


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    file = tmp_path / "webhook.secret"
    with pytest.raises(FlatdexError, match="can't be read") as caught:
        read_secrets(file)
    assert caught.value.fix == f"Make one: (umask 077; openssl rand -hex 32 > {file})"
    with pytest.raises(FlatdexError, match="can't be read"):
        read_secrets(tmp_path)


def test_whether_everybody_can_read_it(tmp_path: Path) -> None:
    file = written(tmp_path, SECRET)
    assert not proof.exposed(file)
    file.chmod(0o640)
    assert not proof.exposed(file)
    file.chmod(0o644)
    assert proof.exposed(file)
    assert not proof.exposed(tmp_path / "none")

"""Whether a notification comes from somebody who knows a secret: looked at in constant time."""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import stat
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from builder import files
from builder.errors import FlatdexError

SHORTEST = 16
_MOST = 16
_LARGEST = 64 * 1024
_SECRET = re.compile(rb"[!-~]{16,1024}")
_SIGNATURE = "x-hub-signature-256"
_TOKEN = "x-gitlab-token"


def proven(headers: Mapping[str, str], body: bytes, secrets: Sequence[bytes]) -> bool:
    """Whether `headers` (names in lower case) show one of the secrets, or a signature of `body` made with one.

    All secrets are compared with all that is shown, and each comparison takes equally long.
    """
    shown = tuple(_shown(headers))
    signature = headers.get(_SIGNATURE)
    found = False
    for secret in secrets:
        for each in shown:
            found |= _same(each, secret)
        if signature is not None:
            made = "sha256=" + hmac.new(secret, body, hashlib.sha256).hexdigest()
            found |= _same(_bytes(signature.strip()), made.encode("ascii"))
    return found


def _shown(headers: Mapping[str, str]) -> Iterator[bytes]:
    """What may be a secret: Harbor sends what it was given as it is, others say which kind it is."""
    if _TOKEN in headers:
        yield _bytes(headers[_TOKEN].strip())
    authorization = headers.get("authorization", "").strip()
    if not authorization:
        return
    yield _bytes(authorization)
    scheme, _, rest = authorization.partition(" ")
    if scheme.lower() == "bearer":
        yield _bytes(rest.strip())
    elif scheme.lower() == "basic":
        try:
            yield base64.b64decode(rest.strip(), validate=True).partition(b":")[2]
        except (binascii.Error, ValueError):  # not ASCII, or not base64
            return


def _same(shown: bytes, secret: bytes) -> bool:
    # Hashes have one length, so not even a secret's length shows in how long this takes.
    return hmac.compare_digest(hashlib.sha256(shown).digest(), hashlib.sha256(secret).digest())


def _bytes(text: str) -> bytes:
    return text.encode("utf-8", "replace")


def attempt(headers: Mapping[str, str]) -> str:
    """How the sender tried to prove itself, in words that give nothing away: for the log."""
    ways = [name for name in ("Authorization", "X-Gitlab-Token", "X-Hub-Signature-256") if name.lower() in headers]
    return f"wrong secret in {', '.join(ways)}" if ways else "no secret"


def read_secrets(file: Path) -> tuple[bytes, ...]:
    """The secrets in a file, a line each; empty lines and those that begin with # don't count. Raises FlatdexError."""
    try:
        data = files.read(file, _LARGEST)
    except OSError as error:
        raise FlatdexError(f"the webhook's secrets can't be read from {file}: {error.strerror}", _fix(file)) from error
    lines = [line.strip() for line in data.split(b"\n")]
    found = tuple(dict.fromkeys(line for line in lines if line and not line.startswith(b"#")))
    if not found:
        raise FlatdexError(f"there is no secret in {file}", _fix(file))
    if len(found) > _MOST:
        raise FlatdexError(f"there are {len(found)} secrets in {file}, of at most {_MOST}", "Remove those not in use.")
    if not all(_SECRET.fullmatch(line) for line in found):
        what = f"a secret in {file} is shorter than {SHORTEST} characters, or has others than printable ASCII"
        raise FlatdexError(what, _fix(file))
    return found


def exposed(file: Path) -> bool:
    """Whether every user of this machine can read the file."""
    try:
        return bool(file.stat().st_mode & stat.S_IROTH)
    except OSError:
        return False


def _fix(file: Path) -> str:
    return f"Make one: (umask 077; openssl rand -hex 32 > {file})"

"""Signatures of a `snapshot.json`, which travel within it, as its last key. OpenSSH makes and checks them.

Signed are the bytes of the file as it would be without that key: its payload. Whoever relies on a signature parses
the payload alone.
"""

from __future__ import annotations

import json
import os
import subprocess
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path

from builder import files
from builder.description import Invalid
from builder.errors import Exit, FlatdexError
from builder.sshkeys import BadKeyError, PublicKey, public_key, signed_by

NAMESPACE = "snapshot@flatdex"
"""What OpenSSH mixes into a signature, so that none that was made for something else counts here."""
MOST = 16
"""How many signatures a file may have."""

_START, _END = b"{\n", b"\n}\n"
_KEY = b'\n"signatures"'  # in JSON only a key can stand so: in a string there are no line breaks
_LONGEST = MOST * 17 * 1024  # bytes of all signatures
_PATIENCE = 60  # seconds for one: somebody may have to touch a key
_PROGRAM = "ssh-keygen"
_IDENTITY = "flatdex"  # the name under which a trusted key is shown to ssh-keygen; it is not in the signature


class UnusableKeyError(FlatdexError):
    """A key that the configuration names can't sign; nothing was changed."""

    exit_code = Exit.CONFIG


def sealed(payload: bytes, keys: Sequence[Path]) -> bytes:
    """The file with a signature by each key. Raises FlatdexError, never asks for anything.

    A key is a private key's file without a passphrase, or a `.pub` file whose private key the running agent has.
    """
    if not (payload.startswith(_START) and payload.endswith(_END)) or _KEY in payload:
        raise ValueError("not the lines of a description without signatures")
    signatures = [_signature(payload, key) for key in keys]
    data = payload[: -len(_END)] + _tail(signatures) if signatures else payload
    unsealed(data)
    return data


def try_out(keys: Sequence[Path]) -> None:
    """Signs something. Raises FlatdexError if that can't be done with each key."""
    sealed(_START + _END, keys)


def unsealed(data: bytes) -> tuple[bytes, tuple[str, ...]]:
    """The payload of a file, and its signatures. A file without is its own payload, whatever it holds.

    Raises Invalid unless all that follows the payload is signatures, written as `sealed` writes them.
    """
    found = data.find(_KEY)
    if found < 0:
        return data, ()
    tail = data[found - 1 : found + _LONGEST]
    signatures = _signatures(tail)
    if found + len(tail) - 1 != len(data) or not signatures or _tail(signatures) != tail:
        raise Invalid("its signatures are not written as they should be, or something else follows them")
    payload = data[: found - 1] + _END
    if not payload.startswith(_START):  # JSON in another encoding, say
        raise Invalid("it is not written as it should be before its signatures")
    return payload, signatures


def signer(data: bytes, trusted: Sequence[str]) -> str:
    """The first of the `trusted` public keys that a signature of the file holds by, as `KIND BASE64`; "" if none does.

    Raises Invalid for a file that is none, FlatdexError if a trusted key is none or nothing can be checked here.
    """
    payload, signatures = unsealed(data)
    claims = _claims(signatures)
    for key in map(trusted_key, trusted):
        if any(claimed == key and _holds(payload, signature, key) for claimed, signature in claims):
            return key.text
    return ""


def signers(data: bytes) -> tuple[PublicKey, ...]:
    """The keys that the file's signatures are by, if all of them hold. Raises Invalid if one does not."""
    payload, signatures = unsealed(data)
    claims = _claims(signatures)
    if len(claims) < len(signatures) or not all(_holds(payload, signature, key) for key, signature in claims):
        raise Invalid("a signature does not fit what it holds")
    return tuple(key for key, _ in claims)


def trusted_key(line: str) -> PublicKey:
    """The public key of a line as in a `.pub` file. Raises FlatdexError."""
    try:
        return public_key(line)
    except BadKeyError as error:
        fix = "Copy the line of the `.pub` file that lies beside the key."
        raise FlatdexError(f"{line[:80]!r} is no public key: {error}", fix) from error


def public(key: Path) -> PublicKey:
    """The public key of a key to sign with. Raises FlatdexError where one could not be used."""
    _refuse_unusable(key)
    if key.suffix == ".pub":
        text = key.read_bytes()[: 64 * 1024].decode("utf-8", "replace")
    else:
        text = _told(["-y", "-P", "", "-f", str(key)], b"", key)
    try:
        return public_key(text)
    except BadKeyError as error:
        raise UnusableKeyError(f"the key {key} can't be used: {error}", _make(key)) from error


def _signature(payload: bytes, key: Path) -> str:
    """Checked at once: what an agent gives, or a file that is swapped right now, is nothing to publish."""
    who = public(key)
    agent = ["-U"] if key.suffix == ".pub" else []
    signature = _told(["-Y", "sign", "-P", "", *agent, "-n", NAMESPACE, "-f", str(key)], payload, key)
    if _claims([signature]) != [(who, signature)] or not _holds(payload, signature, who):
        raise UnusableKeyError(f"what was signed with {key} does not hold", "Sign with another key.")
    return signature


def _tail(signatures: Sequence[str]) -> bytes:
    lines = ",\n ".join(map(json.dumps, signatures))
    return b"," + _KEY + f": [\n {lines}\n]".encode("ascii") + _END


def _signatures(tail: bytes) -> tuple[str, ...]:
    """Those of a file's end; none where it holds anything else, or too many."""
    try:
        found = json.loads(tail[1 + len(_KEY) + 1 : -len(_END)])
    except (ValueError, RecursionError):
        return ()
    fine = isinstance(found, list) and len(found) <= MOST and all(isinstance(each, str) for each in found)
    return tuple(found) if fine else ()


def _claims(signatures: Sequence[str]) -> list[tuple[PublicKey, str]]:
    """Signatures, each with the key that it says it is by."""

    def told() -> Iterator[tuple[PublicKey, str]]:
        for signature in signatures:
            try:
                yield signed_by(signature), signature
            except BadKeyError:
                continue

    return list(told())


def _holds(payload: bytes, signature: str, key: PublicKey) -> bool:
    with tempfile.TemporaryDirectory(prefix="flatdex-") as folder:
        allowed, proof = Path(folder, "allowed"), Path(folder, "signature")
        allowed.write_text(f"{_IDENTITY} {key.text}\n", encoding="ascii")
        proof.write_text(signature, encoding="ascii")
        how = ["-Y", "verify", "-f", str(allowed), "-I", _IDENTITY, "-n", NAMESPACE, "-s", str(proof)]
        return _run(how, payload).returncode == 0


def _run(arguments: Sequence[str], given: bytes) -> subprocess.CompletedProcess[bytes]:
    """Runs ssh-keygen, which has no terminal to ask anything on."""
    environment = {**os.environ, "SSH_ASKPASS_REQUIRE": "never", "LC_ALL": "C"}
    try:
        return subprocess.run(
            [_PROGRAM, *arguments],
            input=given,
            capture_output=True,
            timeout=_PATIENCE,
            check=False,
            env=environment,
            start_new_session=True,
        )
    except FileNotFoundError as error:
        fix = "Install it: `apt-get install openssh-client`."
        raise FlatdexError(f"{_PROGRAM}, which makes and checks signatures, is not installed", fix) from error
    except subprocess.TimeoutExpired as error:
        fix = "If the key has to be touched, or the agent asks somebody, sign with another one."
        raise FlatdexError(f"{_PROGRAM} did not end within {_PATIENCE} seconds", fix) from error
    except OSError as error:
        raise FlatdexError(f"{_PROGRAM} can't be run: {error.strerror}") from error


def _told(arguments: Sequence[str], given: bytes, key: Path) -> str:
    """What ssh-keygen prints when it uses a key. Raises FlatdexError if it can't."""
    done = _run(arguments, given)
    if done.returncode == 0:
        return done.stdout.decode("utf-8", "replace")
    lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
    why = lines[-1] if lines else f"exit code {done.returncode}"
    if "passphrase" in why:
        fix = f"Take it away, `ssh-keygen -p -N '' -f {key}`, or name {key}.pub and give the key to ssh-agent."
        raise UnusableKeyError(f"the key {key} has a passphrase, which nobody is there to type", fix)
    fix = _make(key)
    if key.suffix == ".pub":
        fix = f"`ssh-add {key.with_suffix('')}` gives the key to the agent that SSH_AUTH_SOCK names; cron has none."
    raise UnusableKeyError(f"the key {key} can't be used: {why}", fix)


def _refuse_unusable(key: Path) -> None:
    try:
        with files.opened(key) as opened:
            found = os.fstat(opened.fileno())
    except FileNotFoundError as error:
        raise UnusableKeyError(f"the key {key} is not there", _make(key)) from error
    except OSError as error:
        fix = "Let the user that flatdex runs as read it, and nobody else."
        raise UnusableKeyError(f"the key {key} can't be read: {error.strerror}", fix) from error
    if key.suffix != ".pub" and found.st_mode & 0o077 and found.st_uid == os.geteuid():
        raise UnusableKeyError(f"others may read or change the key {key}, so it is not used", f"`chmod 600 {key}`")


def _make(key: Path) -> str:
    return f"This makes one: `ssh-keygen -t ed25519 -N '' -f {key}`"

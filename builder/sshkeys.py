"""OpenSSH's public keys and signatures, as far as they tell who a signature is by. No cryptography."""

from __future__ import annotations

import base64
import hashlib
from dataclasses import dataclass
from typing import Final

KINDS = {
    "ssh-ed25519": 2,
    "ecdsa-sha2-nistp256": 3,
    "ecdsa-sha2-nistp384": 3,
    "ecdsa-sha2-nistp521": 3,
    "ssh-rsa": 3,
    "sk-ssh-ed25519@openssh.com": 3,
    "sk-ecdsa-sha2-nistp256@openssh.com": 4,
}
"""The kinds of keys that are taken, each with the number of fields that such a key has, its name included."""
_RSA_BITS: Final = 2048
_ED25519_BYTES: Final = 32
_LONGEST = 16 * 1024  # characters of a key's line, or of a signature: RSA with 16384 bits needs 6000
_FIRST, _LAST = "-----BEGIN SSH SIGNATURE-----\n", "-----END SSH SIGNATURE-----\n"
_MAGIC, _VERSION = b"SSHSIG", 1


class BadKeyError(ValueError):
    """A public key, or a signature, that is none or too weak; the message says why."""


@dataclass(frozen=True, order=True)
class PublicKey:
    """A public key: its kind, such as `ssh-ed25519`, and its bytes as signatures hold them."""

    kind: str
    blob: bytes

    @property
    def text(self) -> str:
        """As in a file, without a comment: `ssh-ed25519 AAAA..`."""
        return f"{self.kind} {base64.b64encode(self.blob).decode('ascii')}"

    @property
    def fingerprint(self) -> str:
        """As `ssh-keygen -l` shows it: `SHA256:..`."""
        return "SHA256:" + base64.b64encode(hashlib.sha256(self.blob).digest()).decode("ascii").rstrip("=")


def public_key(line: str) -> PublicKey:
    """The key of a line as in a `.pub` file: `KIND BASE64 COMMENT`. Raises BadKeyError."""
    parts = line.split(maxsplit=2)
    if len(line) > _LONGEST or len(line.strip().splitlines()) != 1 or len(parts) < 2:
        raise BadKeyError("it is no line such as `ssh-ed25519 AAAA.. NAME`")
    if parts[0] not in KINDS:
        raise BadKeyError(
            f"it starts with {parts[0][:40]!r}, which is no kind of key that is taken: {', '.join(KINDS)}"
        )
    try:
        blob = base64.b64decode(parts[1], validate=True)
    except ValueError:  # also characters that are not of ASCII
        raise BadKeyError("what follows its kind is not base64") from None
    key = _key(blob)
    if key.kind != parts[0]:
        raise BadKeyError(f"it says {parts[0]}, but holds a key of another kind")
    return key


def signed_by(signature: str) -> PublicKey:
    """The key that an armoured signature says it is by; whether it is remains to be seen. Raises BadKeyError."""
    if len(signature) > _LONGEST or not (signature.startswith(_FIRST) and signature.endswith(_LAST)):
        raise BadKeyError("it is no signature")
    try:
        data = base64.b64decode(signature[len(_FIRST) : -len(_LAST)].replace("\n", ""), validate=True)
    except ValueError:
        raise BadKeyError("it is no signature") from None
    start = len(_MAGIC) + 4
    if data[:start] != _MAGIC + _VERSION.to_bytes(4):
        raise BadKeyError("it is no signature of a version that is known")
    return _key(_field(data[start:])[0])


def _key(blob: bytes) -> PublicKey:
    fields: list[bytes] = []
    rest = blob
    while rest and len(fields) <= max(KINDS.values()):
        field, rest = _field(rest)
        fields.append(field)
    kind = fields[0].decode("ascii", "replace") if fields else ""
    if kind not in KINDS:
        raise BadKeyError("it holds no kind of key that is taken")
    if len(fields) != KINDS[kind] or (kind == "ssh-ed25519" and len(fields[1]) != _ED25519_BYTES):
        raise BadKeyError("it is cut off, or longer than such keys are")
    if kind == "ssh-rsa" and int.from_bytes(fields[2]).bit_length() < _RSA_BITS:
        raise BadKeyError(f"an RSA key needs {_RSA_BITS} bits or more")
    return PublicKey(kind, blob)


def _field(data: bytes) -> tuple[bytes, bytes]:
    """The first field of what SSH packs, which its length precedes; and the rest."""
    end = 4 + int.from_bytes(data[:4])
    if len(data) < max(4, end):
        raise BadKeyError("it is cut off")
    return data[4:end], data[end:]

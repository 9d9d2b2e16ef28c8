"""Signatures within `snapshot.json`, made and checked by the real ssh-keygen: what holds, and what never does."""

from __future__ import annotations

import base64
import contextlib
import json
import os
import re
import time
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder import signing
from builder.description import Invalid, parse
from builder.errors import Exit, FlatdexError
from builder.signing import sealed, signer, signers, unsealed
from builder.sshkeys import BadKeyError, public_key, signed_by
from tests.real.keys import agent, key, public
from tests.real.process import located, require, run

PAYLOAD = (
    b'{\n"format": 1,\n"why": "a \\"signatures\\": [ in \\n\\"signatures\\": a string",\n"files": [\n {"a": 1}\n]\n}\n'
)
HEAD = b',\n"signatures": [\n '
WHOLE = json.loads(
    """{
  "format": 1, "id": "20260101T000000Z-00000000", "version": 1, "created": "2026-01-01T00:00:00Z", "previous": null,
  "remote": {"id": null}, "variants": [], "dispatch": {"routes": [], "default_tag": "latest", "unknown_tag": null},
  "counts": {"refs": 0, "images": 0, "repositories": 0, "files": 1, "bytes": 1}, "images": [], "skips": [],
  "files": [{"path": "signatures", "size": 1, "sha256": "HASH", "mtime": 1}], "kept": []
}""".replace("HASH", "0" * 64)
)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the keys `one`, `two` and `other`."""
    require("ssh-keygen")
    folder = tmp_path_factory.mktemp("keys")
    for name in ("one", "two", "other"):
        key(folder, name)
    return folder


@pytest.fixture(scope="module")
def one(keys: Path) -> str:
    """The public part of the key `one`."""
    return public(keys / "one")


@pytest.fixture(scope="module")
def signed(keys: Path) -> bytes:
    """The payload, signed with `one`."""
    return sealed(PAYLOAD, [keys / "one"])


def lines(document: object) -> bytes:
    """As a description is written."""
    assert isinstance(document, dict)
    return ("{\n" + ",\n".join(f"{json.dumps(key)}: {json.dumps(each)}" for key, each in document.items())).encode() + (
        b"\n}\n"
    )


# What holds


def test_a_signature_travels_as_the_last_key(signed: bytes, keys: Path, one: str) -> None:
    document = json.loads(signed)
    assert list(document) == ["format", "why", "files", "signatures"]
    assert unsealed(signed) == (PAYLOAD, tuple(document["signatures"]))
    assert signed.startswith(PAYLOAD.removesuffix(b"\n}\n") + HEAD)
    assert signer(signed, [public(keys / "other"), one]) == one
    assert signers(signed) == (public_key(one),)


def test_what_is_signed_is_what_ssh_keygen_calls_good(signed: bytes, tmp_path: Path) -> None:
    payload, [signature] = unsealed(signed)
    (tmp_path / "signature").write_text(signature)
    (tmp_path / "payload").write_bytes(payload)
    command = f"{located('ssh-keygen')} -Y check-novalidate -n {signing.NAMESPACE} -s signature < payload"
    found = run(["sh", "-c", command], cwd=tmp_path).stdout
    assert found.startswith('Good "snapshot@flatdex" signature')
    assert signed_by(signature).fingerprint in found


def test_a_description_is_the_same_with_and_without_signatures(keys: Path) -> None:
    payload = lines(WHOLE)
    data = sealed(payload, [keys / "one", keys / "two"])
    of_payload, of_all = parse(unsealed(data)[0]), parse(data)
    assert of_payload == parse(payload)
    assert {**of_all.document, "signatures": 0} == {**of_payload.document, "signatures": 0}


def test_without_keys_nothing_is_added() -> None:
    assert sealed(PAYLOAD, []) == PAYLOAD
    assert unsealed(PAYLOAD) == (PAYLOAD, ())
    assert signer(PAYLOAD, []) == ""
    assert signers(PAYLOAD) == ()


@pytest.mark.parametrize(("kind", "bits"), [("ecdsa", 256), ("ecdsa", 384), ("ecdsa", 521), ("rsa", 2048)])
def test_other_kinds_of_keys(kind: str, bits: int, tmp_path: Path, one: str) -> None:
    data = sealed(PAYLOAD, [key(tmp_path, kind=kind, bits=bits)])
    mine = public(tmp_path / "key")
    assert signer(data, [one, mine]) == mine
    assert signer(data, [one]) == ""
    shown = run([located("ssh-keygen"), "-l", "-f", tmp_path / "key"]).stdout.split()[1]
    assert public_key(mine).fingerprint == shown


def test_two_keys_at_once(keys: Path, one: str) -> None:
    two = public(keys / "two")
    data = sealed(PAYLOAD, [keys / "one", keys / "two"])
    assert signer(data, [one]) == one
    assert signer(data, [two]) == two
    assert signer(data, [two, one]) == two
    assert [each.text for each in signers(data)] == [one, two]


def test_a_comment_is_not_part_of_a_key(signed: bytes, keys: Path, one: str) -> None:
    assert signer(signed, [(keys / "one.pub").read_text()]) == one
    assert signer(signed, [f"  {one}  somebody else@nowhere\n"]) == one


# What does not hold


def test_who_is_not_trusted_is_nobody(signed: bytes, keys: Path) -> None:
    assert signer(signed, []) == ""
    assert signer(signed, [public(keys / "other")]) == ""
    assert signer(PAYLOAD, [public(keys / "one")]) == ""


@pytest.mark.parametrize("place", [1, 4, 12, 40, -4])
def test_no_byte_may_differ(place: int, signed: bytes, one: str) -> None:
    payload = bytearray(PAYLOAD)
    payload[place] ^= 1
    forged = signed.replace(PAYLOAD[:-3], bytes(payload[:-3]))
    if place == -4:
        forged = signed.replace(PAYLOAD[-4:-3] + HEAD, bytes(payload[-4:-3]) + HEAD)
    assert forged != signed
    try:
        assert signer(forged, [one]) == ""
    except Invalid:
        assert place == 1
    with pytest.raises(Invalid):
        signers(forged)


def test_a_signature_of_something_else(signed: bytes, keys: Path, one: str) -> None:
    other = sealed(b'{\n"format": 2\n}\n', [keys / "one"])
    forged = signed.replace(HEAD + signed.partition(HEAD)[2], HEAD + other.partition(HEAD)[2])
    assert unsealed(forged) == (PAYLOAD, unsealed(other)[1])
    assert signer(forged, [one]) == ""


def test_a_signature_for_another_purpose(keys: Path, one: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(signing, "NAMESPACE", "file")
    data = sealed(PAYLOAD, [keys / "one"])
    assert signer(data, [one]) == one
    monkeypatch.undo()
    assert signer(data, [one]) == ""


def test_a_signature_that_claims_to_be_by_another_key(signed: bytes, keys: Path, one: str) -> None:
    by_other = sealed(PAYLOAD, [keys / "other"])
    signature = unsealed(by_other)[1][0].splitlines()
    other, mine = (public_key(each).blob for each in (public(keys / "other"), one))
    raw = base64.b64decode("".join(signature[1:-1])).replace(other, mine)
    text = base64.b64encode(raw).decode()
    claimed = "\n".join([signature[0], *re.findall(".{1,70}", text), signature[-1], ""])
    assert signed_by(claimed) == public_key(one)
    forged = PAYLOAD[:-3] + HEAD + json.dumps(claimed).encode() + b"\n]\n}\n"
    assert unsealed(forged) == (PAYLOAD, (claimed,))
    assert signer(forged, [one, public(keys / "other")]) == ""
    with pytest.raises(Invalid):
        signers(forged)


def test_a_good_signature_among_bad_ones(signed: bytes, keys: Path, one: str) -> None:
    bad = unsealed(sealed(b'{\n"format": 2\n}\n', [keys / "one"]))[1]
    good = unsealed(signed)[1]
    texts = ",\n ".join(map(json.dumps, (*bad, "none", "", *good)))
    data = PAYLOAD[:-3] + HEAD + texts.encode() + b"\n]\n}\n"
    assert signer(data, [public(keys / "other"), one]) == one
    with pytest.raises(Invalid):
        signers(data)
    data = PAYLOAD[:-3] + HEAD + b'"none",\n ' + json.dumps(good[0]).encode() + b"\n]\n}\n"
    assert signer(data, [one]) == one
    with pytest.raises(Invalid):
        signers(data)


def test_signatures_of_strangers_cost_nothing(
    signed: bytes, keys: Path, one: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    assert signer(signed, [public(keys / "other")]) == ""
    with pytest.raises(FlatdexError, match="is not installed"):
        signer(signed, [one])


# The form of the file


def with_tail(tail: bytes) -> bytes:
    """The payload with something else at its end."""
    return PAYLOAD[:-3] + tail


TAILS = {
    "a key behind": HEAD + b'"a"\n],\n"files": []\n}\n',
    "a key on the last line": HEAD + b'"a"\n], "files": []\n}\n',
    "a second time": HEAD + b'"a"\n]' + HEAD + b'"a"\n]\n}\n',
    "none": HEAD[:-3] + b"]\n}\n",
    "none on a line": HEAD + b"\n]\n}\n",
    "a string": b',\n"signatures": "a"\n}\n',
    "an object": b',\n"signatures": {"a": "b"}\n}\n',
    "a number": HEAD + b"1\n]\n}\n",
    "null": HEAD + b"null\n]\n}\n",
    "nested": HEAD + b'["a"]\n]\n}\n',
    "deep": HEAD + b"[" * 100_000 + b"]" * 100_000 + b"\n]\n}\n",
    "more space": HEAD + b' "a"\n]\n}\n',
    "one line": b',\n"signatures": ["a"]\n}\n',
    "two on a line": HEAD + b'"a", "b"\n]\n}\n',
    "no space": b',\n"signatures":[\n "a"\n]\n}\n',
    "another spelling": HEAD + b'"\\u0061"\n]\n}\n',
    "not ASCII": HEAD + '"ä"\n]\n}\n'.encode(),
    "not UTF-8": HEAD + b'"\xff"\n]\n}\n',
    "cut off": HEAD + b'"a"\n]\n',
    "cut off within": HEAD + b'"a',
    "no line end": HEAD + b'"a"\n]\n}',
    "a line behind": HEAD + b'"a"\n]\n}\n\n',
    "a file behind": HEAD + b'"a"\n]\n}\n' + PAYLOAD,
    "too many": HEAD + b",\n ".join([b'"a"'] * (signing.MOST + 1)) + b"\n]\n}\n",
    "too long": HEAD + b'"' + b"a" * 1_000_000 + b'"\n]\n}\n',
    "no comma": HEAD[1:] + b'"a"\n]\n}\n',
    "within another": b',\n"x": {\n"signatures": [\n "a"\n]\n}\n}\n',
}


@pytest.mark.parametrize("tail", TAILS.values(), ids=TAILS.keys())
def test_anything_but_signatures_at_the_end(tail: bytes) -> None:
    with pytest.raises(Invalid, match="signatures"):
        unsealed(with_tail(tail))


@pytest.mark.parametrize("longer", range(-4, 5))
def test_nothing_hides_behind_very_long_signatures(longer: int) -> None:
    room = signing._LONGEST + longer - len(HEAD + b'""\n]\n}\n')
    tail = HEAD + b'"' + b"a" * room + b'"\n]\n}\n'
    with pytest.raises(Invalid):
        unsealed(with_tail(tail) + b"x" * 100)


def test_the_greatest_number_of_signatures() -> None:
    texts = tuple(f"{number}" for number in range(signing.MOST))
    data = with_tail(HEAD + ",\n ".join(map(json.dumps, texts)).encode() + b"\n]\n}\n")
    assert unsealed(data) == (PAYLOAD, texts)


@pytest.mark.parametrize("change", ["crlf", "bom", "utf-16", "indented"])
def test_a_file_that_was_written_anew(change: str, signed: bytes, one: str) -> None:
    changed = {
        "crlf": signed.replace(b"\n", b"\r\n"),
        "bom": b"\xef\xbb\xbf" + signed,
        "utf-16": PAYLOAD[:-3].decode().encode("utf-16-le") + signed[len(PAYLOAD) - 3 :],
        "indented": json.dumps(json.loads(signed), indent=1).encode(),
    }[change]
    try:
        assert signer(changed, [one]) == ""
        assert change == "indented"
    except Invalid:
        assert change != "indented"


def test_a_file_of_one_line_is_its_own_payload(signed: bytes, one: str) -> None:
    data = json.dumps(json.loads(signed)).encode()
    assert unsealed(data) == (data, ())
    assert signer(data, [one]) == ""


@pytest.mark.parametrize("data", [b"", b"\n", b'\n"signatures"', b',\n"signatures"', b"[]", b"\xff" * 100])
def test_what_is_no_description_at_all(data: bytes, one: str) -> None:
    try:
        assert unsealed(data) == (data, ())
        assert signer(data, [one]) == ""
    except Invalid:
        assert b"signatures" in data


@pytest.mark.parametrize("payload", [b"", b"{}", b"{}\n", with_tail(HEAD + b'"a"\n]\n}\n'), b"\xef\xbb\xbf" + PAYLOAD])
def test_only_a_description_is_signed(payload: bytes, keys: Path) -> None:
    with pytest.raises(ValueError, match="not the lines"):
        sealed(payload, [keys / "one"])


@given(st.data())
def test_no_change_is_overlooked(data: st.DataObject) -> None:
    whole = with_tail(HEAD + b'"a",\n "b"\n]\n}\n')
    place = data.draw(st.integers(0, len(whole)))
    end = data.draw(st.integers(place, min(len(whole), place + 8)))
    pieces = [b'\n"signatures"', HEAD, b'"a"', b"\n]\n}\n", b",", b"\n", b" ", b"{", b"}", b"x"]
    new = data.draw(st.one_of(st.binary(max_size=4), st.lists(st.sampled_from(pieces), max_size=4).map(b"".join)))
    changed = whole[:place] + new + whole[end:]
    try:
        payload, signatures = unsealed(changed)
    except Invalid:
        return
    if signatures:
        texts = ",\n ".join(map(json.dumps, signatures)).encode()
        assert changed == payload[:-3] + HEAD + texts + b"\n]\n}\n"
        assert b'\n"signatures"' not in payload
    else:
        assert payload == changed


def test_keys_that_are_given_twice_are_read_alike_with_and_without_signatures() -> None:
    twice = b'{\n"format": 1,\n"format": 2\n}\n'
    data = twice[:-3] + HEAD + b'"a"\n]\n}\n'
    assert json.loads(data)["format"] == json.loads(unsealed(data)[0])["format"] == 2


@pytest.mark.parametrize("what", [b"x", b'\n"signature', b',\n"signatures": [\n "a"', b"\n"])
def test_a_huge_file_takes_no_time(what: bytes) -> None:
    size = 64 * 1024 * 1024
    data = b"{\n" + what * (size // len(what)) + HEAD + b'"a"\n]\n}\n'
    start = time.process_time()
    try:
        unsealed(data)
    except Invalid:
        assert b"signatures" in what
    assert time.process_time() - start < 2


def test_a_large_payload_is_signed_and_checked(keys: Path, one: str) -> None:
    payload = b'{\n"files": "' + b"x" * 20_000_000 + b'"\n}\n'
    assert signer(sealed(payload, [keys / "one"]), [one]) == one


# Keys


@pytest.mark.parametrize(
    "line",
    [
        *("", "\n", "ssh-ed25519", "ssh-ed25519 AAAA", "ssh-ed25519 !!!!", "ssh-ed25519 ä", "x" * 100_000),
        *("ssh-dss AAAAB3NzaC1kc3M=", "ssh-rsa AAAAC3NzaC1lZDI1NTE5AAAAIKbR7pLSmXFCwB2PihZX9KDRGV8B5mNHbW5Ewo/5ojjl"),
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKbR7pLSmXFCwB2PihZX9KDRGV8B5mNHbW5Ewo/5ojg=",
        "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5/////w==",
        'namespaces="x" ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIKbR7pLSmXFCwB2PihZX9KDRGV8B5mNHbW5Ewo/5ojjl',
        "-----BEGIN OPENSSH PRIVATE KEY-----",
    ],
)
def test_lines_that_are_no_public_key(line: str) -> None:
    with pytest.raises(BadKeyError):
        public_key(line)


@pytest.mark.parametrize(("kind", "bits"), [("ed25519", 0), ("ecdsa", 256), ("rsa", 4096)])
def test_a_key_that_was_cut_off(kind: str, bits: int, tmp_path: Path) -> None:
    whole = public_key(public(key(tmp_path, kind=kind, bits=bits)))
    for blob in (*(whole.blob[:end] for end in range(len(whole.blob))), whole.blob + b"\0", whole.blob + b"\0\0\0\0"):
        with pytest.raises(BadKeyError):
            public_key(f"{whole.kind} {base64.b64encode(blob).decode()}")


def packed(*fields: bytes) -> bytes:
    """As SSH packs fields."""
    return b"".join(len(field).to_bytes(4) + field for field in fields)


@pytest.mark.parametrize(
    ("kind", "more"),
    [
        ("ssh-ed25519", (b"k" * 32,)),
        ("sk-ssh-ed25519@openssh.com", (b"k" * 32, b"ssh:")),
        ("sk-ecdsa-sha2-nistp256@openssh.com", (b"nistp256", b"k" * 65, b"ssh:")),
    ],
)
def test_keys_that_were_packed_here(kind: str, more: tuple[bytes, ...]) -> None:
    blob = packed(kind.encode(), *more)
    line = f"{kind} {base64.b64encode(blob).decode()}"
    assert public_key(f"{line} token").text == line
    wrong = [packed(kind.encode(), *more[:-1]), packed(kind.encode(), *more, b"")]
    wrong += [packed(kind.encode(), b"k" * 31)] if kind == "ssh-ed25519" else []
    for each in wrong:
        with pytest.raises(BadKeyError):
            public_key(f"{kind} {base64.b64encode(each).decode()}")


def test_signatures_by_other_kinds_of_keys_are_by_nobody() -> None:
    dss = base64.b64encode(b"SSHSIG\0\0\0\1" + packed(packed(b"ssh-dss", b"p", b"q", b"g", b"y"), b"more")).decode()
    signature = f"-----BEGIN SSH SIGNATURE-----\n{dss}\n-----END SSH SIGNATURE-----\n"
    with pytest.raises(BadKeyError, match="no kind of key"):
        signed_by(signature)


def test_two_keys_on_two_lines_are_not_one(one: str, signed: bytes) -> None:
    with pytest.raises(FlatdexError, match="no public key"):
        signer(signed, [f"{one}\n{one}"])


def test_a_short_rsa_key_is_refused(tmp_path: Path) -> None:
    short = key(tmp_path, kind="rsa", bits=1024)
    with pytest.raises(FlatdexError, match="2048 bits"):
        sealed(PAYLOAD, [short])
    with pytest.raises(BadKeyError, match="2048 bits"):
        public_key(public(short))


@given(st.binary(max_size=80))
def test_no_bytes_upset_the_reading_of_keys(data: bytes) -> None:
    text = base64.b64encode(b"SSHSIG\0\0\0\1" + data).decode()
    with contextlib.suppress(BadKeyError):
        assert public_key(f"ssh-ed25519 {base64.b64encode(data).decode()}").blob == data
    with contextlib.suppress(BadKeyError):
        assert signed_by(f"-----BEGIN SSH SIGNATURE-----\n{text}\n-----END SSH SIGNATURE-----\n").blob in data


def fault(file: Path) -> FlatdexError:
    """What is said of a key that can't sign; it is said at once."""
    start = time.monotonic()
    with pytest.raises(FlatdexError) as caught:
        sealed(PAYLOAD, [file])
    assert time.monotonic() - start < 10
    assert str(file) in caught.value.what
    assert caught.value.exit_code == Exit.CONFIG
    return caught.value


def test_a_key_that_is_not_there(tmp_path: Path) -> None:
    found = fault(tmp_path / "none")
    assert "is not there" in found.what
    assert f"ssh-keygen -t ed25519 -N '' -f {tmp_path}/none" in found.fix
    assert "is not there" in fault(tmp_path / "none.pub").what


def test_what_is_no_file(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    assert "not a plain file" in fault(tmp_path / "pipe").what
    assert "not a plain file" in fault(tmp_path).what


def test_what_is_no_key(tmp_path: Path) -> None:
    for name in ("key", "key.pub"):
        (tmp_path / name).write_text("secret\n")
        (tmp_path / name).chmod(0o600)
        found = fault(tmp_path / name)
        assert "can't be used" in found.what
        assert "secret" not in str(found)


def test_a_key_with_a_passphrase_is_never_asked_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = key(tmp_path, passphrase="{")  # noqa: S106
    asked = tmp_path / "asked"
    (tmp_path / "ask").write_text(f"#!/bin/sh\ntouch {asked}\necho '{{'\n")
    (tmp_path / "ask").chmod(0o755)
    monkeypatch.setenv("SSH_ASKPASS", str(tmp_path / "ask"))
    monkeypatch.setenv("SSH_ASKPASS_REQUIRE", "force")
    monkeypatch.setenv("DISPLAY", ":0")
    found = fault(file)
    assert "passphrase" in found.what
    assert f"ssh-keygen -p -N '' -f {file}" in found.fix
    assert not asked.exists()


def test_a_key_that_others_may_read(keys: Path, tmp_path: Path) -> None:
    file = tmp_path / "open"
    file.write_bytes((keys / "one").read_bytes())
    file.chmod(0o640)
    found = fault(file)
    assert "others may read" in found.what
    assert f"chmod 600 {file}" in found.fix
    file.chmod(0o400)
    assert sealed(PAYLOAD, [file])


def test_the_public_part_of_another_key_beside_it(keys: Path, tmp_path: Path) -> None:
    file = key(tmp_path)
    (tmp_path / "key.pub").write_bytes((keys / "one.pub").read_bytes())
    assert "match" in fault(file).what


def test_a_key_of_the_agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    held, other = key(tmp_path, "held"), key(tmp_path, "other")
    with agent(tmp_path, held) as socket:
        held.unlink()
        monkeypatch.setenv("SSH_AUTH_SOCK", str(socket))
        assert signer(sealed(PAYLOAD, [tmp_path / "held.pub"]), [public(held)]) == public(held)
        other.unlink()
        found = fault(tmp_path / "other.pub")
        assert f"ssh-add {other}" in found.fix
    assert "ssh-add" in fault(tmp_path / "held.pub").fix
    monkeypatch.delenv("SSH_AUTH_SOCK")
    assert "SSH_AUTH_SOCK" in fault(tmp_path / "held.pub").fix


def test_without_ssh_keygen(
    keys: Path, signed: bytes, one: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    for work in (lambda: sealed(PAYLOAD, [keys / "one"]), lambda: signer(signed, [one]), lambda: signers(signed)):
        with pytest.raises(FlatdexError, match="is not installed") as caught:
            work()
        assert "openssh-client" in caught.value.fix
    assert signer(PAYLOAD, [one]) == ""


def test_an_ssh_keygen_that_does_not_end(keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ssh-keygen").write_text("#!/bin/sh\nexec sleep 60\n")
    (tmp_path / "ssh-keygen").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    monkeypatch.setattr(signing, "_PATIENCE", 0.2)
    with pytest.raises(FlatdexError, match="did not end"):
        sealed(PAYLOAD, [keys / "one"])


def test_what_ssh_keygen_signs_is_checked(keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real = located("ssh-keygen")
    (tmp_path / "ssh-keygen").write_text(
        f'#!/bin/sh\ncase "$*" in *"-Y sign"*) echo x | {real} "$@";; *) exec {real} "$@";; esac\n'
    )
    (tmp_path / "ssh-keygen").chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path), prepend=os.pathsep)
    with pytest.raises(FlatdexError, match="does not hold"):
        sealed(PAYLOAD, [keys / "one"])


def test_nothing_is_left_in_temporary_folders(signed: bytes, one: str) -> None:
    folder = Path(os.environ["TMPDIR"])
    before = set(folder.glob("flatdex-*"))
    signer(signed, [one])
    assert set(folder.glob("flatdex-*")) <= before

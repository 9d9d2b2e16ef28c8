"""TLS: authorities and certificates of one's own, against a real registry; and no certificate shown elsewhere."""

from __future__ import annotations

import random
import ssl
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from builder.errors import SourceError
from builder.sources import tls, transport
from builder.sources.connection import ForbiddenPeerError, Peers, is_public
from builder.sources.tls import BadCertificateError, Tls
from builder.sources.transport import Transport
from tests.builder.helpers import Answer, Blobs
from tests.builder.test_auth import content, failed, items, names, source_at
from tests.real.files import readable_folder
from tests.real.process import located, run
from tests.real.registry import DockerRegistry
from tests.real.tokens import Authority, Listening, listening


@pytest.fixture(scope="module")
def folder() -> Iterator[Path]:
    """A folder for the servers of this module."""
    with readable_folder() as folder:
        yield folder


@pytest.fixture(scope="module")
def ours(folder: Path) -> Authority:
    """The authority of the registries' certificates."""
    return Authority(folder / "ours")


@pytest.fixture(scope="module")
def clients(folder: Path) -> Authority:
    """The authority of the clients' certificates."""
    return Authority(folder / "clients", "clients")


@pytest.fixture(scope="module")
def filled(folder: Path) -> Path:
    """The folder of a registry that has a repository `app`."""
    blobs = Blobs()
    layout = blobs.layout(folder / "layout", blobs.image())
    with DockerRegistry(folder / "registry") as server:
        server.copy(layout, "app:latest")
    return folder / "registry"


@pytest.fixture(scope="module")
def private(filled: Path, ours: Authority) -> Iterator[DockerRegistry]:
    """A registry whose certificate is of an authority that nobody knows."""
    with DockerRegistry(filled, tls=ours.issue("private")) as server:
        yield server


@pytest.fixture(scope="module")
def demanding(filled: Path, ours: Authority, clients: Authority) -> Iterator[DockerRegistry]:
    """One that demands a certificate from its clients, too."""
    with DockerRegistry(filled, tls=ours.issue("demanding"), clients=clients.certificate) as server:
        yield server


@pytest.fixture(autouse=True)
def usual_authorities(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that OpenSSL knows, whatever this machine's environment names."""
    for name in ("REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture
def hasty(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gives up at once."""
    monkeypatch.setattr(transport, "_RETRIES", 0)


def certs_d(home: Path, host: str, **files: Path) -> Path:
    """A folder as podman looks into it; `files` by name, with `_` for the dot."""
    place = home / ".config/containers/certs.d" / host
    place.mkdir(parents=True)
    for name, file in files.items():
        (place / name.replace("_", ".")).write_bytes(file.read_bytes())
    return place


# An authority of one's own


def test_an_authority_can_be_named(private: DockerRegistry, ours: Authority) -> None:
    assert names(items(source_at(private.url, ca=ours.certificate))) == ["app"]


def test_an_authority_can_lie_in_certs_d(private: DockerRegistry, ours: Authority, tmp_path: Path) -> None:
    certs_d(tmp_path, private.host, any_crt=ours.certificate)
    assert names(items(source_at(private.url), {"HOME": str(tmp_path)})) == ["app"]


def test_an_authority_for_another_port_is_not_taken(
    private: DockerRegistry, ours: Authority, tmp_path: Path, hasty: None
) -> None:
    certs_d(tmp_path, "127.0.0.1", any_crt=ours.certificate)
    certs_d(tmp_path, f"127.0.0.1:{private.port}1", any_crt=ours.certificate)
    assert "is not trusted" in failed(items(source_at(private.url), {"HOME": str(tmp_path)})).why


def test_an_authority_of_the_system_is_trusted(
    private: DockerRegistry, ours: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ours.certificate))
    assert names(items(source_at(private.url))) == ["app"]


def test_authorities_of_ones_own_are_trusted_beside_the_systems(
    private: DockerRegistry, ours: Authority, clients: Authority, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(ours.certificate))
    certificate = clients.issue("client")
    assert names(items(source_at(private.url, ca=clients.certificate))) == ["app"]
    assert names(items(source_at(private.url, cert=certificate))) == ["app"]


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("values", [{}, {"ca": "clients"}])
def test_an_authority_that_nobody_knows_is_not_trusted_and_the_message_names_the_key_that_helps(
    private: DockerRegistry, clients: Authority, values: dict[str, str]
) -> None:
    access = {"ca": clients.certificate} if values else {}
    failure = failed(items(source_at(private.url, **access)))
    assert failure.code == "unreachable"
    assert "the TLS certificate is not trusted: `ca` of the source can name its authority" in failure.why


@pytest.mark.usefixtures("hasty")
def test_https_at_a_server_of_plain_http_says_so() -> None:
    with listening(lambda request: Answer(b"")) as server:
        failure = failed(items(source_at(server.url.replace("http:", "https:"))))
    assert "it does not speak TLS: is it http:// instead of https://?" in failure.why


@pytest.mark.usefixtures("hasty")
def test_http_at_a_server_of_tls_is_an_error(private: DockerRegistry) -> None:
    failure = failed(items(source_at(private.url.replace("https:", "http:"))))
    assert "answered 400" in failure.why


# A certificate of one's own


def test_a_client_certificate_can_be_named(demanding: DockerRegistry, ours: Authority, clients: Authority) -> None:
    source = source_at(demanding.url, ca=ours.certificate, cert=clients.issue("named"))
    assert names(items(source)) == ["app"]


def test_a_client_certificate_and_its_key_may_be_one_file(
    demanding: DockerRegistry, ours: Authority, clients: Authority, tmp_path: Path
) -> None:
    file = tmp_path / "both.pem"
    file.write_bytes(b"".join(part.read_bytes() for part in clients.issue("both")))
    assert names(items(source_at(demanding.url, ca=ours.certificate, cert=(file, None)))) == ["app"]


def test_a_client_certificate_can_lie_in_certs_d(
    demanding: DockerRegistry, ours: Authority, clients: Authority, tmp_path: Path
) -> None:
    certificate, key = clients.issue("lying")
    certs_d(tmp_path, demanding.host, ca_crt=ours.certificate, me_cert=certificate, me_key=key)
    assert names(items(source_at(demanding.url), {"HOME": str(tmp_path)})) == ["app"]


@pytest.mark.usefixtures("hasty")
@pytest.mark.parametrize("wrong", [False, True], ids=["missing", "wrong"])
def test_a_registry_that_wants_another_certificate_says_which_key_helps(
    demanding: DockerRegistry, ours: Authority, wrong: bool
) -> None:
    access: dict[str, Any] = {"cert": ours.issue("wrong")} if wrong else {}
    failure = failed(items(source_at(demanding.url, ca=ours.certificate, **access)))
    assert failure.code == "unreachable"
    assert "`cert`" in failure.why, failure.why


@pytest.fixture(scope="module")
def neighbours(ours: Authority, clients: Authority) -> Iterator[tuple[Listening, Listening]]:
    """Two servers by TLS that may be shown a certificate; the second one's port starts with the first one's."""
    script = content()
    certificate = ours.issue("neighbour")
    for _ in range(50):
        first = random.SystemRandom().randrange(2000, 3200)
        with ExitStack() as stack:
            try:
                servers = [
                    stack.enter_context(
                        listening(lambda request: script(request.path), certificate, clients.certificate, port)
                    )
                    for port in (first, first * 10 + 1)
                ]
            except OSError:
                continue
            yield servers[0], servers[1]
            return
    raise RuntimeError("no free ports")


def test_a_client_certificate_is_shown_to_the_registry_alone(
    neighbours: tuple[Listening, Listening], ours: Authority, clients: Authority
) -> None:
    home, other = neighbours
    with Transport(1, home.url, None, Tls((ours.certificate,), (clients.issue("shy"),))) as web:
        web.get(f"{home.url}/v2/app/tags/list", 1000)
        web.get(f"{other.url}/v2/app/tags/list", 1000)
        web.get(f"{home.url.replace('127.0.0.1', 'LOCALHOST')}/v2/app/tags/list", 1000)
    assert [request.with_certificate for request in home.heard] == [True, False]
    assert [request.with_certificate for request in other.heard] == [False]


# Files that are none


@pytest.fixture(scope="module")
def broken(folder: Path, clients: Authority) -> Path:
    """A folder with a good pair, `c.pem` and `c.key`, and much that is none."""
    place = folder / "broken"
    place.mkdir()
    certificate, key = clients.issue("good")
    (place / "c.pem").write_bytes(certificate.read_bytes())
    (place / "c.key").write_bytes(key.read_bytes())
    (place / "other.key").write_bytes(clients.issue("other")[1].read_bytes())
    (place / "junk").write_text("swordfish")
    (place / "empty").write_text("")
    (place / "folder").mkdir()
    (place / "c.der").write_bytes(ssl.PEM_cert_to_DER_cert(certificate.read_text()))
    run([located("openssl"), "rsa", "-in", key, "-aes128", "-passout", "pass:swordfish", "-out", place / "locked.key"])
    return place


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("none", "cannot be read: No such file or directory"),
        ("folder", "cannot be read: Is a directory"),
        ("c.pem/x", "cannot be read: Not a directory"),
        ("junk", "holds no certificate in PEM"),
        ("empty", "holds no certificate in PEM"),
        ("c.key", "holds no certificate in PEM"),
        ("c.der", "holds no certificate in PEM"),
    ],
)
def test_an_authority_that_is_none_is_named_with_what_is_wrong(broken: Path, name: str, why: str) -> None:
    with pytest.raises(SourceError) as caught:
        items(source_at("https://127.0.0.1:1", ca=broken / name))
    assert caught.value.code == "bad-certificate"
    assert f"source main: failed to use its certificates: {broken / name} {why}" in str(caught.value)
    assert "swordfish" not in str(caught.value)


@pytest.mark.parametrize(
    ("certificate", "key", "named", "why"),
    [
        ("none", "c.key", "none", "cannot be read: No such file or directory"),
        ("c.pem", "none", "none", "cannot be read: No such file or directory"),
        ("c.pem", "folder", "folder", "cannot be read: Is a directory"),
        ("c.pem", "other.key", "other.key", "don't belong together"),
        ("c.pem", "locked.key", "locked.key", "has a key with a password"),
        ("c.pem", "junk", "junk", "no certificate with its key, in PEM"),
        ("junk", "c.key", "junk", "no certificate with its key, in PEM"),
        ("c.der", "c.key", "c.der", "no certificate with its key, in PEM"),
        ("c.pem", None, "c.pem", "no certificate with its key, in PEM"),
        ("c.key", None, "c.key", "no certificate with its key, in PEM"),
    ],
)
def test_a_certificate_that_is_none_is_named_with_what_is_wrong(
    broken: Path, certificate: str, key: str | None, named: str, why: str
) -> None:
    with pytest.raises(SourceError) as caught:
        items(source_at("https://127.0.0.1:1", cert=(broken / certificate, broken / key if key else None)))
    assert caught.value.code == "bad-certificate"
    assert str(broken / named) in caught.value.cause and why in caught.value.cause
    assert "swordfish" not in str(caught.value)


def test_a_certificate_in_certs_d_without_its_key_is_an_error(broken: Path, tmp_path: Path) -> None:
    place = certs_d(tmp_path, "127.0.0.1:1", me_cert=broken / "c.pem")
    with pytest.raises(SourceError, match=rf"{place}/me\.cert has no key beside it: me\.key"):
        items(source_at("https://127.0.0.1:1"), {"HOME": str(tmp_path)})


def test_a_file_in_certs_d_that_is_no_authority_is_named(broken: Path, tmp_path: Path) -> None:
    place = certs_d(tmp_path, "127.0.0.1:1", bad_crt=broken / "junk")
    with pytest.raises(SourceError, match=rf"{place}/bad\.crt holds no certificate in PEM"):
        items(source_at("https://127.0.0.1:1"), {"HOME": str(tmp_path)})


# Which files


def test_certs_d_is_looked_for_as_podman_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def found(registry: str) -> Tls:
        return tls.find(registry, None, None, {"HOME": str(tmp_path)})

    assert found("https://r.example") == Tls()
    one = certs_d(tmp_path, "r.example:443")
    (one / "z.crt").touch()
    (one / "a.crt").touch()
    (one / "readme.txt").touch()
    assert found("https://r.example") == Tls((one / "a.crt", one / "z.crt"))
    assert found("https://r.example:443") == Tls((one / "a.crt", one / "z.crt"))
    assert found("https://r.example:5000") == Tls()
    two = certs_d(tmp_path, "r.example")
    for name in ("b.cert", "b.key", "a.cert", "a.key"):
        (two / name).touch()
    assert found("https://r.example") == Tls((), ((two / "a.cert", two / "a.key"), (two / "b.cert", two / "b.key")))
    three = certs_d(tmp_path, "r.example:5000")
    assert found("https://r.example:5000") == Tls()
    (three / "ca.crt").touch()
    assert found("https://r.example:5000") == Tls((three / "ca.crt",))


def test_what_is_named_counts_more_than_what_lies_in_certs_d(tmp_path: Path) -> None:
    place = certs_d(tmp_path, "r.example")
    for name in ("a.crt", "a.cert", "a.key"):
        (place / name).touch()
    environment, ca, cert = {"HOME": str(tmp_path)}, tmp_path / "ca", (tmp_path / "c", None)
    lying = ((place / "a.cert", place / "a.key"),)
    assert tls.find("https://r.example", ca, None, environment) == Tls((ca,), lying)
    assert tls.find("https://r.example", None, cert, environment) == Tls((place / "a.crt",), (cert,))
    (place / "a.key").unlink()
    assert tls.find("https://r.example", ca, cert, environment) == Tls((ca,), (cert,))
    with pytest.raises(BadCertificateError):
        tls.find("https://r.example", ca, None, environment)


def test_a_registry_without_anything_special_needs_no_context() -> None:
    assert Tls().context(True) is None
    assert Tls((), ((Path("/none"), None),)).context(False) is None


# Who may be at the other end


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        *((each, True) for each in ("1.1.1.1", "2606:4700::1111", "::ffff:1.1.1.1")),
        *((each, False) for each in ("127.0.0.1", "10.0.0.1", "192.168.1.1", "169.254.169.254", "100.64.0.1")),
        *((each, False) for each in ("::1", "fe80::1%eth0", "fd00::1", "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::")),
    ],
)
def test_public_addresses_are_those_of_the_internet(address: str, expected: bool) -> None:
    assert is_public(address) is expected


def test_a_public_registry_leads_to_no_private_address() -> None:
    peers = Peers("r.example")
    peers.check("elsewhere.example", "10.0.0.1")  # nothing is known of the registry yet
    peers.check("r.example", "1.1.1.1")
    peers.check("cdn.example", "1.0.0.1")
    for address in ("127.0.0.1", "169.254.169.254", "::1"):
        with pytest.raises(ForbiddenPeerError, match=r"which is .*: a private address"):
            peers.check("evil.example", address)


def test_a_private_registry_may_lead_to_private_addresses() -> None:
    peers = Peers("r.example")
    peers.check("r.example", "10.0.0.1")
    peers.check("cdn.example", "10.0.0.2")

"""TLS as a source wants it: more authorities than the system's, and a certificate of our own to show."""

from __future__ import annotations

import ssl
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

from urllib3.util.ssl_ import create_urllib3_context

from builder.sources.credentials import home_of


class BadCertificateError(Exception):
    """A certificate file that can't be used; the message says which and why."""


@dataclass(frozen=True)
class Tls:
    """Certificate authorities to trust beside the usual ones, and client certificates with their keys: PEM files."""

    authorities: tuple[Path, ...] = ()
    certificates: tuple[tuple[Path, Path | None], ...] = ()

    def context(self, with_certificate: bool) -> ssl.SSLContext | None:
        """A context that trusts them, and shows the certificate where that is wanted; None if nothing is special.

        Raises BadCertificateError.
        """
        shown = self.certificates if with_certificate else ()
        if not self.authorities and not shown:
            return None
        context = create_urllib3_context()
        context.load_default_certs()
        for file in self.authorities:
            _check_readable(file)
            try:
                context.load_verify_locations(cafile=str(file))
            except ssl.SSLError as error:
                raise BadCertificateError(f"{file} holds no certificate in PEM ({_reason(error)})") from error
        for certificate, key in shown:
            _load_chain(context, certificate, key)
        return context


def _load_chain(context: ssl.SSLContext, certificate: Path, key: Path | None) -> None:
    _check_readable(certificate)
    if key:
        _check_readable(key)
    place = f"{certificate} and {key}" if key else str(certificate)
    try:
        context.load_cert_chain(certificate, key, password=_nobody_types)
    except _HasPasswordError as error:
        raise BadCertificateError(f"{key or certificate} has a key with a password, which nobody could type") from error
    except ssl.SSLError as error:
        if error.reason == "KEY_VALUES_MISMATCH":
            raise BadCertificateError(f"{place} don't belong together: the key is another one's") from error
        raise BadCertificateError(f"{place}: no certificate with its key, in PEM ({_reason(error)})") from error


class _HasPasswordError(Exception):
    pass


def _nobody_types() -> str:
    raise _HasPasswordError


def _check_readable(file: Path) -> None:
    """OpenSSL's own errors don't tell which file they are about."""
    try:
        with file.open("rb") as opened:
            opened.read(1)
    except OSError as error:
        raise BadCertificateError(f"{file} cannot be read: {error.strerror}") from error


def _reason(error: ssl.SSLError) -> str:
    return (error.reason or "not readable as such").replace("_", " ").lower()


def find(registry: str, ca: Path | None, cert: tuple[Path, Path | None] | None, environment: Mapping[str, str]) -> Tls:
    """What the configuration names, or else what lies in `certs.d/HOST[:PORT]/`, as podman and docker look for it."""
    if ca and cert:
        return Tls((ca,), (cert,))
    folder = next(filter(_is_folder, _certs_d(registry, environment)), None)
    in_folder = _in_folder(folder) if folder else Tls()
    return Tls((ca,) if ca else in_folder.authorities, (cert,) if cert else in_folder.certificates)


def _is_folder(path: Path) -> bool:
    try:
        return path.is_dir()
    except OSError:  # what may not be looked into is not ours
        return False


def _certs_d(registry: str, environment: Mapping[str, str]) -> Iterator[Path]:
    parts = urlsplit(registry)
    for place in (
        home_of(environment) / ".config/containers/certs.d",
        Path("/etc/containers/certs.d"),
        Path("/etc/docker/certs.d"),
    ):
        yield place / parts.netloc
        if not parts.port:
            yield place / f"{parts.netloc}:{443 if parts.scheme == 'https' else 80}"


def _in_folder(folder: Path) -> Tls:
    """`*.crt` are authorities, `*.cert` with `*.key` a certificate of our own."""
    try:
        names = sorted(entry.name for entry in folder.iterdir())
    except OSError as error:
        raise BadCertificateError(f"{folder} cannot be read: {error.strerror}") from error
    certificates = []
    for name in names:
        if name.endswith(".cert"):
            key = folder / f"{name.removesuffix('.cert')}.key"
            if not key.is_file():
                raise BadCertificateError(f"{folder / name} has no key beside it: {key.name}")
            certificates.append((folder / name, key))
    return Tls(tuple(folder / name for name in names if name.endswith(".crt")), tuple(certificates))

"""Opens a registry as its source's configuration and the environment say: login, certificates, rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

from builder.config import Access, RegistrySource
from builder.errors import SourceError
from builder.sources import credentials, tls
from builder.sources.auth import Authorizer, origin_of
from builder.sources.cache import Cache
from builder.sources.credentials import Credentials
from builder.sources.limits import Budget
from builder.sources.registry import Registry
from builder.sources.transport import Patience, Transport


@contextmanager
def opened(
    source: RegistrySource, kept: Cache, environment: Mapping[str, str], *, anonymous: bool = False
) -> Iterator[Registry]:
    """A registry to read from; as an `anonymous` client where that is asked for. Raises SourceError."""
    access = source.access
    try:
        transport = transport_to(source.registry, access, environment, anonymous=anonymous)
    except tls.BadCertificateError as error:
        fix = "Look at `ca` and `cert` of the source, or at its folder in certs.d."
        raise SourceError(source.name, "use its certificates", str(error), fix, "bad-certificate") from error
    budget = Budget(access.rate, kept.budget_file(source.registry)) if access.rate else None
    with transport:
        yield Registry(transport, source, kept, budget)


def transport_to(
    url: str,
    access: Access,
    environment: Mapping[str, str],
    *,
    anonymous: bool = False,
    patience: Patience | None = None,
) -> Transport:
    """To a registry, or any other place with a login, at this URL. Raises BadCertificateError."""
    with_tls = tls.find(url, access.ca, access.cert, environment)
    with_tls = replace(with_tls, certificates=()) if anonymous else with_tls
    login = _nobody if anonymous else _login(url, access, environment)
    authorizer = Authorizer(origin_of(url), login, access.auth_realms)
    return Transport(access.connections, url, authorizer, with_tls, patience=patience)


def _login(url: str, access: Access, environment: Mapping[str, str]) -> Callable[[str], Credentials | None]:
    helpers = credentials.Helpers(environment)

    @cache
    def login(scope: str) -> Credentials | None:
        kind, _, rest = scope.partition(":")
        repository = rest.rpartition(":")[0] if kind == "repository" else ""
        return credentials.find(url, repository, access.auth_file, environment, helpers)

    return login


def _nobody(scope: str) -> None:
    return None

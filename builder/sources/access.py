"""Opens a registry as its source's configuration and the environment say: login, certificates, rate."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache

from builder.config import RegistrySource
from builder.errors import SourceError
from builder.sources import credentials, tls
from builder.sources.auth import Authorizer, origin_of
from builder.sources.cache import Cache
from builder.sources.credentials import Credentials
from builder.sources.limits import Budget
from builder.sources.registry import Registry
from builder.sources.transport import Transport


@contextmanager
def opened(
    source: RegistrySource, kept: Cache, environment: Mapping[str, str], *, anonymous: bool = False
) -> Iterator[Registry]:
    """A registry to read from; as an `anonymous` client where that is asked for. Raises SourceError."""
    access = source.access
    try:
        with_tls = tls.find(source.registry, access.ca, access.cert, environment)
        with_tls = replace(with_tls, certificates=()) if anonymous else with_tls
        login = _nobody if anonymous else _login(source, environment)
        authorizer = Authorizer(origin_of(source.registry), login, access.auth_realms)
        transport = Transport(access.connections, source.registry, authorizer, with_tls)
    except tls.BadCertificateError as error:
        fix = "Look at `ca` and `cert` of the source, or at its folder in certs.d."
        raise SourceError(source.name, "use its certificates", str(error), fix, "bad-certificate") from error
    budget = Budget(access.rate, kept.budget_file(source.registry)) if access.rate else None
    with transport:
        yield Registry(transport, source, kept, budget)


def _login(source: RegistrySource, environment: Mapping[str, str]) -> Callable[[str], Credentials | None]:
    helpers = credentials.Helpers(environment)

    @cache
    def login(scope: str) -> Credentials | None:
        kind, _, rest = scope.partition(":")
        repository = rest.rpartition(":")[0] if kind == "repository" else ""
        return credentials.find(source.registry, repository, source.access.auth_file, environment, helpers)

    return login


def _nobody(scope: str) -> None:
    return None

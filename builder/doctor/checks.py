"""All checks, in the order in which their findings are told: each looks at what was seen, and at nothing else."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import islice

from builder.doctor import file_checks, http_checks, index_checks, pull_checks, runtime_checks, site_checks
from builder.doctor.findings import Finding, Weight
from builder.doctor.seen import Site

Check = Callable[[Site], Iterable[Finding]]

CHECKS: tuple[Check, ...] = (
    http_checks.answers,
    site_checks.places,
    http_checks.encodings,
    http_checks.types,
    http_checks.lifetimes,
    http_checks.etags,
    http_checks.not_modified,
    site_checks.addresses,
    site_checks.snapshot,
    index_checks.frame,
    index_checks.keys,
    index_checks.refs,
    index_checks.twice,
    index_checks.tags,
    index_checks.old_clients,
    runtime_checks.runtimes,
    index_checks.appdata,
    site_checks.icons,
    pull_checks.pulls,
    file_checks.files,
    site_checks.pages,
)
_ORDER = list(Weight)
_MOST = 20_000  # findings of a check: a hostile index could give millions


def findings(site: Site, checks: Iterable[Check] = CHECKS) -> tuple[Finding, ...]:
    """What all checks find, the heaviest first; the same thing at the same place once."""
    found = dict.fromkeys(finding for check in checks for finding in islice(check(site), _MOST))
    return tuple(sorted(found, key=lambda each: _ORDER.index(each.weight)))

"""The verb: what is asked for, and how it is told."""

from __future__ import annotations

import argparse
import ipaddress
import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from builder import oci
from builder.doctor import keyfiles
from builder.doctor.asking import Asker, Question, peers_of
from builder.doctor.checks import findings
from builder.doctor.findings import Finding, finding
from builder.doctor.look import look
from builder.doctor.place import Place, named_by, understood
from builder.doctor.seen import Site
from builder.doctor.wish import Wish
from builder.errors import Exit, FlatdexError, UsageError
from builder.report import Report, counted
from builder.sources.connection import Peers
from builder.sources.tls import BadCertificateError, Tls

_LARGEST_FILE = 1024 * 1024


def add_options(parser: argparse.ArgumentParser) -> None:
    """The verb's arguments."""
    parser.add_argument("url", metavar="URL", help="the remote's URL, with or without oci+, or that of a .flatpakrepo")
    add = parser.add_argument
    add("--tag", action="append", default=[], type=_tag, help="look at this tag (may be repeated; default: all known)")
    text = "look at this architecture, by its OCI name (may be repeated; default: this machine's, and those found)"
    add("--arch", action="append", default=[], type=_architecture, help=text)
    add("--sample", metavar="N", type=_number, default=5, help="pull so many images (default: 5)")
    add("--all", action="store_true", help="pull all images, layers of any size too")
    add("--public", metavar="URL", help="the URL that users have, if URL is that of one server behind it")
    add(
        "--repo-file", metavar="URL", action="append", default=[], help="a .flatpakrepo file to check (may be repeated)"
    )
    add("--each-address", action="store_true", help="ask each address behind the host's name: are they all alike?")
    text = "ask this address, too (may be repeated)"
    add("--address", metavar="IP", action="append", default=[], type=_address, help=text)
    add("--ca", metavar="FILE", type=_authority, help="a PEM file with an authority to trust beside the usual ones")
    add("--timeout", metavar="SECONDS", type=_seconds, default=60.0, help="for one request (default: 60)")
    add("--json", action="store_true", help="print the result as JSON")


def _tag(text: str) -> str:
    if not oci.is_tag(text):
        raise argparse.ArgumentTypeError(f"{text!r} is not a tag")
    return text


def _architecture(text: str) -> str:
    if not re.fullmatch(r"[a-z0-9_]{1,32}", text):
        raise argparse.ArgumentTypeError(f"{text!r} is not an architecture, such as amd64")
    return text


def _address(text: str) -> str:
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text!r} is not an IP address, such as 192.0.2.1") from None


def _authority(text: str) -> Path:
    try:
        Tls((Path(text),)).context(with_certificate=False)
    except BadCertificateError as error:
        raise argparse.ArgumentTypeError(str(error)) from None
    return Path(text)


def _number(text: str) -> int:
    number = int(text)
    if number < 0:
        raise argparse.ArgumentTypeError("a number, 0 or more")
    return number


def _seconds(text: str) -> float:
    number = float(text)
    if not 0 < number < 86400:
        raise argparse.ArgumentTypeError("a number of seconds, more than 0")
    return number


def run_doctor(args: argparse.Namespace, load: Callable[[], Any], report: Report) -> int:
    """`flatdex doctor URL`. No configuration is read."""
    given = understood(args.url)
    repo_files, peers = tuple(args.repo_file), peers_of(given.url)
    for url in (*repo_files, *([args.public] if args.public else ())):
        understood(url)
    if given.is_repo_file:
        repo_files = (given.url, *repo_files) if given.url.endswith(".flatpakrepo") else repo_files
        given = _named_by(given, args.ca, args.timeout, peers)
    wish = Wish(
        place=given,
        public=understood(args.public).url if args.public else "",
        tags=tuple(dict.fromkeys(args.tag)),
        architectures=tuple(dict.fromkeys(args.arch)),
        sample=None if args.all else args.sample,
        repo_files=repo_files,
        each_address=args.each_address,
        host_addresses=tuple(args.address),
        ca=args.ca,
        seconds=args.timeout,
    )
    site = look(wish, report.progress, peers)
    found = findings(site)
    if args.json:
        report.result(json.dumps(as_json(site, found)))
    else:
        report.line(seen(site))
        for line in table(weighty(found)):
            report.result(line)
        for line in table([each for each in found if not each.weight.counts]):
            report.line(line)
        report.line(summary(found))
    return Exit.FAILED if weighty(found) else Exit.DONE


def _named_by(file: Place, ca: Path | None, seconds: float, peers: Peers) -> Place:
    """The remote that a file names. Raises FlatdexError."""
    with Asker(seconds, Tls((ca,) if ca else ()), peers=peers) as asker:
        answer = asker.ask(Question(file.url, _LARGEST_FILE))
    if not answer.good:
        raise FlatdexError(f"{file.url}: {answer.told}", "Is the URL right?")
    group = keyfiles.REF_GROUP if file.url.endswith(".flatpakref") else keyfiles.REPO_GROUP
    given = (keyfiles.values(answer.plain or b"", group) or {}).get("Url", "")
    if named_by(given) is None:
        raise FlatdexError(f"{file.url} names no OCI remote: Url={given[:200]!r}", "Its Url has to start with oci+.")
    try:
        return understood(given)
    except UsageError as error:
        raise FlatdexError(f"{file.url}: Url={given[:200]!r}: {error.what}", error.fix) from error


def examined(url: str, public: str, sample: int, report: Report) -> tuple[Finding, ...]:
    """What is of weight where `public` is served at `url`, with so many images pulled; never an error of its own."""
    try:
        return weighty(findings(look(Wish(understood(url), public, sample=sample), report.progress)))
    except FlatdexError as error:
        return (finding("unreachable", url, error.line),)


def weighty(found: Sequence[Finding]) -> tuple[Finding, ...]:
    """Those that make the exit code 1."""
    return tuple(each for each in found if each.weight.counts)


def seen(site: Site) -> str:
    """What was looked at, in a line."""
    architectures = ", ".join(dict.fromkeys(visit.architecture for visit in site.visits))
    number = len({entry.digest for visit in site.visits if visit.listing for entry in visit.listing.entries})
    snapshot = f", snapshot {site.snapshot.id}" if site.snapshot else ""
    return (
        f"{site.url}: {counted(len(site.tags), 'tag')} ({', '.join(site.tags)}), {architectures}: "
        f"{counted(number, 'image')}, {len(site.pulls)} of them pulled, {counted(len(site.icons), 'icon')}{snapshot}"
    )


def table(found: Sequence[Finding]) -> list[str]:
    """The findings, those of one kind as one, with how many they are."""
    groups: dict[str, list[Finding]] = {}
    for each in found:
        groups.setdefault(each.code, []).append(each)
    lines = []
    for code, alike in groups.items():
        first, more = alike[0], f" (and {len(alike) - 1} more)" if len(alike) > 1 else ""
        lines.append(f"{first.weight.value:<8}{code}: {_line(first.where)}: {_line(first.what)}{more}")
        lines.append(f"        means:  {first.means}")
        lines.append(f"        mend:   {first.mend}")
    return lines


def _line(text: str) -> str:
    return " ".join(text.split())


def summary(found: Sequence[Finding]) -> str:
    """How it is, in a line."""
    if not found:
        return "nothing to find fault with"
    counts: dict[str, int] = {}
    for each in found:
        counts[each.weight.value] = counts.get(each.weight.value, 0) + 1
    told = ", ".join(counted(number, weight) for weight, number in counts.items())
    return told if weighty(found) else f"{told}: nothing of weight"


def as_json(site: Site, found: Sequence[Finding]) -> dict[str, Any]:
    """The whole result, for a script."""
    return {
        "url": site.url,
        "ok": not weighty(found),
        "tags": list(site.tags),
        "architectures": list(dict.fromkeys(visit.architecture for visit in site.visits)),
        "pulled": [pull.digest for pull in site.pulls],
        "snapshot": site.snapshot.id if site.snapshot else None,
        "findings": [each.as_json for each in found],
    }

"""Pulls a sample of a remote's images as an anonymous client does, and fetches their icons."""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from urllib.parse import quote, urljoin, urlsplit

from builder import flatpak, oci
from builder.doctor.asking import CONNECTIONS, Ask, Asker, Question
from builder.doctor.listing import Entry
from builder.doctor.seen import Answer, Blob, Icon, Pull, Visit
from builder.doctor.wish import Wish
from builder.oci import Descriptor, ImageIndex, Malformed, Manifest
from builder.parallel import mapped
from builder.site import icons as pictures
from builder.sources import walk
from builder.sources.connection import Peers
from builder.sources.tls import Tls

_LARGEST_ICON = 1024 * 1024
_LARGE_LAYER = 256 * 1024 * 1024
"""Layers beyond it are pulled with `--all` only."""
_SLOWEST = 100_000  # bytes a second of a layer
_ACCEPT = ", ".join((oci.MANIFEST, oci.DOCKER_MANIFEST, oci.IMAGE_INDEX))

Tell = Callable[[int, int], None]


@dataclass(frozen=True)
class Sampled:
    """An image to look at: its entry, and the registry and the index URL that it is reached by."""

    entry: Entry
    registry: str
    index: str


def sample(visits: Iterable[Visit], number: int | None) -> tuple[Sampled, ...]:
    """So many images, the same ones each time: those with the smallest digests. None: all."""
    found: dict[tuple[str, str], Sampled] = {}
    for visit in visits:
        index = visit.gzip.url.partition("?")[0]
        for entry in visit.listing.entries if visit.listing else ():
            registry = _registry(index, visit.listing.registry if visit.listing else None)
            if registry and oci.is_digest(entry.digest) and entry.repository:
                found.setdefault((entry.digest, entry.repository), Sampled(entry, registry, index))
    return tuple(found[key] for key in sorted(found)[:number])


def _registry(index: str, registry: str | None) -> str:
    """The registry's URL as clients resolve it; empty if there is none to be had."""
    if not registry:
        return ""
    try:
        found = urljoin(index, registry)
        return found.rstrip("/") if urlsplit(found).hostname and found.startswith(("http://", "https://")) else ""
    except ValueError:
        return ""


def icons(asker: Asker, chosen: Sequence[Sampled], tell: Tell) -> Iterator[Icon]:
    """The icons of these images, each once."""
    wanted: dict[tuple[str, str], str] = {}
    for each in chosen:
        for label in flatpak.ICONS:
            value = each.entry.labels.get(label) or each.entry.annotations.get(label)
            if value:
                wanted.setdefault((each.index, value), each.entry.where)
    found = mapped(CONNECTIONS, lambda item: _icon(asker, item[0][0], item[0][1], item[1]), wanted.items())
    for done, icon in enumerate(found, 1):
        tell(done, len(wanted))
        yield icon


def _icon(asker: Asker, index: str, value: str, where: str) -> Icon:
    if value.startswith("data:"):
        return Icon(where, "", None, _fault_inline(value))
    try:
        url = urljoin(index, value)
    except ValueError:
        return Icon(where, value[:200], None, "its place is not a URL")
    answer = asker.ask(Question(url, _LARGEST_ICON))
    fault = ""
    if answer.good:
        try:
            pictures.check(answer.plain or b"")
        except pictures.Rejected as error:
            fault = str(error)
    return Icon(where, url, replace(answer, body=b""), fault)


def _fault_inline(value: str) -> str:
    try:
        pictures.decoded(value)
    except pictures.Rejected as error:
        return str(error)
    return ""


def pulls(chosen: Sequence[Sampled], wish: Wish, tls: Tls, peers: Peers, tell: Tell) -> Iterator[Pull]:
    """What comes of pulling them."""
    with ExitStack() as open_ones:
        registries = dict.fromkeys(each.registry for each in chosen)
        askers = {
            url: open_ones.enter_context(Asker(wish.seconds, tls, url, wish.patience, peers)) for url in registries
        }
        everything = wish.sample is None
        found = mapped(CONNECTIONS, lambda each: _pull(askers[each.registry].ask, each, everything), chosen)
        for done, pull in enumerate(found, 1):
            tell(done, len(chosen))
            yield pull


def _pull(ask: Ask, wanted: Sampled, everything: bool) -> Pull:
    entry = wanted.entry
    base = f"{wanted.registry}/v2/{quote(entry.repository)}"
    scope = f"repository:{entry.repository}:pull"
    question = Question(f"{base}/manifests/{entry.digest}", walk.LARGEST_MANIFEST, accept=_ACCEPT, scope=scope)
    head = ask(replace(question, method="HEAD"))
    answer = ask(question)
    pull = Pull(entry.where, entry.digest, entry.labels or entry.annotations, _tokenless(entry), head, answer)
    if not answer.good:
        return pull
    try:
        data = answer.body if answer.plain is None else answer.plain  # what is called packed may be none
        manifest = oci.parse_manifest(data, answer.header("content-type"))
    except Malformed as error:
        return replace(pull, manifest=_bare(answer), manifest_fault=str(error))
    pull = replace(pull, manifest=_bare(answer), media_type=manifest.media_type)
    if isinstance(manifest, ImageIndex):
        return replace(pull, manifest_fault="an image index, where clients look for an image")
    return _with_blobs(ask, pull, manifest, base, scope, everything)


def _with_blobs(ask: Ask, pull: Pull, manifest: Manifest, base: str, scope: str, everything: bool) -> Pull:
    config = _blob(ask, manifest.config, base, scope, walk.LARGEST_CONFIG, kept=True)
    labels = None
    if config.answer.good and f"sha256:{config.answer.sha256}" == config.digest:
        try:
            labels = oci.parse_config(config.answer.body).labels
        except Malformed:
            labels = None
    layers = tuple(
        _blob(ask, layer, base, scope, layer.size, skipped=layer.size > _LARGE_LAYER and not everything)
        for layer in manifest.layers
    )
    bare = replace(config, answer=_bare(config.answer))
    return replace(pull, config=bare, config_labels=labels, layers=layers)


def _blob(
    ask: Ask, blob: Descriptor, base: str, scope: str, limit: int, *, kept: bool = False, skipped: bool = False
) -> Blob:
    url = f"{base}/blobs/{blob.digest}"
    question = Question(url, limit, scope=scope, kept=kept, seconds=60 + blob.size / _SLOWEST)
    if skipped:
        return Blob(blob.digest, blob.size, ask(replace(question, method="HEAD")), skipped=True)
    answer = ask(question)
    # What a client that takes gzip is sent: only the headers matter.
    packed = ask(replace(question, encoding="gzip", limit=0, kept=False)) if answer.good else None
    return Blob(blob.digest, blob.size, answer, packed)


def _tokenless(entry: Entry) -> bool:
    """Whether the index spares clients the authenticator."""
    value = entry.labels.get(flatpak.TOKEN_TYPE) or entry.annotations.get(flatpak.TOKEN_TYPE) or ""
    try:
        return base64.b64decode(value, validate=True) == base64.b64decode(flatpak.TOKEN_NONE)
    except (binascii.Error, ValueError):
        return False


def _bare(answer: Answer) -> Answer:
    return replace(answer, body=b"")

"""Checks of what an installation pulls: manifests, configs and layers."""

from __future__ import annotations

from collections.abc import Iterator

from builder import flatpak, oci
from builder.doctor.findings import Finding, finding
from builder.doctor.seen import Answer, Blob, Pull, Site, Trouble

_TYPES = (oci.MANIFEST, oci.DOCKER_MANIFEST)


def pulls(site: Site) -> Iterator[Finding]:
    """Each image of the sample."""
    for pull in site.pulls:
        yield from _manifest(pull)
        for name, blob in (("config", pull.config), *((f"layer {n}", layer) for n, layer in enumerate(pull.layers, 1))):
            if blob:
                yield from _blob(pull, name, blob)
        yield from _labels(pull)


def _manifest(pull: Pull) -> Iterator[Finding]:
    answer = pull.manifest
    if not answer.good:
        yield _failed(answer, pull.where, "manifest")
        return
    if f"sha256:{answer.sha256}" != pull.digest and not answer.header("content-encoding"):
        yield finding("pull-digest", pull.where, f"the manifest {pull.digest} is sha256:{answer.sha256}")
    if answer.header("content-encoding"):
        yield finding("pull-encoding", pull.where, f"the manifest is sent as {answer.header('content-encoding')[:40]}")
    if pull.manifest_fault:
        yield finding("manifest-malformed", pull.where, pull.manifest_fault[:200])
        return
    if not pull.media_type:
        if answer.header("content-type") in _TYPES:
            yield finding("media-type-missing", pull.where, "the manifest has no `mediaType`")
        else:
            told = answer.header("content-type")[:80] or "none"
            yield finding("manifest-type", pull.where, f"no `mediaType`, and Content-Type: {told}")
    if not pull.head.good and not pull.tokenless:
        yield finding("head-failing", pull.where, f"HEAD {pull.head.url}: {pull.head.told}")


def _failed(answer: Answer, where: str, name: str) -> Finding:
    told = f"{name}: {answer.url}: {answer.told}"
    if answer.trouble is Trouble.LARGE:
        return finding("pull-size", where, told)
    if answer.status in (401, 403) or "token service" in answer.why:
        return finding("pull-login", where, told)
    return finding("pull-missing" if answer.status in (404, 410) else "pull-failing", where, told)


def _blob(pull: Pull, name: str, blob: Blob) -> Iterator[Finding]:
    answer = blob.answer
    if not answer.good:
        yield _failed(answer, pull.where, name)
        return
    length = answer.header("content-length") or str(blob.size)
    encoding = answer.header("content-encoding")
    if encoding and encoding.lower() != "identity":
        yield finding("pull-encoding", pull.where, f"{name} {blob.digest} is sent as {encoding[:40]}")
    elif blob.skipped:
        if length != str(blob.size):
            yield finding("pull-size", pull.where, f"{name} {blob.digest} has {length[:20]} bytes, not {blob.size}")
    elif answer.size != blob.size:
        yield finding("pull-size", pull.where, f"{name} {blob.digest} has {answer.size} bytes, not {blob.size}")
    elif f"sha256:{answer.sha256}" != blob.digest:
        yield finding("pull-digest", pull.where, f"{name} {blob.digest} is sha256:{answer.sha256}")
    packed = blob.packed.header("content-encoding") if blob.packed else ""
    if packed and not encoding:
        yield finding("pull-compressed", pull.where, f"{name} {blob.digest} is sent as {packed[:40]} to some")


def _labels(pull: Pull) -> Iterator[Finding]:
    if pull.config and pull.config.answer.good and pull.config_labels is None:
        if f"sha256:{pull.config.answer.sha256}" == pull.config.digest:
            yield finding("config-malformed", pull.where, f"{pull.config.digest} is no image config")
        return
    if pull.config_labels is None:
        return
    told = flatpak.commit_metadata_text(pull.config_labels.get(flatpak.COMMIT_METADATA, ""))
    if told is None:
        yield finding("metadata-differs", pull.where, f"the config has no label {flatpak.COMMIT_METADATA}")
    elif flatpak.METADATA in pull.labels and pull.labels[flatpak.METADATA] != told:
        yield finding("metadata-differs", pull.where, f"{flatpak.METADATA} is not what the config's commit says")
    ref = pull.config_labels.get(flatpak.REF)
    if ref != pull.labels.get(flatpak.REF):
        yield finding("metadata-differs", pull.where, f"the config's ref is {(ref or 'missing')[:200]}")

"""A docker-registry (CNCF distribution) of our own, filled by skopeo."""

from __future__ import annotations

import json
import re
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tests.real.process import Child, Service, free_port, located, require, run, settled

_CONFIG = """\
version: 0.1
log:
  level: error
  accesslog:
    disabled: {no_access_log}
storage:
  filesystem:
    rootdirectory: {folder}/storage
  delete:
    enabled: true
http:
  addr: 127.0.0.1:{port}
  tls: {tls}
auth: {auth}
notifications: {notifications}
"""
_REQUEST = re.compile(r'^\S+ \S+ \S+ \[[^]]*\] "[A-Z]+ \S+ HTTP/')


class DockerRegistry(Service):
    """A registry that allows deletes and keeps everything in `folder`. Use it with `with`.

    Unless told otherwise it is without TLS and login. `tls` is a certificate with its key, `clients` has the authority
    of the certificates that clients must show, `auth` is that part of its configuration. With `notifications` it tells
    of all events at that URL, with those headers: it waits a second for each answer, and what was not taken is sent
    again until it is, a few times at once and then every half second. A second registry on the same folder has the
    images that were pushed to the first one, which must have been stopped.
    """

    def __init__(
        self,
        folder: Path,
        *,
        access_log: bool = False,
        tls: tuple[Path, Path] | None = None,
        clients: Path | None = None,
        auth: Any = None,
        notifications: tuple[str, Mapping[str, str]] | None = None,
    ) -> None:
        require("docker-registry", "skopeo")
        self.folder = folder
        self.port = free_port()
        self.url = f"{'https' if tls else 'http'}://127.0.0.1:{self.port}"
        self._log = folder / "registry.log"
        folder.mkdir(parents=True, exist_ok=True)
        self._config = folder / "config.yml"
        no_access_log = str(not access_log).lower()
        with_tls = {"certificate": str(tls[0]), "key": str(tls[1])} if tls else {}
        more = {"clientcas": [str(clients)]} if clients else {}
        self._config.write_text(
            _CONFIG.format(
                folder=folder,
                port=self.port,
                no_access_log=no_access_log,
                tls=json.dumps({**with_tls, **more}),
                auth=json.dumps(auth or {}),
                notifications=json.dumps(_endpoint(*notifications) if notifications else {}),
            )
        )

    @property
    def host(self) -> str:
        """Host and port."""
        return f"127.0.0.1:{self.port}"

    def _launch(self) -> Child:
        # An environment of its own: the registry lets REGISTRY_* variables override its configuration.
        return Child(
            [located("docker-registry"), "serve", self._config],
            log=self._log,
            env={"PATH": "/usr/bin:/bin", "HOME": str(self.folder), "OTEL_TRACES_EXPORTER": "none"},
            cwd=self.folder,
        )

    def _wait(self, child: Child) -> None:
        child.wait_until_listening(self.port)

    def copy(self, layout: Path, reference: str, *, every_platform: bool = False, convert_to: str | None = None) -> str:
        """Push an OCI layout to NAME:TAG and return the digest that the tag now has.

        `every_platform` copies an image index with all its images, instead of this machine's image alone (skopeo's
        --all). `convert_to` is skopeo's --format ("v2s2", "oci"); without it the digest is kept, or the copy fails.
        """
        digest_file = self.folder / f"digest-{secrets.token_hex(8)}"
        options = [f"--format={convert_to}"] if convert_to else ["--preserve-digests"]
        options += ["--all"] if every_platform else []
        run(
            [
                *(located("skopeo"), "--insecure-policy", f"--tmpdir={self.folder}", "copy", "--quiet", *options),
                *("--dest-tls-verify=false", "--dest-no-creds", f"--digestfile={digest_file}"),
                *(f"oci:{layout}", f"docker://127.0.0.1:{self.port}/{reference}"),
            ],
            env=self._skopeo_environment(),
        )
        digest = digest_file.read_text().strip()
        digest_file.unlink()
        return digest

    def _skopeo_environment(self) -> dict[str, str]:
        # Root's skopeo remembers blobs in /var/lib unless it takes itself for an ordinary user's.
        home = {name: str(self.folder) for name in ("HOME", "XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_RUNTIME_DIR")}
        return home | {"PATH": "/usr/bin:/bin", "TMPDIR": str(self.folder), "_CONTAINERS_ROOTLESS_UID": "1"}

    def log(self) -> str:
        """One line for each request answered so far, in the combined log format; empty unless `access_log=True`."""
        lines = settled(self._log).splitlines(keepends=True)
        return "".join(line for line in lines if _REQUEST.match(line))


def _endpoint(url: str, headers: Mapping[str, str]) -> dict[str, Any]:
    given = {name: [value] for name, value in headers.items()}
    patience = {"timeout": "1s", "threshold": 5, "backoff": "500ms"}
    return {"endpoints": [{"name": "flatdex", "url": url, "headers": given, **patience}]}

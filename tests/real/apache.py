"""Apache httpd with a configuration of its own."""

from __future__ import annotations

import re
import signal
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from tests.real.files import check_readable, servers_user
from tests.real.process import (
    Child,
    Service,
    children_of,
    find,
    free_port,
    located,
    run,
    settled,
    unavailable,
    wait_for,
)

_MODULE_FOLDERS = ("/usr/lib/apache2/modules", "/usr/lib64/httpd/modules", "/usr/lib/httpd/modules")
# Distributions differ in which of the first are built in; those have no file and need no LoadModule.
_BUILT_IN_PERHAPS = ("log_config", "unixd", "mpm_event")
_MODULES = ("authz_core", "mime", "headers", "rewrite", "alias", "dir")
_MIME_TYPES = """\
application/gzip gz
application/json json
application/xml xml
image/png png
image/svg+xml svg
text/css css
text/html html htm
text/javascript js
text/plain txt
"""
_CONFIG = """\
ServerRoot "{state}"
ServerName 127.0.0.1
Listen 127.0.0.1:{port}
PidFile "{state}/apache.pid"
DefaultRuntimeDir "{state}"
Mutex "file:{state}"
{load}
{identity}
StartServers 1
ServerLimit 8
ThreadsPerChild 32
MaxRequestWorkers 128
TypesConfig "{state}/mime.types"
AccessFileName .htaccess
LogLevel notice rewrite:warn
ErrorLog "{state}/error.log"
LogFormat "%r\\t%>s\\t%B\\t%{{User-Agent}}i\\t%{{Accept-Encoding}}i\\t%{{ETag}}o" fields
CustomLog "{state}/access.log" fields
<Directory "/">
    Options FollowSymLinks
    AllowOverride None
    Require all denied
</Directory>
<FilesMatch "^\\.ht">
    Require all denied
</FilesMatch>
<Directory "{state}/empty">
    Require all granted
</Directory>
DocumentRoot "{document_root}"
{alias}
<Directory "{root}">
    Options {options}
    AllowOverride {allow_override}
    Require all granted
</Directory>
{extra}
"""


@dataclass(frozen=True)
class AccessLine:
    """One answered request. What a client or the answer did not have is ""."""

    method: str
    path: str
    """As the client sent it, with the query string."""
    status: int
    bytes: int
    """Size of the answer's body as sent."""
    user_agent: str
    accept_encoding: str
    etag: str


class Apache(Service):
    """Apache that serves one document root on loopback. Use it with `with`.

    `root` may be a symlink, and need not exist yet: until then Apache answers 403, not 404, as the section that opens
    it applies to no folder. With `mount="/deep/path/"` the server's own document root is an empty folder and `root` is
    reached by an Alias. `extra` is text for the server's configuration and comes last; `modules` are names as in
    `LoadModule NAME_module`, loaded beside mpm_event authz_core mime headers rewrite alias dir. A `reload` takes a
    second, which is how often Apache looks after its workers.

    When root runs the tests, Apache's workers are the user nobody (Apache refuses to work as root), so both folders
    have to be open to other users: take them from the fixture `real_tmp`.
    """

    def __init__(
        self,
        state: Path,
        root: Path,
        *,
        mount: str = "/",
        modules: Iterable[str] = (),
        allow_override: str = "FileInfo Indexes",
        options: str = "FollowSymLinks",
        extra: str = "",
    ) -> None:
        self._program = _apache_program()
        self.state, self.root, self.mount = state, root, f"/{mount.strip('/')}/".replace("//", "/")
        self.modules, self.allow_override, self.options, self.extra = tuple(modules), allow_override, options, extra
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}{self.mount}"
        (state / "empty").mkdir(parents=True, exist_ok=True)
        check_readable(state)
        check_readable(root)
        (state / "mime.types").write_text(_MIME_TYPES)
        self._config = state / "apache.conf"

    def config(self) -> str:
        """The whole configuration, as it is written at the next `start` or `reload`."""
        mounted = self.mount != "/"
        return _CONFIG.format(
            state=self.state,
            port=self.port,
            load=_load_modules(self.modules),
            identity=_identity(),
            document_root=self.state / "empty" if mounted else self.root,
            alias=f'Alias "{self.mount}" "{self.root}/"' if mounted else "",
            root=self.root,
            options=self.options,
            allow_override=self.allow_override,
            extra=self.extra,
        )

    def _launch(self) -> Child:
        self._config.write_text(self.config())
        # -T: a document root that does not exist yet is no error.
        return Child(
            [self._program, "-T", "-D", "FOREGROUND", "-f", self._config],
            log=self.state / "error.log",
            env={"PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"},
            cwd=self.state,
        )

    def _wait(self, child: Child) -> None:
        child.wait_until_listening(self.port)

    def reload(self) -> None:
        """Take up a changed `extra`, `options`, `allow_override` or `modules`, while requests under way are finished.

        Returns when no worker with the old configuration is left. CommandFailedError, with the server still running as
        before, when the new configuration is wrong.
        """
        assert self.child is not None, "Apache is not running"
        candidate = self.state / "apache.conf.new"
        candidate.write_text(self.config())
        run([self._program, "-T", "-t", "-f", candidate], cwd=self.state)
        candidate.replace(self._config)
        old = set(children_of(self.child.pid))
        self.child.signal(signal.SIGUSR1)
        server = self.child.pid
        wait_for(lambda: not old & set(children_of(server)), "Apache's old workers to end", seconds=20)

    def access_log(self, at_least: int = 0) -> list[AccessLine]:
        """All requests answered since the first start.

        Apache writes a line a moment after the answer was sent, so lines of several connections may change places.
        This waits for `at_least` lines (up to 10 s) and then until no more come.
        """
        path = self.state / "access.log"
        if at_least:
            wait_for(lambda: len(settled(path).splitlines()) >= at_least, f"{at_least} lines in {path}")
        return [_parse(line) for line in settled(path).splitlines()]

    def error_log(self) -> str:
        """The error log, with what Apache says when it starts."""
        return settled(self.state / "error.log")


def _apache_program() -> str:
    return find("apache2") or find("httpd") or located("apache2")


def _load_modules(extra: tuple[str, ...]) -> str:
    folder = next((path for path in map(Path, _MODULE_FOLDERS) if path.is_dir()), None)
    if folder is None:
        unavailable(f"no Apache modules in {', '.join(_MODULE_FOLDERS)}")
    optional = [name for name in _BUILT_IN_PERHAPS if (folder / f"mod_{name}.so").exists()]
    names = dict.fromkeys([*optional, *_MODULES, *extra])
    return "\n".join(f'LoadModule {name}_module "{folder}/mod_{name}.so"' for name in names)


def _identity() -> str:
    """Whom the workers become when root starts Apache; an ordinary user's Apache stays that user."""
    user = servers_user()
    return f"User {user[0]}\nGroup {user[1]}" if user else ""


def _parse(line: str) -> AccessLine:
    request, status, size, agent, encoding, etag = (_unescape(field) for field in line.split("\t"))
    method, _, rest = request.partition(" ")
    path = rest.rpartition(" ")[0] or rest
    return AccessLine(method, path, int(status), int(size), agent, encoding, etag)


def _unescape(field: str) -> str:
    if field == "-":
        return ""
    return re.sub(r'\\(["\\])', r"\1", field)

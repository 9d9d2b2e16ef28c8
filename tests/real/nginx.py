"""nginx with a configuration of its own."""

from __future__ import annotations

from pathlib import Path

from tests.real.files import check_readable, servers_user
from tests.real.process import Child, Service, free_port, located, settled

_CONFIG = """\
daemon off;
{identity}
worker_processes 1;
pcre_jit on;
pid "{state}/nginx.pid";
error_log "{state}/error.log" notice;
events {{ worker_connections 256; }}
http {{
    access_log "{state}/access.log";
    client_body_temp_path "{state}/body";
    proxy_temp_path "{state}/proxy";
    fastcgi_temp_path "{state}/fastcgi";
    uwsgi_temp_path "{state}/uwsgi";
    scgi_temp_path "{state}/scgi";
    default_type application/octet-stream;
    types {{
        application/gzip gz;
        application/json json;
        image/png png;
        image/svg+xml svg;
        text/css css;
        text/html html;
        text/plain txt;
    }}
    server {{
        listen 127.0.0.1:{port};
        server_name 127.0.0.1;
        root "{root}";
        {extra}
    }}
    {beside}
}}
"""


class Nginx(Service):
    """nginx that serves one document root on loopback. Use it with `with`.

    `extra` is text inside the server block, `beside` is text after it; `url` ends with a slash. `root` may be a symlink
    and need not exist yet. As with Apache, root's tests have to take both folders from the fixture `real_tmp`.
    """

    def __init__(self, state: Path, root: Path, *, extra: str = "", beside: str = "") -> None:
        self._program = located("nginx")
        self.state, self.root, self.extra, self.beside = state, root, extra, beside
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        state.mkdir(parents=True, exist_ok=True)
        check_readable(state)
        check_readable(root)

    def config(self) -> str:
        """The whole configuration, as it is written at the next `start`."""
        user = servers_user()
        identity = f"user {user[0]} {user[1]};" if user else ""
        return _CONFIG.format(
            state=self.state,
            port=self.port,
            root=self.root,
            extra=self.extra,
            beside=self.beside,
            identity=identity,
        )

    def _launch(self) -> Child:
        config = self.state / "nginx.conf"
        config.write_text(self.config())
        # -e: without it nginx opens the log that it was built with before it reads any configuration.
        return Child(
            [self._program, "-p", self.state, "-e", self.state / "error.log", "-c", config],
            log=self.state / "error.log",
            env={"PATH": "/usr/bin:/bin"},
            cwd=self.state,
        )

    def _wait(self, child: Child) -> None:
        child.wait_until_listening(self.port)

    def access_log(self) -> list[str]:
        """One line of the combined log format for each request answered so far."""
        return settled(self.state / "access.log").splitlines()

    def error_log(self) -> str:
        """The error log, with what nginx says when it starts."""
        return settled(self.state / "error.log")

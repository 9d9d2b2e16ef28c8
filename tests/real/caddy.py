"""Caddy with a configuration of its own."""

from __future__ import annotations

from pathlib import Path

from tests.real.files import check_readable, servers_user
from tests.real.process import Child, Service, free_port, located, settled

_CONFIG = """\
{{
	admin off
	auto_https off
}}
http://127.0.0.1:{port} {{
	bind 127.0.0.1
{extra}
}}
"""


class Caddy(Service):
    """Caddy that listens on loopback. Use it with `with`.

    `extra` is text inside the site block, which by itself serves nothing; `url` ends with a slash. As with Apache,
    root's tests have to take `state`, and what is served, from the fixture `real_tmp`.
    """

    def __init__(self, state: Path, *, extra: str = "") -> None:
        self._program = located("caddy")
        self.state, self.extra = state, extra
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/"
        state.mkdir(parents=True, exist_ok=True)
        state.chmod(0o755)
        check_readable(state)

    def config(self) -> str:
        """The whole configuration, as it is written at the next `start`."""
        return _CONFIG.format(port=self.port, extra=self.extra)

    def _launch(self) -> Child:
        config = self.state / "Caddyfile"
        config.write_text(self.config())
        home = self.state / "home"
        home.mkdir(exist_ok=True)
        home.chmod(0o777)
        places = {name: str(home) for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME")}
        return Child(
            [*_identity(), self._program, "run", "--adapter", "caddyfile", "--config", config],
            log=self.state / "caddy.log",
            env={"PATH": "/usr/bin:/bin", **places},
            cwd=self.state,
        )

    def _wait(self, child: Child) -> None:
        child.wait_until_listening(self.port)

    def log(self) -> str:
        """All that Caddy has said."""
        return settled(self.state / "caddy.log")


def _identity() -> list[str]:
    """Root's Caddy would stay root, and read what no web server should be able to."""
    user = servers_user()
    if user is None:
        return []
    return [located("setpriv"), f"--reuid={user[0]}", f"--regid={user[1]}", "--clear-groups", "--pdeathsig=TERM", "--"]

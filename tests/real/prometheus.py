"""Prometheus itself, which scrapes what a test names, and promtool, which checks figures and rules."""

from __future__ import annotations

import json
import subprocess
import urllib.request
from collections.abc import Mapping
from http import HTTPStatus
from pathlib import Path
from typing import Any
from urllib.parse import quote

from tests.real.process import Child, Service, free_port, located, run


def promtool(*args: str | Path, given: str = "") -> str:
    """What promtool says, of `given` as its standard input; AssertionError if it finds anything wrong."""
    words = [located("promtool"), *map(str, args)]
    done = subprocess.run(words, input=given, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


class Prometheus(Service):
    """A Prometheus on loopback that asks `ports` five times a second, and evaluates `rules`. Use it with `with`."""

    def __init__(self, state: Path, ports: Mapping[str, int], rules: Path) -> None:
        self._program = located("prometheus")
        self.state = state
        self.port = free_port()
        state.mkdir(parents=True, exist_ok=True)
        jobs = [
            {"job_name": name, "static_configs": [{"targets": [f"127.0.0.1:{port}"]}]} for name, port in ports.items()
        ]
        pace = {"scrape_interval": "200ms", "scrape_timeout": "200ms", "evaluation_interval": "200ms"}
        settings = {"global": pace, "rule_files": [str(rules)], "scrape_configs": jobs}
        (state / "prometheus.yml").write_text(json.dumps(settings))
        run([located("promtool"), "check", "config", state / "prometheus.yml"])

    def _launch(self) -> Child:
        return Child(
            [
                *(
                    self._program,
                    f"--config.file={self.state}/prometheus.yml",
                    f"--storage.tsdb.path={self.state}/data",
                ),
                f"--web.listen-address=127.0.0.1:{self.port}",
            ],
            log=self.state / "prometheus.log",
        )

    def _wait(self, child: Child) -> None:
        child.wait_until(self._is_ready, "answer that it is ready")

    def _is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/-/ready", timeout=10) as answer:
                return bool(answer.status == HTTPStatus.OK)
        except OSError:  # nobody is there yet, or it says that it is not
            return False

    def query(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """What an expression is now: labels and a value each."""
        found = self._get(f"query?query={quote(expression)}")["result"]
        return [(each["metric"], float(each["value"][1])) for each in found]

    def alerts(self) -> list[dict[str, Any]]:
        """Those that fire."""
        found: list[dict[str, Any]] = self._get("alerts")["alerts"]
        return [each for each in found if each["state"] == "firing"]

    def _get(self, path: str) -> Any:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.port}/api/v1/{path}", timeout=10) as answer:
            return json.load(answer)["data"]

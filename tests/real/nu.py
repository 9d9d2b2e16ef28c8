"""The Nu HTML Checker, which the makers of HTML's standard point to. `make test` installs it into the environment."""

from __future__ import annotations

import json
import sys
from collections.abc import Sequence
from pathlib import Path

from tests.real.process import located, run, unavailable

JAR = Path(sys.prefix) / "node_modules" / "vnu-jar" / "build" / "dist" / "vnu.jar"


# A file's address is no host's, so that a policy of 'self' seems to allow it nothing.
_POLICY = ".*violates Content Security Policy.*"


def complaints(files: Sequence[Path]) -> list[str]:
    """What is wrong in HTML and CSS files, with file and line; empty if all of them are valid."""
    java = located("java")
    if not JAR.is_file():
        unavailable(f"not installed: {JAR.name}")
    done = run(
        [
            java,
            "-Xss4m",
            "-jar",
            JAR,
            "--format",
            "json",
            "--exit-zero-always",
            "--also-check-css",
            "--filterpattern",
            _POLICY,
            *files,
        ]
    )
    messages = json.loads(done.stderr)["messages"]
    return [
        f"{Path(each.get('url', '')).name}:{each.get('lastLine', 0)}: {each['message']} {each.get('extract', '')}"
        for each in messages
        if each["type"] != "info" or each.get("subType") == "warning"
    ]

"""setup/packages: silent where all is there, and clear where it is not. No test here installs anything."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "setup" / "packages"
NEEDED = "echo 'rsync rsync'"


def packages(script: Path, *args: str, **environment: str) -> subprocess.CompletedProcess[str]:
    env = {"PYTHON": sys.executable, **os.environ, **environment}
    return subprocess.run([script, *args], env=env, capture_output=True, text=True, timeout=60)


@pytest.fixture
def commands(tmp_path: Path) -> Path:
    """A folder for PATH where root's powers and apt-get are out of reach."""
    folder = tmp_path / "commands"
    folder.mkdir()
    write_script(folder / "id", "echo 1000")
    write_script(folder / "apt-get", "exit 99")
    return folder


def write_script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n")
    path.chmod(0o755)
    return path


def script_that_needs(program: str, package: str, folder: Path) -> Path:
    """A copy of the script that needs one program only."""
    text = SCRIPT.read_text()
    assert NEEDED in text
    copy = folder / "packages"
    copy.write_text(text.replace(NEEDED, f"echo '{program} {package}'"))
    copy.chmod(0o755)
    return copy


def first(commands: Path) -> str:
    return os.pathsep.join([str(commands), os.environ["PATH"]])


def test_nothing_is_said_when_nothing_is_missing(tmp_path: Path, commands: Path) -> None:
    answer = packages(script_that_needs("sh", "dash", tmp_path), "demo", PATH=first(commands))
    assert (answer.returncode, answer.stdout, answer.stderr) == (0, "", "")


def test_missing_program_is_named_with_what_to_do(tmp_path: Path, commands: Path) -> None:
    answer = packages(script_that_needs("no-such-program", "its-package", tmp_path), "demo", PATH=first(commands))
    assert (answer.returncode, answer.stdout) == (1, "")
    assert '"make demo"' in answer.stderr
    assert "\n    apt-get update && apt-get install -y --no-install-recommends its-package\n" in answer.stderr


def test_python_without_venv_is_named_with_the_way_out(tmp_path: Path, commands: Path) -> None:
    bare = write_script(tmp_path / "python-without-venv", "exit 1")
    good = commands / "python3.11"
    good.symlink_to(write_script(tmp_path / "good", f'exec "{sys.executable}" "$@"'))
    script = script_that_needs("sh", "dash", tmp_path)
    write_script(commands / "python3", "exit 1")
    for choice, found in ((str(bare), bare), ("", commands / "python3")):
        answer = packages(script, "demo", PYTHON=choice, PATH=first(commands))
        assert (answer.returncode, answer.stdout) == (1, "")
        assert str(found) in answer.stderr
        assert f"make demo PYTHON={good}\n" in answer.stderr


@pytest.mark.parametrize("args", [[], ["demo", "test"], ["all"]])
def test_usage(args: list[str]) -> None:
    answer = packages(SCRIPT, *args)
    assert answer.returncode == 2
    assert answer.stderr.startswith("usage: ")


def test_other_purpose_needs_more(tmp_path: Path, commands: Path) -> None:
    text = SCRIPT.read_text()
    assert "flatpak-oci-authenticator flatpak\n" in text
    copy = tmp_path / "packages"
    copy.write_text(text.replace("flatpak-oci-authenticator flatpak", "no-such-program its-package"))
    copy.chmod(0o755)
    for purpose, missing in (("demo", False), ("test", True)):
        assert ("its-package" in packages(copy, purpose, PATH=first(commands)).stderr) is missing

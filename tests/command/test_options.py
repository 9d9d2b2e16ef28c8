"""Every verb explains itself; options stand before or after the verb; the configuration is found in a fixed order."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from flatdex import main
from tests.sync.site import CONFIG, DONE, NEW, USAGE, Site

VERBS = (
    *("init", "check", "build", "rules", "serve", "doctor", "publish", "mirror"),
    *("list", "show", "diff", "verify", "log", "promote", "rollback", "hold", "release", "pin", "unpin", "prune"),
    *("push", "status", "adopt", "export", "units", "watch"),
)


def test_help_names_every_verb_and_the_exit_codes(site: Site) -> None:
    said = site.flatdex("--help", code=DONE).stdout
    assert set(re.findall(r"^    ([a-z]+) ", said, re.MULTILINE)) == set(VERBS)
    for code in (
        "0 done",
        "1 failed",
        "2 wrong usage",
        "3 wrong configuration",
        "4 partly",
        "11 another",
        "130 interrupted",
    ):
        assert code in said


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main([verb, "--help"])
    said = capsys.readouterr()
    assert ended.value.code == DONE and said.err == ""
    assert f"usage: flatdex {verb}" in said.out
    for option in ("--config", "--store", "--verbose", "--quiet"):
        assert option in said.out


def test_version(site: Site) -> None:
    assert re.fullmatch(r"flatdex [0-9]+\.[0-9]+\.[0-9]+\n", site.flatdex("--version", code=DONE).stdout)


@pytest.mark.parametrize(
    "args",
    [
        [],
        ["nonsense"],
        ["list", "--nonsense"],
        ["list", "extra"],
        ["rules", "iis"],
        ["serve", "--port", "x"],
        ["init"],
        ["-c"],
    ],
    ids=lambda args: " ".join(args) or "nothing",
)
def test_a_wrong_command_line(args: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(args)
    said = capsys.readouterr()
    assert ended.value.code == USAGE
    assert said.out == "" and "usage: flatdex" in said.err


@pytest.mark.parametrize(
    "args",
    [
        ["-c", "other.yaml", "list"],
        ["list", "-c", "other.yaml"],
        ["list", "--config=other.yaml"],
        ["-c", "wrong.yaml", "list", "-c", "other.yaml"],
        ["--store", "elsewhere", "list"],
        ["list", "--store", "elsewhere"],
        ["-c", "flatdex.yaml", "list", "--store", "elsewhere"],
    ],
    ids=" ".join,
)
def test_options_before_or_after_the_verb(site: Site, args: list[str]) -> None:
    (site.folder / "other.yaml").write_text(
        (site.folder / "flatdex.yaml").read_text().replace("./store", "./elsewhere")
    )
    assert site.flatdex(*args, code=DONE).stdout == (
        f"no snapshots in {site.folder}/elsewhere: `flatdex build` makes one\n"
    )


@pytest.mark.parametrize("args", [["-v", "push"], ["push", "-v"], ["push", "--verbose"]], ids=" ".join)
def test_verbose_before_or_after_the_verb(site: Site, args: list[str]) -> None:
    site.configure({"web": {"rsync": "./target"}})
    name = site.promote(NEW)
    result = site.flatdex(*args, code=DONE)
    assert result.stdout == f"web: has {name}\n" and result.stderr == f"pushing {name} to web\n"


@pytest.mark.parametrize("args", [["-q", "promote"], ["promote", "-q"], ["promote", "--quiet"]], ids=" ".join)
def test_quiet_before_or_after_the_verb(site: Site, args: list[str]) -> None:
    result = site.flatdex(*args, code=DONE)
    assert (result.stdout, result.stderr, site.current) == ("", "", site.snapshot(NEW).name)


def test_quiet_does_not_hide_what_was_asked_for(site: Site) -> None:
    assert len(site.flatdex("-q", "list").stdout.splitlines()) == 3
    assert "current" in site.flatdex("-q", "status").stdout
    assert site.flatdex("-q", "show").stdout.startswith("snapshot ")


def named(site: Site, file: str) -> str:
    """A configuration that can be told from others by its store."""
    name = file.replace("/", "-")
    (site.folder / file).parent.mkdir(exist_ok=True)
    (site.folder / file).write_text(f"{CONFIG_TEXT}store: /nowhere/{name}\n")
    return f"/nowhere/{name}"


CONFIG_TEXT = """\
remote: {name: example, url: "http://127.0.0.1:8080/"}
sources: {local: {layouts: ["./images/*"]}}
indexes: {stable: {tags: [latest]}}
"""


def test_the_order_in_which_a_configuration_is_found(real_tmp: Path) -> None:
    site = Site(real_tmp)
    given, environment, here = (named(site, file) for file in ("given.yaml", "sub/environment.yaml", "flatdex.yaml"))
    env = {"FLATDEX_CONFIG": "sub/environment.yaml"}
    assert given in site.flatdex("-c", "given.yaml", "list", env=env).stdout
    assert environment in site.flatdex("list", env=env).stdout
    assert here in site.flatdex("list", env={"FLATDEX_CONFIG": ""}).stdout


def test_no_configuration_says_where_it_was_looked_for(real_tmp: Path) -> None:
    result = Site(real_tmp).flatdex("list", code=CONFIG)
    for hint in (f"{real_tmp}/flatdex.yaml", "/etc/flatdex/flatdex.yaml", "-c FILE", "flatdex init"):
        assert hint in result.stderr


@pytest.mark.parametrize("how", ["option", "environment"])
def test_a_named_configuration_that_is_not_there(site: Site, how: str) -> None:
    args = ["-c", "missing.yaml"] if how == "option" else []
    result = site.flatdex(*args, "list", code=CONFIG, env={"FLATDEX_CONFIG": "missing.yaml"})
    assert f"{site.folder}/missing.yaml" in result.stderr and "No such file" in result.stderr


def test_the_configuration_may_be_in_another_folder(images: Site) -> None:
    (images.folder / "conf").mkdir()
    for name in ("flatdex.yaml", "images"):
        (images.folder / name).rename(images.folder / "conf" / name)
    assert images.json("build", "-c", "conf/flatdex.yaml")["changed"] is True
    assert (images.folder / "conf" / "store" / "snapshots").is_dir() and not images.store.exists()

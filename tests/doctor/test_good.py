"""A good site is found good, whoever serves it: doctor that cries wolf is not listened to."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.builder.helpers import Answer
from tests.doctor.site import CONFIG, NGINX, PUBLIC, Copy, build, codes, found, seen
from tests.e2e.served import KINDS, served
from tests.e2e.site import Flatdex
from tests.real.apache import Apache
from tests.real.nginx import Nginx
from tests.real.registry import DockerRegistry
from tests.real.tokens import Authority, Heard, Signer, listening


def test_apache_with_htaccess(real_tmp: Path, copy: Copy) -> None:
    with Apache(real_tmp / "apache", copy.root) as apache:
        site = seen(apache.url, sample=None, each_address=True)
        assert not found(apache.url, sample=None, each_address=True)
    assert len(site.pulls) == 2 and len(site.icons) == 4 and site.repo_files and site.addresses
    assert {visit.architecture for visit in site.visits} == {"amd64"}


def test_apache_with_rules_under_a_path(real_tmp: Path, built: Flatdex, copy: Copy) -> None:
    rules = built.run("rules", "apache", "--root", str(copy.root), "--prefix", "/a/b/").stdout
    with Apache(real_tmp / "apache", copy.root, mount="/a/b/", allow_override="None", extra=rules) as apache:
        assert not found(apache.url)


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_of_server_with_our_rules(real_tmp: Path, built: Flatdex, copy: Copy, kind: str) -> None:
    """Also where it has other things in mind for its other sites."""
    with served(built, kind, copy.root, real_tmp / "server") as server:
        assert not found(server.url, sample=None)


def test_nginx_by_hand(real_tmp: Path, copy: Copy) -> None:
    with Nginx(real_tmp / "nginx", copy.root, extra=NGINX) as nginx:
        assert not found(nginx.url)


def test_the_command_on_a_site_with_its_own_url(real_tmp: Path) -> None:
    """Nothing is given but the URL; and with a registry that wants no login."""
    folder = real_tmp / "flatdex"
    apache = Apache(real_tmp / "apache", folder / "store" / "current")
    flatdex = build(folder, CONFIG.replace(PUBLIC, apache.url))
    with apache, DockerRegistry(real_tmp / "registry") as registry:
        first = flatdex.run("doctor", apache.url)
        assert first.stdout.endswith("nothing to find fault with\n") and "2 of them pulled" in first.stdout
        for name in ("org.flatdex.Demo", "org.flatdex.Platform"):
            registry.copy(folder / "images" / name, f"{name.lower()}:latest")
        source = f'{{registry: "{registry.url}", token: none}}'
        flatdex.config.write_text(flatdex.config.read_text().replace('{layouts: ["./images/*"]}', source))
        flatdex.run("build", "--allow-shrink")
        flatdex.run("promote")
        for url in (f"oci+{apache.url}", f"{apache.url}example.flatpakrepo", f"{apache.url}index/static?tag=latest"):
            assert flatdex.run("-q", "doctor", "--all", url).stdout == ""
        said = json.loads(flatdex.run("doctor", "--json", apache.url).stdout)
        assert said["ok"] and said["findings"] == [] and len(said["pulled"]) == 2


def test_a_registry_whose_tokens_anybody_gets(real_tmp: Path, copy: Copy, built: Flatdex) -> None:
    """As GHCR, Quay and Docker Hub want it: no pull without a token, and a token for everybody."""
    signer = Signer(Authority(real_tmp / "authority"))

    def answer(request: Heard) -> Answer:
        assert not request.authorization
        token = signer.token("", request.query["scope"][0])
        return Answer(json.dumps({"token": token, "expires_in": 300}).encode())

    with DockerRegistry(real_tmp / "registry") as filling:
        for name in ("org.flatdex.Demo", "org.flatdex.Platform"):
            filling.copy(built.folder / "images" / name, f"{name.lower()}:latest")
    with listening(answer) as service, Apache(real_tmp / "apache", copy.root) as apache:
        token = {
            "realm": f"{service.url}/token",
            "service": signer.service,
            "issuer": signer.issuer,
            "rootcertbundle": str(signer.authority.certificate),
        }
        with DockerRegistry(real_tmp / "registry", auth={"token": token}) as registry:
            copy.edit_indexes(lambda index: index.update(Registry=registry.url))
            repo_file = f"{apache.url}example.flatpakrepo"
            assert codes(apache.url, sample=None, repo_files=(repo_file,)) == set()
            assert {request.query["scope"][0] for request in service.heard} == {
                "repository:org.flatdex.demo:pull",
                "repository:org.flatdex.platform:pull",
            }


def test_a_dispatch_of_more_tags_is_followed(real_tmp: Path) -> None:
    config = CONFIG + "  testing: {tags: [testing]}\n"
    config = config.replace("layouts: [", "layouts: [").replace(
        "sources:\n", "sources:\n  two: {layouts: ['./images/*'], tag: testing}\n"
    )
    config = config.replace("stable: {", "stable: {sources: [local], ").replace(
        "testing: {tags", "testing: {sources: [two], tags"
    )
    flatdex = build(real_tmp / "flatdex", config)
    with Apache(real_tmp / "apache", flatdex.root) as apache:
        site = seen(apache.url)
        assert site.tags == ("latest", "testing")
        assert codes(apache.url) == set()
        assert seen(f"{apache.url}#testing").tags == ("testing",)


def test_quiet_is_quiet_where_nothing_is_of_weight(real_tmp: Path, built: Flatdex, copy: Copy) -> None:
    """So that cron has nothing to mail."""
    copy.add("index/.htaccess", "ForceType text/plain")
    with Apache(real_tmp / "apache", copy.root) as apache:
        given = ("doctor", apache.url, "--public", PUBLIC)
        assert "note    index-type" in built.run(*given).stdout
        quiet = built.run("-q", *given)
        assert (quiet.stdout, quiet.stderr) == ("", "")
        copy.add("index/.htaccess", "Header unset Cache-Control")
        told = built.run("-q", *given, check=False)
    assert told.returncode == 1 and told.stdout.startswith("warning cache-silent") and "note" not in told.stdout


@pytest.mark.parametrize("sample", [0, 1, 2])
def test_a_sample_is_the_same_each_time(real_tmp: Path, copy: Copy, sample: int) -> None:
    with Apache(real_tmp / "apache", copy.root) as apache:
        pulled = [[pull.digest for pull in seen(apache.url, sample=sample).pulls] for _ in range(2)]
    assert pulled[0] == pulled[1] == sorted(pulled[0]) and len(pulled[0]) == sample

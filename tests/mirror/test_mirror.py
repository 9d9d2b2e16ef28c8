"""The real client lives on a mirror while the remote that it is a copy of is gone."""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.site import Flatdex, get
from tests.e2e.test_main_job import installed, says
from tests.mirror.site import LAYOUTS, OTHER, REGISTRY, Copy, Origin, origin
from tests.real.apache import Apache
from tests.real.flatpak import Flatpak
from tests.real.images import APP, RUNTIME, app_layout, runtime_layout
from tests.real.registry import DockerRegistry


@pytest.fixture
def remote(real_tmp: Path) -> Iterator[Origin]:
    """A remote, not published yet."""
    with origin(real_tmp / "origin") as found:
        yield found


@pytest.fixture
def copy(real_tmp: Path) -> Iterator[Copy]:
    """A copy, with nothing in it yet."""
    found = Copy(real_tmp / "copy")
    try:
        yield found
    finally:
        found.apache.stop()


def test_a_client_installs_and_updates_from_a_mirror_while_the_remote_is_down(
    remote: Origin, copy: Copy, real_tmp: Path, tmp_path: Path
) -> None:
    remote.publish("1.0", tmp_path)
    copy.mirror("--from", remote.url)
    remote.apache.stop()
    copy.apache.start()
    client = Flatpak(real_tmp / "client")
    client.remote_add("example", f"oci+{copy.apache.url}")
    client.run("update", "--appstream", "example")
    assert APP in client.run("search", "hello", "--columns=application").stdout
    client.run("install", "--noninteractive", "example", APP)
    assert installed(client) == {(APP, "1.0"), (RUNTIME, "")}
    assert says(client, "hello 1.0")
    remote.apache.start()
    remote.publish("1.1", tmp_path)
    copy.mirror("--from", remote.url)
    remote.apache.stop()
    client.run("update", "--noninteractive")
    assert says(client, "hello 1.1")


def test_a_mirror_of_a_registry_needs_neither_registry_nor_site(real_tmp: Path, copy: Copy, tmp_path: Path) -> None:
    with DockerRegistry(real_tmp / "registry") as registry:
        config = REGISTRY.replace("{registry}", registry.url)
        with origin(real_tmp / "origin", config) as remote:
            registry.copy(runtime_layout(tmp_path), "runtime:latest")
            registry.copy(app_layout(tmp_path, version="1.0"), "apps/hello:latest")
            remote.flatdex.run("publish")
            copy.mirror("--from", remote.url)
    copy.apache.start()
    client = Flatpak(real_tmp / "client")
    client.remote_add("example", f"oci+{copy.apache.url}")
    client.run("install", "--noninteractive", "example", APP)
    assert says(client, "hello 1.0")


def test_a_partial_mirror_has_what_was_asked_for_and_its_runtime_and_names_nothing_else(
    remote: Origin, copy: Copy, real_tmp: Path, tmp_path: Path
) -> None:
    remote.publish("1.0", tmp_path)
    found = copy.json("--from", remote.url, "--only", "org.flatdex.Hell*")
    assert {ref.split("/")[1] for ref in found["refs"]} == {APP, RUNTIME}
    copy.apache.start()
    index = get(f"{copy.apache.url}index/static").json
    names = {image["Labels"]["org.flatpak.ref"].split("/")[1] for each in index["Results"] for image in each["Images"]}
    assert names == {APP, RUNTIME}
    assert OTHER not in (copy.root / "index.html").read_text()
    assert not (copy.root / "apps" / OTHER).exists()
    assert copy.document()["mirror"]["partial"]
    client = Flatpak(real_tmp / "client")
    client.remote_add("example", f"oci+{copy.apache.url}")
    client.run("install", "--noninteractive", "example", APP)
    assert says(client, "hello 1.0")


def test_without_dependencies_a_runtime_does_not_come_along(remote: Origin, copy: Copy, tmp_path: Path) -> None:
    remote.publish("1.0", tmp_path)
    found = copy.json("--from", remote.url, "--only", APP, "--no-deps")
    assert [ref.split("/")[1] for ref in found["refs"]] == [APP]


def test_a_mirror_keeps_what_the_remote_said_and_looks_like_it(remote: Origin, copy: Copy, tmp_path: Path) -> None:
    remote.publish("1.0", tmp_path)
    copy.mirror("--from", remote.url)
    theirs = remote.flatdex.root
    assert (copy.root / "upstream/snapshot.json").read_bytes() == (theirs / "snapshot.json").read_bytes()
    packed = (copy.root / "upstream/index/latest.json.gz").read_bytes()
    assert packed == (theirs / "index/latest.json.gz").read_bytes()
    assert json.loads(gzip.decompress(packed))["Results"]
    ours = copy.document()
    assert ours["remote"] == json.loads((theirs / "snapshot.json").read_bytes())["remote"]
    assert ours["mirror"]["id"] == json.loads((theirs / "snapshot.json").read_bytes())["id"]
    assert json.loads((copy.root / "index/latest.json").read_bytes())["Registry"] == "../"
    for path in ("index.html", "de/index.html", f"apps/{APP}/index.html", "example.flatpakrepo"):
        assert (copy.root / path).read_bytes() == (theirs / path).read_bytes(), path
        assert int((copy.root / path).stat().st_mtime) == int((theirs / path).stat().st_mtime), path


def test_an_unchanged_mirror_asks_one_question_and_makes_nothing(remote: Origin, copy: Copy, tmp_path: Path) -> None:
    remote.publish("1.0", tmp_path)
    first = copy.json("--from", remote.url)
    before = len(remote.apache.access_log())
    again = copy.json("--from", remote.url)
    assert (first["changed"], again["changed"]) == (True, False)
    assert again["snapshot"] == first["snapshot"]
    asked = remote.apache.access_log()[before:]
    assert [(each.path, each.status) for each in asked] == [("/snapshot.json", 304)]


def test_an_update_fetches_only_what_is_new(remote: Origin, copy: Copy, tmp_path: Path) -> None:
    remote.publish("1.0", tmp_path)
    copy.mirror("--from", remote.url)
    before = len(remote.apache.access_log())
    remote.publish("1.1", tmp_path)
    copy.mirror("--from", remote.url)
    blobs = [each.path for each in remote.apache.access_log()[before:] if each.path.startswith("/v2/")]
    assert len(blobs) == 3, blobs  # manifest, config, layer of one application
    assert not list((copy.store / "mirror/objects").iterdir())


def test_what_would_be_fetched_is_told_and_nothing_is_made(remote: Origin, copy: Copy, tmp_path: Path) -> None:
    remote.publish("1.0", tmp_path)
    told = copy.mirror("--from", remote.url, "--only", APP, "--dry-run").stdout
    assert f"app/{APP}/" in told
    assert remote.url in told
    assert not copy.store.exists()


def test_a_mirror_of_a_mirror_gives_the_remotes_own_list(
    remote: Origin, copy: Copy, real_tmp: Path, tmp_path: Path
) -> None:
    remote.publish("1.0", tmp_path)
    copy.mirror("--from", remote.url)
    theirs = (remote.flatdex.root / "snapshot.json").read_bytes()
    remote.apache.stop()
    copy.apache.start()
    second = Copy(real_tmp / "second")
    second.mirror("--from", copy.apache.url)
    assert (second.root / "upstream/snapshot.json").read_bytes() == theirs
    third = Copy(real_tmp / "third")
    third.mirror("--from", copy.root)  # a folder
    assert (third.root / "upstream/snapshot.json").read_bytes() == theirs


def test_when_something_is_nowhere_nothing_changes(remote: Origin, copy: Copy, tmp_path: Path) -> None:
    remote.publish("1.0", tmp_path)
    first = copy.json("--from", remote.url)
    remote.publish("1.1", tmp_path)
    manifest = json.loads((remote.flatdex.root / "snapshot.json").read_bytes())["images"]
    digest = next(each["digest"] for each in manifest if each["ref"].startswith(f"app/{APP}/"))
    blob = remote.flatdex.root / "v2/hello/manifests" / digest
    layer = json.loads(blob.read_bytes())["layers"][0]["digest"]
    (remote.flatdex.root / "v2/hello/blobs" / layer).unlink()
    done = copy.mirror("--from", remote.url, check=False)
    assert done.returncode == 1
    assert layer.removeprefix("sha256:")[:12] in done.stderr
    assert copy.document()["id"] == first["snapshot"]


CONFIG = """
store: ./store
mirror:
  from: ["{origin}"]
  only: ["org.flatdex.Hello"]
remote: {{url: "{url}", title: Our own}}
languages: [fr]
targets:
  web: {{rsync: ./web}}
keep: {{snapshots: 1, days: 0}}
"""


def configured(copy: Copy, remote: Origin) -> Flatdex:
    """The command in the folder of a copy that has a configuration."""
    return Flatdex(copy.folder, CONFIG.format(origin=remote.url, url=copy.apache.url))


def test_a_configuration_says_how_the_copy_is_called_and_where_it_goes(
    remote: Origin, copy: Copy, tmp_path: Path
) -> None:
    remote.publish("1.0", tmp_path)
    flatdex = configured(copy, remote)
    assert flatdex.run("check").returncode == 0
    assert flatdex.run("mirror", "-q").stdout == ""
    web = copy.folder / "web/current"
    assert f"Url=oci+{copy.apache.url}" in (web / "example.flatpakrepo").read_text()
    page = (web / "index.html").read_text()
    assert "Our own" in page and '<html lang="fr"' in page
    assert json.loads((web / "snapshot.json").read_bytes())["remote"]["id"] == remote.url
    assert not (web / "de").exists()
    status = flatdex.json("status")
    assert status["targets"][0]["up_to_date"]


def test_publish_is_the_same_there_so_one_timer_is_enough(remote: Origin, copy: Copy, tmp_path: Path) -> None:
    remote.publish("1.0", tmp_path)
    flatdex = configured(copy, remote)
    first = flatdex.json("publish")
    assert first["changed"] and first["mirror"]["new"]
    remote.publish("1.1", tmp_path)
    second = flatdex.json("publish")
    assert second["changed"]
    assert "1.1" in [each.get("version") for each in copy.document()["images"]]
    again = flatdex.json("mirror")
    assert (again["changed"], again["mirror"]["new"]) == (False, False)


def test_what_is_chosen_otherwise_is_copied_otherwise_though_the_remote_is_as_it_was(
    remote: Origin, copy: Copy, tmp_path: Path
) -> None:
    remote.publish("1.0", tmp_path)

    def ids(*args: str) -> set[str]:
        found = copy.json("--from", remote.url, *args)
        return {ref.split("/")[1] for ref in found["refs"]}

    assert ids("--only", APP) == {APP, RUNTIME}
    assert ids("--only", OTHER) == {OTHER, RUNTIME}
    assert ids() == {APP, OTHER, RUNTIME}
    assert ids("--only", RUNTIME) == {RUNTIME}


def test_verbs_before_anything_was_mirrored_say_so(remote: Origin, copy: Copy) -> None:
    flatdex = configured(copy, remote)
    assert "nothing was mirrored" in flatdex.run("build", check=False).stderr
    assert flatdex.run("check").returncode == 0
    assert flatdex.run("list", check=False).returncode in (0, 1)


def test_a_site_that_is_no_remote_of_ours_is_told(real_tmp: Path, copy: Copy) -> None:
    (real_tmp / "www").mkdir()
    (real_tmp / "www/index.html").write_text("hello")
    with Apache(real_tmp / "apache", real_tmp / "www") as apache:
        done = copy.mirror("--from", apache.url, check=False)
    assert done.returncode == 1
    assert "snapshot.json" in done.stderr and apache.url in done.stderr
    assert "Traceback" not in done.stderr


def test_pictures_and_the_logo_come_along(real_tmp: Path, copy: Copy, tmp_path: Path) -> None:
    logo = '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"><path d="M0 0h1v1z"/></svg>'
    config = LAYOUTS.replace("accent:", "logo: ./logo.svg, accent:")
    with origin(real_tmp / "origin", config) as remote:
        (remote.flatdex.folder / "logo.svg").write_text(logo)
        remote.publish("1.0", tmp_path)
        copy.mirror("--from", remote.url)
        names = [path.name for path in (copy.root / "assets").glob("*.svg")]
        assert logo in [(copy.root / "assets" / name).read_text() for name in names]
        theirs, ours = (root / "index.html" for root in (remote.flatdex.root, copy.root))
        assert theirs.read_bytes() == ours.read_bytes()


def test_a_copy_without_a_configuration_tells_what_its_pages_name_and_serves_the_other_verbs(
    remote: Origin, copy: Copy, tmp_path: Path
) -> None:
    remote.publish("1.0", tmp_path)
    said = copy.mirror("--from", remote.url)
    assert f"pages and .flatpakrepo files name {remote.url}" in said.stderr
    other = Copy(copy.folder / "other")
    assert "pages and" not in other.mirror("--from", remote.url, "--url", "http://lan.example/").stderr
    assert "Url=oci+http://lan.example/" in (other.root / "example.flatpakrepo").read_text()
    for verb in (["status"], ["rules", "nginx"], ["list"], ["check"], ["build"]):
        done = copy.flatdex(*verb)
        assert done.returncode == 0, (verb, done.stderr)
    assert "server" in copy.flatdex("rules", "nginx").stdout or "location" in copy.flatdex("rules", "nginx").stdout


def test_a_check_online_asks_the_sources_of_a_mirror(remote: Origin, copy: Copy, tmp_path: Path) -> None:
    remote.publish("1.0", tmp_path)
    flatdex = configured(copy, remote)
    assert remote.url in flatdex.run("check", "--online").stdout
    remote.apache.stop()
    done = flatdex.run("check", "--online", check=False)
    assert done.returncode == 1
    assert "refused" in done.stdout


def test_a_starter_for_a_mirror_works_as_written(remote: Origin, copy: Copy, tmp_path: Path) -> None:
    remote.publish("1.0", tmp_path)
    flatdex = Flatdex(copy.folder)
    flatdex.config.unlink()
    flatdex.run("init", "--mirror", remote.url)
    flatdex.run("mirror")
    assert copy.document()["mirror"]


def test_a_store_with_a_remote_of_its_own_is_not_taken_over(remote: Origin, real_tmp: Path, tmp_path: Path) -> None:
    remote.publish("1.0", tmp_path)
    with origin(real_tmp / "other", LAYOUTS.replace("name: example", "name: other")) as other:
        other.publish("2.0", tmp_path / "other")
        victim = Copy(other.flatdex.folder)
        before = victim.document()["id"]
        done = victim.mirror("--from", remote.url, check=False)
        assert done.returncode == 1
        assert "a remote of its own" in done.stderr
        assert victim.document()["id"] == before


def test_a_remote_with_files_and_a_registry_is_copied(real_tmp: Path, copy: Copy, tmp_path: Path) -> None:
    with DockerRegistry(real_tmp / "registry") as registry:
        both = f"  away: {{{{registry: '{registry.url}'}}}}\nindexes:\n  beta: {{{{tags: [beta], sources: [away]}}}}"
        config = LAYOUTS.replace("indexes:", both, 1).replace("tags: [latest],", "tags: [latest], sources: [local],")
        with origin(real_tmp / "origin", config) as remote:
            registry.copy(app_layout(tmp_path, version="3.0"), "hello:beta")
            remote.publish("1.0", tmp_path)
            found = copy.json("--from", remote.url)
            assert f"app/{APP}/" in str(found["refs"])
            assert {each["index"] for each in copy.document()["images"]} == {"stable", "beta"}
            assert sorted(copy.root.glob("v2/hello/manifests/sha256:*"))


def test_the_difference_since_what_a_mirror_tells_is_enough_for_it(
    remote: Origin, copy: Copy, real_tmp: Path, tmp_path: Path
) -> None:
    remote.publish("1.0", tmp_path)
    copy.mirror("--from", remote.url)
    told = copy.flatdex("status").stdout
    listed = next(line.split()[2].rstrip(",") for line in told.splitlines() if line.startswith("copy of"))
    assert listed == copy.document()["mirror"]["id"]
    remote.publish("1.1", tmp_path)
    stick = real_tmp / "stick"
    remote.flatdex.run("export", str(stick), "--since", listed)
    assert len(list((stick / "blobs/sha256").iterdir())) == 3
    copy.mirror("--from", stick)
    assert "1.1" in [each.get("version") for each in copy.document()["images"]]


OLD = """
icons_dir: ./icons
icons_uri: /icons/
indexes:
  flatpak: {{output: ./flatpak.json, registry: "{registry}", registry_public: "{registry}", tags: [latest]}}
  amd64:
    output: ./amd64.json
    registry: "{registry}"
    registry_public: "{registry}"
    tags: [latest]
    architectures: [amd64]
"""


def test_a_remote_in_the_older_form_is_copied_under_a_name_of_its_own(
    real_tmp: Path, copy: Copy, tmp_path: Path
) -> None:
    with DockerRegistry(real_tmp / "registry") as registry:
        registry.copy(runtime_layout(tmp_path), "runtime:latest")
        registry.copy(app_layout(tmp_path, version="1.0"), "hello:latest")
        flatdex = Flatdex(real_tmp / "old", OLD.format(registry=registry.url))
        flatdex.run("publish", "--store", "./store")
        with Apache(real_tmp / "apache", flatdex.root) as apache:
            done = copy.mirror("--from", apache.url, check=False)
            assert done.returncode == 1
            assert "remote: {name: .., url: ..}" in done.stderr
            named = (
                f"store: ./store\nmirror: {{from: ['{apache.url}']}}\nremote: {{name: old, url: '{copy.apache.url}'}}\n"
            )
            ours = Flatdex(copy.folder, named)
            ours.run("mirror")
            assert not ours.json("mirror")["changed"]
    copy.apache.start()
    client = Flatpak(real_tmp / "client")
    client.remote_add("example", f"oci+{copy.apache.url}")
    client.run("install", "--noninteractive", "example", APP)
    assert says(client, "hello 1.0")


def test_what_a_copy_without_pages_does_not_show_is_not_fetched(real_tmp: Path, copy: Copy, tmp_path: Path) -> None:
    config = LAYOUTS.replace("accent:", "logo: ./logo.svg, accent:")
    with origin(real_tmp / "origin", config) as remote:
        (remote.flatdex.folder / "logo.svg").write_text('<svg xmlns="http://www.w3.org/2000/svg"/>')
        remote.publish("1.0", tmp_path)
        own = f"store: ./store\npages: false\nmirror: {{from: ['{remote.url}']}}\n"
        flatdex = Flatdex(copy.folder, own)
        flatdex.run("mirror")
        assert not [each for each in remote.apache.access_log() if each.path.endswith(".svg")]
        flatdex.config.write_text(own.replace("pages: false\n", ""))
        assert flatdex.json("mirror")["changed"]
        assert list(copy.root.glob("assets/*.svg"))


def test_an_application_in_two_indexes_has_its_runtime_in_both(real_tmp: Path, copy: Copy, tmp_path: Path) -> None:
    config = LAYOUTS.replace("  stable:", "  beta: {{tags: [beta], sources: [more]}}\n  stable:").replace(
        "sources:\n", "sources:\n  more: {{layouts: ['./images/*'], tag: beta}}\n", 1
    )
    config = config.replace("tags: [latest],", "tags: [latest], sources: [local],")
    with origin(real_tmp / "origin", config) as remote:
        remote.offer(runtime_layout(tmp_path), "runtime")
        remote.offer(app_layout(tmp_path), "hello")
        remote.flatdex.run("publish")
        copy.mirror("--from", remote.url, "--only", APP)
        for index in ("stable", "beta"):
            assert {each["ref"].split("/")[1] for each in copy.document()["images"] if each["index"] == index} == {
                *(APP, RUNTIME)
            }

"""Lists, indexes and sticks of people who mean harm, or of a disk that rots: a line that says so, and nothing else."""

from __future__ import annotations

import gzip
import hashlib
import json
import os
import shutil
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.site import Flatdex, get
from tests.mirror.site import LAYOUTS, Copy, Origin
from tests.real.files import readable_folder
from tests.real.images import APP, app_layout, runtime_layout
from tests.real.plain import PlainHost
from tests.real.process import run, wait_for

Document = dict[str, Any]
EVIL = "/tmp/flatdex-evil"  # noqa: S108
RULE = "x;\n} location /pwn { alias /etc/; } #"


@pytest.fixture(scope="module")
def site() -> Iterator[Path]:
    """What a good remote serves, as a folder."""
    with readable_folder() as folder:
        remote = Origin(folder, LAYOUTS.replace("tags: [latest]", "tags: [latest, beta]"))
        remote.offer(runtime_layout(folder / "made"), "runtime")
        remote.offer(app_layout(folder / "made"), "hello")
        remote.flatdex.run("publish")
        yield remote.flatdex.root.resolve()


@pytest.fixture
def evil(site: Path, tmp_path: Path) -> Path:
    """A copy of it that may be changed."""
    return Path(shutil.copytree(site, tmp_path / "evil"))


def say(folder: Path, change: Callable[[Document], object]) -> None:
    """Changes what the list says."""
    document = json.loads((folder / "snapshot.json").read_bytes())
    change(document)
    (folder / "snapshot.json").write_text(json.dumps(document))


def index(folder: Path, change: Callable[[Document], object]) -> None:
    """Changes what all entries of the index say, and the list so that it fits."""
    plain = folder / "index/latest.json"
    found = json.loads(plain.read_bytes())
    for result in found["Results"]:
        for entry in result["Images"]:
            change(entry)
    plain.write_text(json.dumps(found))
    plain.with_name("latest.json.gz").write_bytes(gzip.compress(plain.read_bytes(), mtime=0))

    def fit(document: Document) -> None:
        for entry in document["files"]:
            if entry["path"] in ("index/latest.json", "index/latest.json.gz"):
                data = (folder / entry["path"]).read_bytes()
                entry.update(size=len(data), sha256=hashlib.sha256(data).hexdigest())

    say(folder, fit)


def file_of(document: Document, path: str) -> Document:
    """What the list says of a file."""
    found: Document = next(each for each in document["files"] if each["path"] == path)
    return found


def refused(copy: Copy, source: Path) -> str:
    """What is said of it, after a look that nothing was made and nothing broke."""
    done = copy.mirror("--from", source, check=False)
    assert done.returncode == 1, done.stdout
    assert "Traceback" not in done.stderr and "bug in flatdex" not in done.stderr
    assert not copy.root.exists()
    return done.stderr


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("a hash that is a path", lambda it: file_of(it, "index/latest.json.gz").update(sha256=EVIL)),
        ("a hash that climbs", lambda it: file_of(it, "index/latest.json.gz").update(sha256="../" * 21 + "x")),
        ("a route without a file", lambda it: it["dispatch"].update(routes=[{"tag": "latest"}])),
        ("a title that is no text", lambda it: it["remote"].update(title="\ud800")),
        ("an index of a petabyte", lambda it: file_of(it, "index/latest.json").update(size=2**50)),
        ("images of no index", lambda it: [each.update(index="other") for each in it["images"]]),
        ("indexes that are none", lambda it: it.update(indexes=[1])),
        ("sources that are none", lambda it: it.update(sources=5)),
        ("a registry that is none", lambda it: it.update(sources=[{"public": "http://["}])),
        ("a registry at no port", lambda it: it.update(sources=[{"public": "http://127.0.0.1:99999"}])),
        ("refs that are none", lambda it: [each.update(ref="notaref") for each in it["images"]]),
    ],
)
def test_a_list_that_says_what_none_should_makes_nothing(
    evil: Path, tmp_path: Path, name: str, change: Callable[[Document], object]
) -> None:
    say(evil, change)
    refused(Copy(tmp_path / "copy"), evil)
    assert not Path(f"{EVIL}.part").exists()


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("a type that is a rule", lambda it: it.update(MediaType="x,L]\nRedirect /foo http://evil/\n#")),
        ("a tag that is a rule", lambda it: it.update(Tags=["a\nb"])),
        ("an architecture that is none", lambda it: it.update(Architecture="a] [P")),
        ("labels that are no texts", lambda it: it["Labels"].update({"org.flatpak.metadata": 7})),
        ("labels that are none", lambda it: it.update(Labels=[])),
        ("a label that no text can be", lambda it: it["Labels"].update({"org.flatpak.metadata": "\ud800"})),
        ("a digest that is none", lambda it: it.update(Digest="sha256:../../x")),
    ],
)
def test_an_index_that_says_what_none_should_makes_nothing(
    evil: Path, tmp_path: Path, name: str, change: Callable[[Document], object]
) -> None:
    index(evil, change)
    refused(Copy(tmp_path / "copy"), evil)


def test_an_index_that_is_a_bomb_is_not_unpacked(evil: Path, tmp_path: Path) -> None:
    index(evil, lambda it: None)
    packed = gzip.compress(bytes(300_000_000), 9, mtime=0)
    (evil / "index/latest.json.gz").write_bytes(packed)

    def fit(document: Document) -> None:
        file_of(document, "index/latest.json").update(size=300_000_000)
        entry = file_of(document, "index/latest.json.gz")
        entry.update(size=len(packed), sha256=hashlib.sha256(packed).hexdigest())

    say(evil, fit)
    assert "at most" in refused(Copy(tmp_path / "copy"), evil)


def test_a_copy_that_would_lose_what_it_took_is_not_made(evil: Path, site: Path, tmp_path: Path) -> None:
    copy = Copy(tmp_path / "copy")
    copy.mirror("--from", site)
    before = copy.document()["id"]
    index(evil, lambda it: it.update(Architecture="riscv64"))
    say(evil, lambda it: it.update(version=7, id="20990101T000000Z-00000000"))
    done = copy.mirror("--from", evil, check=False)
    assert done.returncode == 1
    assert "would be left out" in done.stderr
    assert copy.document()["id"] == before


def test_one_of_an_indexs_tags_brings_all_its_images(site: Path, tmp_path: Path) -> None:
    copy = Copy(tmp_path / "copy")
    found = copy.json("--from", site, "--tag", "beta")
    assert len(found["refs"]) == 2
    served = json.loads((copy.root / "index/beta.json").read_bytes())
    assert len(served["Results"]) == 2
    assert not (copy.root / "index/latest.json").exists()


def test_what_rots_or_is_lost_is_fetched_again(site: Path, tmp_path: Path) -> None:
    copy = Copy(tmp_path / "copy")
    copy.mirror("--from", site)
    lost, rotten = sorted(path for path in copy.root.glob("v2/*/blobs/*"))[:2]
    wanted = rotten.read_bytes()
    lost.unlink()
    assert copy.json("--from", site)["changed"]
    assert (copy.root / lost.relative_to(copy.root)).exists()
    now = copy.root / rotten.relative_to(copy.root)
    status = now.stat()
    now.write_bytes(b"rotten" + wanted[6:])
    os.utime(now, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert not copy.json("--from", site)["changed"]
    copy.mirror("--from", site, "--full")
    assert (copy.root / rotten.relative_to(copy.root)).read_bytes() == wanted
    assert copy.flatdex("verify").returncode == 0


@pytest.fixture
def stick(site: Path, tmp_path: Path) -> Path:
    """A stick that somebody else may have had in his hands."""
    command = Path(sysconfig.get_path("scripts")) / "flatdex"
    run([command, "export", tmp_path / "stick", "--store", site.parents[1]])
    return tmp_path / "stick"


@pytest.mark.parametrize("server", ["nginx", "apache", "caddy"])
@pytest.mark.parametrize(
    "change",
    [
        lambda it: it["dispatch"]["routes"][0].update(file='latest" ; } location /pwn { root /; } #'),
        lambda it: it["dispatch"]["routes"][0].update(tag='a"; } location /pwn { root /; } #'),
        lambda it: it["dispatch"].update(default_tag='a"; } location /pwn { root /; } #'),
        lambda it: next(each for each in it["files"] if each["path"].endswith(".png")).update(
            path='x" { root pwn; } location "/y/'
            + next(each["sha256"] for each in it["files"] if each["path"].endswith(".png"))[:2]
            + "/"
            + next(each["sha256"] for each in it["files"] if each["path"].endswith(".png"))[2:]
            + ".png"
        ),
        lambda it: it["rules"].update({"v2/.htaccess": f"RewriteRule manifests/sha256:{'a' * 64}$ - [T={RULE}]"}),
    ],
    ids=["file", "tag", "default", "icons", "type"],
)
def test_no_word_of_a_stick_becomes_a_rule_of_a_server(
    stick: Path, server: str, change: Callable[[Document], object]
) -> None:
    say(stick, change)
    command = Path(sysconfig.get_path("scripts")) / "flatdex"
    done = run([command, "rules", server, "--stick", stick], check=False)
    assert "pwn" not in done.stdout
    assert "Traceback" not in done.stderr


def test_a_stick_shows_nothing_but_its_own_plain_files(stick: Path, tmp_path: Path) -> None:
    secret = tmp_path / "secret"
    secret.write_text("secret")
    for name in ("index.html", "feed.atom"):
        (stick / name).unlink()
    (stick / "index.html").symlink_to(secret)
    os.mkfifo(stick / "feed.atom")
    shutil.move(stick / "changes", tmp_path / "changes")
    (stick / "changes").symlink_to(tmp_path / "changes")
    command = Path(sysconfig.get_path("scripts")) / "flatdex"
    out = tmp_path / "out"
    with out.open("w") as opened, subprocess.Popen([command, "serve", stick, "--port", "0"], stdout=opened) as process:
        try:
            wait_for(lambda: "http://" in out.read_text(), "its address")
            url = out.read_text().split()[0]
            for path in ("", "feed.atom", "changes/"):
                answer = get(url + path)
                assert (answer.status, b"secret" in answer.body) == (404, False), path
            assert get(f"{url}apps/{APP}/").status == 200
        finally:
            process.kill()


def test_a_stick_is_held_against_its_list(stick: Path) -> None:
    command = Path(sysconfig.get_path("scripts")) / "flatdex"
    (stick / "beach.jpg").write_text("sand")
    assert run([command, "verify", stick]).returncode == 0
    blob = next(iter((stick / "blobs/sha256").iterdir()))
    blob.write_bytes(bytes(blob.stat().st_size))
    done = run([command, "verify", stick], check=False)
    assert done.returncode == 1
    assert blob.name in done.stderr


def test_a_stick_that_rots_is_told_though_another_source_has_all(
    site: Path, stick: Path, real_tmp: Path, tmp_path: Path
) -> None:
    blob = max((stick / "blobs/sha256").iterdir(), key=lambda file: file.stat().st_size)
    blob.write_bytes(bytes(blob.stat().st_size))
    with PlainHost(real_tmp, site) as host:
        done = Copy(tmp_path / "copy").mirror("--from", stick, "--from", host.url)
    assert "is damaged" in done.stderr and str(stick) in done.stderr


def test_a_stick_that_is_not_there_is_no_news_for_cron(site: Path, tmp_path: Path) -> None:
    copy = Copy(tmp_path / "copy")
    done = copy.mirror("-q", "--from", site, "--from", tmp_path / "nowhere", "--url", "http://x.example/")
    assert (done.stdout, done.stderr) == ("", "")


@pytest.mark.parametrize(
    ("args", "said"),
    [
        (["--from", "127.0.0.1:18101"], "127.0.0.1:18101"),
        (["--from", "ftp://127.0.0.1/"], "ftp"),
        (["--from", "{store}"], "did you mean"),
        (["--arch", "x86_64", "--from", "{site}"], "amd64"),
        (["--only", "org.nobody", "--from", "{site}"], "org.nobody"),
        (["--tag", "nope", "--from", "{site}"], "latest, beta"),
        (["--trusted-key", "./nowhere.pub", "--from", "{site}"], "nowhere.pub"),
    ],
)
def test_what_can_not_be_is_told_with_its_remedy(site: Path, tmp_path: Path, args: list[str], said: str) -> None:
    copy = Copy(tmp_path / "copy")
    done = copy.mirror(*(each.format(store=site.parents[1], site=site) for each in args), check=False)
    assert done.returncode in (1, 2, 3)
    assert said in done.stderr
    assert "Traceback" not in done.stderr


def test_a_command_that_says_too_little_is_told_what_is_missing(tmp_path: Path) -> None:
    command = Path(sysconfig.get_path("scripts")) / "flatdex"
    for args in (["--from", "http://127.0.0.1:9/"], [], ["--store", str(tmp_path / "store")]):
        done = run([command, "mirror", *args], check=False, cwd=tmp_path)
        assert done.returncode == 2
        assert "--from URL --store DIR" in done.stderr


def test_snapshots_that_were_lost_are_made_again_of_what_sources_have(site: Path, tmp_path: Path) -> None:
    copy = Copy(tmp_path / "copy")
    copy.mirror("--from", site)
    shutil.rmtree(copy.store / "snapshots")
    copy.root.unlink()
    copy.mirror("--from", site)
    assert copy.flatdex("verify").returncode == 0


def test_another_list_that_calls_itself_the_same_is_not_taken(evil: Path, site: Path, tmp_path: Path) -> None:
    copy = Copy(tmp_path / "copy")
    copy.mirror("--from", site)
    say(evil, lambda it: it["remote"].update(title="Taken over"))
    done = copy.mirror("--from", evil, check=False)
    assert done.returncode == 1
    assert "Taken over" not in (copy.root / "index.html").read_text()


def test_a_version_beyond_all_others_is_none(evil: Path, tmp_path: Path) -> None:
    say(evil, lambda it: it.update(version=10**40))
    refused(Copy(tmp_path / "copy"), evil)


def test_a_store_with_a_copy_of_another_remote_is_told_apart_from_an_older_version(site: Path, tmp_path: Path) -> None:
    copy = Copy(tmp_path / "copy")
    copy.mirror("--from", site)
    own = f"store: ./store\nmirror: {{from: ['{site}'], remote_id: 'urn:other'}}\n"
    done = Flatdex(copy.folder, own).run("mirror", check=False)
    assert done.returncode == 1
    assert "holds a copy of" in done.stderr and "urn:other" in done.stderr


def test_a_pattern_that_fits_nothing_is_told_in_each_run_and_what_is_usual_is_no_news(
    site: Path, tmp_path: Path
) -> None:
    copy = Copy(tmp_path / "copy")
    for _ in range(2):
        said = copy.mirror("-q", "--from", site, "--only", APP, "--only", "org.typo.*", "--no-deps").stderr
        assert said == "note: nothing in the remote fits org.typo.*\n"

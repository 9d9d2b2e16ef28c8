"""Objects from real servers and folders: each once, from the right place, and gone on with after a cut."""

from __future__ import annotations

import base64
import json
import os
import re
import signal
import socket
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from builder import oci
from builder.config import Access
from builder.errors import FlatdexError
from builder.sources.transport import Patience
from builder.store import Store
from sync.mirror.fetch import Fetched, fetch
from sync.mirror.model import Bearer, Source, Wanted
from sync.mirror.pool import Pool
from tests.builder.helpers import Answer, Blobs, flatpak_labels
from tests.mirror.hosts import hangs, raw
from tests.mirror.objects import Thing, bearer, folder_bearer, lay_out, named, things
from tests.real.apache import Apache
from tests.real.files import readable_folder
from tests.real.nginx import Nginx
from tests.real.process import free_port, located, run, unavailable
from tests.real.registry import DockerRegistry
from tests.real.tokens import Authority, Heard, Signer, listening

PATIENCE = Patience(connect=2, read=2, whole=0, retries=3)
NOBODY = {"HOME": "/nonexistent"}


@pytest.fixture
def pool(tmp_path: Path) -> Pool:
    return Pool(Store(tmp_path / "store"))


def fetched(some: list[Thing], bearers: list[Bearer], pool: Pool, parallel: int = 4) -> Fetched:
    """What comes of it."""
    return fetch([each.wanted for each in some], bearers, pool, parallel=parallel, patience=PATIENCE)


def all_there(pool: Pool, some: list[Thing]) -> bool:
    """Whether these, and no others, are in the pool."""
    return named(pool.folder) == {thing.sha256: thing.data for thing in some}


@pytest.fixture
def nginx(real_tmp: Path) -> Iterator[Nginx]:
    (real_tmp / "site").mkdir()
    with Nginx(real_tmp / "nginx", real_tmp / "site") as server:
        yield server


def answers(server: Nginx) -> list[tuple[str, int]]:
    """The path and the status of each answered request."""
    fields = (line.split('"') for line in server.access_log())
    return [(parts[1].split()[1].lstrip("/"), int(parts[2].split()[0])) for parts in fields]


# From web servers


def test_all_objects_come_once_and_are_not_asked_for_again(nginx: Nginx, pool: Pool) -> None:
    some = things(40, 30_000)
    lay_out(nginx.root, some)
    steps: list[tuple[int, int, int, int]] = []
    site = bearer(nginx.url, some)
    wanted = [thing.wanted for thing in (*some, *some)]
    found = fetch(wanted, [site], pool, parallel=4, progress=lambda *step: steps.append(step))
    size = sum(len(thing.data) for thing in some)
    assert found == Fetched({}, {}, {site.source: (40, size)})
    assert all_there(pool, some)
    assert steps[-1] == (40, 40, size, size)
    assert fetched(some, [site], pool) == Fetched()
    assert sorted(answers(nginx)) == sorted((thing.sha256, 200) for thing in some)


def test_apache_gives_the_rest_of_what_was_begun(real_tmp: Path, pool: Pool) -> None:
    [one] = things(1, 500_000)
    lay_out(real_tmp / "site", [one])
    pool.part(one.sha256).write_bytes(one.data[:400_000])
    with Apache(real_tmp / "apache", real_tmp / "site") as server:
        found = fetched([one], [bearer(server.url, [one])], pool)
        [line] = server.access_log(at_least=1)
    assert (line.status, line.bytes) == (206, len(one.data) - 400_000)
    assert [*found.taken.values()] == [(1, len(one.data) - 400_000)]
    assert all_there(pool, [one])


def test_what_is_whole_already_is_not_asked_for(nginx: Nginx, pool: Pool) -> None:
    [one, unsized] = things(2, 50_000)
    lay_out(nginx.root, [one, unsized])
    for thing in (one, unsized):
        pool.part(thing.sha256).write_bytes(thing.data)
    found = fetch([one.wanted, unsized.unsized], [bearer(nginx.url, [one, unsized])], pool, patience=PATIENCE)
    assert found == Fetched()
    assert all_there(pool, [one, unsized])
    assert answers(nginx) == []


@pytest.mark.parametrize("extra", [0, 1, 100_000])
def test_bad_beginnings_are_thrown_away_and_are_no_source_s_fault(nginx: Nginx, pool: Pool, extra: int) -> None:
    """Of the right length, or more: the server answers 416, or goes on with what does not fit."""
    some = things(4, 50_000)
    lay_out(nginx.root, some)
    for thing in some:
        pool.part(thing.sha256).write_bytes(bytes(len(thing.data) - 1 + extra))
    found = fetched(some, [bearer(nginx.url, some)], pool)
    assert (found.missing, found.dropped) == ({}, {})
    assert all_there(pool, some)


def test_what_one_source_lacks_is_got_from_the_next_and_neither_is_dropped(real_tmp: Path, pool: Pool) -> None:
    some = things(10)
    lay_out(real_tmp / "a", some[:3])
    lay_out(real_tmp / "b", some[1:])
    with Nginx(real_tmp / "nginx-a", real_tmp / "a") as first, Nginx(real_tmp / "nginx-b", real_tmp / "b") as second:
        bearers = [bearer(first.url, some), bearer(second.url, some)]
        found = fetched(some, bearers, pool)
    assert (found.missing, found.dropped) == ({}, {})
    assert [number for number, _ in found.taken.values()] == [3, 7] or first.url > second.url
    assert found.taken[bearers[0].source][0] == 3
    assert all_there(pool, some)


def test_only_those_are_asked_that_hold_it(real_tmp: Path, nginx: Nginx, pool: Pool) -> None:
    [one, other] = things(2)
    lay_out(nginx.root, [one, other])
    with raw(hangs) as url:
        found = fetched([one, other], [bearer(url, []), bearer(nginx.url, [one])], pool)
    assert found.missing == {other.wanted: "no source has it"}
    assert found.dropped == {}
    assert set(named(pool.folder)) == {one.sha256}


def test_what_nobody_has_is_told_with_the_last_reason(nginx: Nginx, pool: Pool) -> None:
    [one] = things(1)
    found = fetched([one], [bearer(nginx.url, [one])], pool)
    [why] = found.missing.values()
    assert why == f"GET {nginx.url}{one.sha256}: answered 404 Not Found"
    assert named(pool.folder) == {}


def test_objects_of_another_size_than_is_said_are_refused(nginx: Nginx, pool: Pool) -> None:
    some = things(2)
    lay_out(nginx.root, some)
    wrong = [Wanted(some[0].sha256, len(some[0].data) - 1), Wanted(some[1].sha256, len(some[1].data) + 1)]
    found = fetch(wrong, [bearer(nginx.url, some)], pool, patience=PATIENCE)
    assert set(found.missing) == set(wrong)
    assert all("bytes, not " in why for why in found.missing.values())
    assert named(pool.folder) == {}


def test_what_is_here_with_another_size_than_is_said_is_told(pool: Pool) -> None:
    [one] = things(1)
    pool.part(one.sha256)
    (pool.folder / one.sha256).write_bytes(one.data)
    found = fetch([one.wanted, Wanted(one.sha256, 7)], [], pool)
    why = f"sha256:{one.sha256} has 2000 bytes, not the 7 that are said of it"
    assert found.missing == {Wanted(one.sha256, 7): why}


def test_a_source_that_refuses_is_dropped_at_once(nginx: Nginx, pool: Pool) -> None:
    some = things(20)
    lay_out(nginx.root, some)
    gone = bearer(f"http://127.0.0.1:{free_port()}/", some)
    started = time.monotonic()
    found = fetched(some, [gone, bearer(nginx.url, some)], pool)
    assert time.monotonic() - started < 2
    assert found.missing == {}
    [(source, why)] = found.dropped.items()
    assert source == gone.source
    assert "connection refused" in why


def test_a_host_that_is_not_known_is_dropped(nginx: Nginx, pool: Pool) -> None:
    [one] = things(1)
    lay_out(nginx.root, [one])
    found = fetched([one], [bearer("http://nowhere.invalid/", [one]), bearer(nginx.url, [one])], pool)
    [why] = found.dropped.values()
    assert "could not be looked up" in why or "no such host" in why
    assert all_there(pool, [one])


def test_a_certificate_that_nobody_vouches_for_drops_the_source(real_tmp: Path, nginx: Nginx, pool: Pool) -> None:
    [one] = things(1)
    lay_out(nginx.root, [one])
    with listening(lambda heard: Answer(one.data), Authority(real_tmp / "ca").issue("server")) as server:
        found = fetched([one], [bearer(f"{server.url}/", [one]), bearer(nginx.url, [one])], pool)
        assert server.heard == []
    [why] = found.dropped.values()
    assert "the TLS certificate is not trusted" in why
    assert all_there(pool, [one])


def test_more_beginnings_than_a_source_has_left_are_kept_for_the_next_run(nginx: Nginx, pool: Pool) -> None:
    """A part stays where no source could go on with it."""
    [one] = things(1)
    pool.part(one.sha256).write_bytes(one.data[:1000])
    assert fetched([one], [bearer(nginx.url, [one])], pool).missing
    assert named(pool.folder) == {f"{one.sha256}.part": one.data[:1000]}


# From registries


@pytest.fixture(scope="module")
def image() -> Blobs:
    """An image with a layer of some size."""
    blobs = Blobs()
    blobs.image(flatpak_labels())
    return blobs


@pytest.fixture(scope="module")
def filled(image: Blobs) -> Iterator[Path]:
    """The folder of a registry that has it in `team/app`."""
    with readable_folder() as folder:
        manifest = next(data for data in image.data.values() if b'"layers"' in data)
        descriptor = {"mediaType": oci.MANIFEST, "digest": oci.digest_of(manifest), "size": len(manifest)}
        with DockerRegistry(folder / "registry") as server:
            server.copy(image.layout(folder / "layout", descriptor), "team/app:latest")
        yield folder / "registry"


def wanted_of(digest: str, data: bytes) -> Wanted:
    """A manifest's size is told by nobody."""
    is_manifest = b'"layers"' in data
    return Wanted(digest.removeprefix("sha256:"), None if is_manifest else len(data), "team/app", is_manifest)


def parts_of(image: Blobs) -> list[Wanted]:
    """Its manifest, its config and its layers, as an index makes them wanted."""
    return [wanted_of(digest, data) for digest, data in image.data.items()]


def test_images_come_from_a_registry(image: Blobs, filled: Path, pool: Pool) -> None:
    with DockerRegistry(filled, access_log=True) as server:
        site = Bearer(Source("http://127.0.0.1:1/"), {}, server.url)
        found = fetch(parts_of(image), [site], pool, environment=NOBODY, patience=PATIENCE)
        assert (found.missing, found.dropped) == ({}, {})
        assert server.log().count("/manifests/sha256:") == 1
    assert {f"sha256:{name}": data for name, data in named(pool.folder).items()} == image.data


@pytest.mark.parametrize("login", [True, False])
def test_a_registry_that_wants_tokens_gets_them(
    image: Blobs, filled: Path, real_tmp: Path, pool: Pool, login: bool
) -> None:
    signer = Signer(Authority(real_tmp / "signer"))
    with listening(signer.ear("robot", "secret")) as service:
        token = {"realm": f"{service.url}/token", "service": signer.service, "issuer": signer.issuer}
        token["rootcertbundle"] = str(signer.authority.certificate)
        with DockerRegistry(filled, auth={"token": token}) as server:
            file = real_tmp / "logins.json"
            code = base64.b64encode(b"robot:secret").decode()
            file.write_text(json.dumps({"auths": {server.host: {"auth": code}} if login else {}}))
            found = fetch(
                parts_of(image),
                [Bearer(Source("http://127.0.0.1:1/"), {}, server.url)],
                pool,
                access=Access(auth_realms=(service.url,)),
                environment={**NOBODY, "REGISTRY_AUTH_FILE": str(file)},
                patience=PATIENCE,
            )
    assert found.dropped == {}
    if login:
        assert found.missing == {}
        assert {f"sha256:{name}": data for name, data in named(pool.folder).items()} == image.data
    else:
        assert len(found.missing) == len(image.data)
        assert all("answered 401" in why for why in found.missing.values())


def test_a_login_stays_with_its_registry_when_it_redirects(real_tmp: Path, pool: Pool) -> None:
    [one] = things(1)
    with listening(lambda heard: Answer(one.data)) as store:

        def registry(heard: Heard) -> Answer:
            if not heard.authorization:
                return Answer(status=401, headers={"WWW-Authenticate": 'Basic realm="private"'})
            return Answer(status=307, headers={"Location": f"{store.url}/blob?signature=x"})

        with listening(registry) as server:
            file = real_tmp / "logins.json"
            code = base64.b64encode(b"robot:secret").decode()
            file.write_text(json.dumps({"auths": {server.host: {"auth": code}, store.host: {"auth": code}}}))
            wanted = [Wanted(one.sha256, len(one.data), "team/app")]
            site = Bearer(Source("http://127.0.0.1:1/"), {}, server.url)
            environment = {**NOBODY, "REGISTRY_AUTH_FILE": str(file)}
            found = fetch(wanted, [site], pool, environment=environment, patience=PATIENCE)
            assert [heard.authorization for heard in server.heard] == ["", f"Basic {code}"]
        assert [heard.authorization for heard in store.heard] == [""]
    assert found.missing == {}
    assert all_there(pool, [one])


# From folders


def test_objects_come_from_folders_first_to_last(tmp_path: Path, nginx: Nginx, pool: Pool) -> None:
    some = things(6, 2_000_000)
    lay_out(tmp_path / "stick", some[:4])
    lay_out(nginx.root, some)
    pool.part(some[0].sha256).write_bytes(some[0].data[:1_500_000])
    pool.part(some[1].sha256).write_bytes(bytes(1_500_000))
    bearers = [folder_bearer(tmp_path / "stick", some[:4]), bearer(nginx.url, some)]
    found = fetched(some, bearers, pool)
    assert (found.missing, found.dropped) == ({}, {})
    assert {number for number, _ in found.taken.values()} == {4, 2}
    assert found.taken[bearers[1].source][0] == 2
    assert all_there(pool, some)
    assert {(pool.folder / thing.sha256).stat().st_nlink for thing in some} == {1}


def test_a_stick_has_images_where_fat_allows_them_on_disk_and_served(tmp_path: Path, nginx: Nginx, pool: Pool) -> None:
    [one, other] = things(2)
    for root, thing in ((tmp_path / "stick", one), (nginx.root, other)):
        lay_out(root, [])
        lay_out(root / "blobs", [])
        lay_out(root / "blobs" / "sha256", [thing])
    path = "v2/app/blobs/sha256:{}"
    served = Bearer(Source(nginx.url), {other.sha256: path.format(other.sha256)})
    found = fetched([one, other], [folder_bearer(tmp_path / "stick", [one], path), served], pool)
    assert found.missing == {}
    assert all_there(pool, [one, other])


def test_a_folder_that_is_gone_is_dropped_and_the_others_go_on(tmp_path: Path, nginx: Nginx, pool: Pool) -> None:
    some = things(8)
    lay_out(nginx.root, some)
    (tmp_path / "stick").mkdir()  # where it was mounted
    found = fetched(some, [folder_bearer(tmp_path / "stick", some), bearer(nginx.url, some)], pool, 1)
    [why] = found.dropped.values()
    assert "was it pulled out" in why
    assert all_there(pool, some)


def test_a_stick_that_is_pulled_out_in_the_middle_leaves_the_rest_to_others(
    tmp_path: Path, nginx: Nginx, pool: Pool
) -> None:
    some = things(8)
    lay_out(nginx.root, some)
    lay_out(tmp_path / "stick", some)

    looks: list[str] = []

    class Pulled(dict[str, str]):
        """What it holds, up to the moment when the fourth file is looked for."""

        def __getitem__(self, sha256: str) -> str:
            looks.append(sha256)
            if len(looks) == 4:
                (tmp_path / "stick").rename(tmp_path / "pocket")
            return super().__getitem__(sha256)

    stick = Bearer(Source(f"{(tmp_path / 'stick').as_uri()}/"), Pulled({each.sha256: each.sha256 for each in some}))
    found = fetched(some, [stick, bearer(nginx.url, some)], pool, 1)
    assert found.missing == {}
    assert sorted(number for number, _ in found.taken.values()) == [3, 5]
    assert set(found.dropped) == {stick.source}
    assert all_there(pool, some)


def test_a_file_that_is_not_on_a_stick_drops_nobody(tmp_path: Path, pool: Pool) -> None:
    [one, other] = things(2)
    lay_out(tmp_path / "stick", [one])
    found = fetched([one, other], [folder_bearer(tmp_path / "stick", [one, other])], pool)
    assert found.dropped == {}
    assert [*found.missing.values()] == [f"{tmp_path}/stick/{other.sha256} is not there"]


def test_a_file_of_another_size_is_not_even_read(tmp_path: Path, pool: Pool) -> None:
    [one] = things(1)
    lay_out(tmp_path / "stick", [one])
    found = fetch([Wanted(one.sha256, 1999)], [folder_bearer(tmp_path / "stick", [one])], pool)
    assert [*found.missing.values()] == [f"{tmp_path}/stick/{one.sha256} has 2000 bytes, not 1999"]
    assert found.taken == {}


def test_a_disk_that_fails_drops_the_folder(tmp_path: Path, nginx: Nginx, pool: Pool) -> None:
    """The memory of a process has nothing at its beginning, and says so as a broken disk does."""
    [one] = things(1)
    lay_out(nginx.root, [one])
    lay_out(tmp_path / "stick", [])
    (tmp_path / "stick" / one.sha256).symlink_to("/proc/self/mem")
    bearers = [folder_bearer(tmp_path / "stick", [one]), bearer(nginx.url, [one])]
    found = fetch([one.unsized], bearers, pool, patience=PATIENCE)
    [why] = found.dropped.values()
    assert "cannot be read: Input/output error" in why
    assert all_there(pool, [one])


def test_traps_in_a_folder_are_walked_round(tmp_path: Path, pool: Pool, monkeypatch: pytest.MonkeyPatch) -> None:
    [pipe, plug, device, folder, outside] = things(5)
    lay_out(tmp_path / "stick", [])
    os.mkfifo(tmp_path / "stick" / pipe.sha256)
    monkeypatch.chdir(tmp_path / "stick")  # a socket's path has to be short
    (tmp_path / "stick" / device.sha256).symlink_to("/dev/zero")
    with socket.socket(socket.AF_UNIX) as plugged:
        plugged.bind(plug.sha256)
    (tmp_path / "stick" / folder.sha256).mkdir()
    (tmp_path / outside.sha256).write_bytes(outside.data)
    some = [pipe, plug, device, folder, outside]
    holds = {each.sha256: each.sha256 for each in some} | {outside.sha256: f"../{outside.sha256}"}
    found = fetched(some, [Bearer(Source(f"{(tmp_path / 'stick').as_uri()}/"), holds)], pool)
    assert found.dropped == {}
    assert set(found.missing) == {each.wanted for each in some}
    assert sum("not a plain file" in why for why in found.missing.values()) == 3
    assert named(pool.folder) == {}


def test_bad_copies_on_a_stick_count_as_from_anybody(tmp_path: Path, nginx: Nginx, pool: Pool) -> None:
    some = things(5)
    lay_out(nginx.root, some)
    lay_out(tmp_path / "stick", [])
    for thing in some:
        (tmp_path / "stick" / thing.sha256).write_bytes(bytes(len(thing.data)))
    stick = folder_bearer(tmp_path / "stick", some)
    found = fetched(some, [stick, bearer(nginx.url, some)], pool, 1)
    assert found.missing == {}
    [why] = found.dropped.values()
    assert why.startswith("gave other bytes than were wanted for the third time: sha256:")
    assert found.taken[stick.source] == (0, 3 * 2000 + 2 + 3 + 4)  # the largest first
    assert all_there(pool, some)


# Room


def test_room_is_checked_before_the_first_byte(nginx: Nginx, pool: Pool) -> None:
    some = things(2)
    lay_out(nginx.root, some)
    huge = Wanted("0" * 64, 10**17)
    with pytest.raises(FlatdexError, match=r"100000 TB are still to be fetched, .*\n  Make room for 100000 TB more"):
        fetch([huge, some[0].wanted], [bearer(nginx.url, some)], pool)
    assert answers(nginx) == []


_FULL = """\
import sys
from pathlib import Path
from unittest.mock import patch
from builder.errors import FlatdexError
from builder.store import Store
from sync.mirror.fetch import fetch
from sync.mirror.model import Bearer, Source, Wanted
from sync.mirror.pool import Pool
url, store, *some = sys.argv[1:]
wanted = [Wanted(sha256, int(size) or None) for sha256, size in (each.split(":") for each in some)]
pool = Pool(Store(Path(store)))
try:
    with patch("sync.mirror.room.check"):  # somebody else fills the disk when it was looked at
        fetch(wanted, [Bearer(Source(url), {each.sha256: each.sha256 for each in wanted})], pool, parallel=1)
except FlatdexError as error:
    print(error)
    for file in sorted(pool.folder.iterdir()):
        print(file.name, file.stat().st_size)
"""


@pytest.mark.parametrize(
    ("is_known", "told"),
    [
        (True, r"\d+ kB are still to be fetched, but .* has room for only 0 B\n  Make room for \d+ kB more"),
        (False, r"there is no room for more in .*\n  Make room there"),
    ],
)
def test_a_full_disk_says_so_and_loses_nothing(nginx: Nginx, real_tmp: Path, is_known: bool, told: str) -> None:
    """In a file system of one megabyte, of a mount namespace of its own."""
    some = things(2, 700_000)
    lay_out(nginx.root, some)
    words = [located("unshare"), "--mount", *([] if os.geteuid() == 0 else ["--map-root-user"])]
    if run([*words, "mount", "-t", "tmpfs", "none", real_tmp], check=False).returncode:
        unavailable("no file system may be mounted here")
    (real_tmp / "store").mkdir()
    script = f'mount -t tmpfs -o size=1m none {real_tmp}/store && exec "$0" "$@"'
    wanted = [f"{thing.sha256}:{len(thing.data) if is_known else 0}" for thing in some]
    python = [sys.executable, "-c", _FULL, nginx.url, str(real_tmp / "store"), *wanted]
    said = run([*words, "sh", "-c", script, *python], cwd=Path(__file__).parents[2]).stdout
    assert re.match(told, said), said
    assert "What was fetched so far is kept" in said
    sizes = {line.split()[0]: int(line.split()[1]) for line in said.splitlines()[2:]}
    assert set(sizes) == {f"{thing.sha256}.part" for thing in some}
    assert max(sizes.values()) >= 700_000
    assert min(sizes.values()) > 200_000


# Ends


def test_ctrl_c_ends_it_soon(pool: Pool) -> None:
    some = things(4)
    with raw(hangs) as url:
        timer = threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT))
        timer.start()
        started = time.monotonic()
        with pytest.raises(KeyboardInterrupt):
            fetch([each.wanted for each in some], [bearer(url, some)], pool, parallel=4)
        assert time.monotonic() - started < 2.5


def test_nothing_is_asked_where_all_is_there(pool: Pool) -> None:
    assert fetch([], [bearer("http://127.0.0.1:1/", [])], pool) == Fetched()

"""Packs: whatever becomes of their bytes, a blob comes out whole or not at all, and the next build can go on."""

from __future__ import annotations

import errno
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest

from builder import oci
from builder.sources import packs as module
from builder.sources.packs import Packs

BLOBS = [b"first blob", b"", b"the second one " * 50, b"third"]
MONTH = 31 * 86400


@contextmanager
def opened(folder: Path) -> Iterator[Packs]:
    """Packs, closed afterwards."""
    with closing(Packs(folder)) as packs:
        yield packs


def fill(folder: Path, *blobs: bytes) -> list[str]:
    """Keeps blobs in one more pack; their digests."""
    with opened(folder) as packs:
        return [packs.keep(blob) for blob in blobs]


def found(folder: Path, *blobs: bytes) -> list[bool]:
    """Which blobs are there; what is there must be whole."""
    with opened(folder) as packs:
        got = [packs.get(oci.digest_of(blob)) for blob in blobs]
    assert all(data in (None, blob) for data, blob in zip(got, blobs, strict=True))
    return [data is not None for data in got]


def pack_files(folder: Path) -> list[Path]:
    """The packs, the oldest first."""
    return sorted(folder.glob("*.pack"))


def test_what_is_kept_is_there_at_once_and_later(tmp_path: Path) -> None:
    with opened(tmp_path / "a" / "b") as packs:
        digests = [packs.keep(blob) for blob in BLOBS]
        assert digests == list(map(oci.digest_of, BLOBS))
        assert [packs.get(digest) for digest in digests] == BLOBS
        assert packs.was_used(digests[0]) and packs.get(oci.digest_of(b"another")) is None
    with opened(tmp_path / "a" / "b") as packs:
        assert not packs.was_used(digests[0])
        assert [packs.get(digest) for digest in digests] == BLOBS
        assert packs.was_used(digests[0])


def test_a_build_that_keeps_nothing_writes_nothing(tmp_path: Path) -> None:
    fill(tmp_path / "blobs")
    assert not (tmp_path / "blobs").exists()
    digest = fill(tmp_path, b"x")[0]
    with opened(tmp_path) as packs:
        packs.get(digest)
        packs.keep(b"x")
    assert len(pack_files(tmp_path)) == 1


def test_a_pack_that_is_cut_off_anywhere_gives_the_whole_blobs_before_that(tmp_path: Path) -> None:
    fill(tmp_path, *BLOBS)
    (file,) = pack_files(tmp_path)
    data = file.read_bytes()
    ends = [sum(48 + len(blob) for blob in BLOBS[: number + 1]) for number in range(len(BLOBS))]
    assert ends[-1] == len(data)
    for length in range(len(data)):
        file.write_bytes(data[:length])
        assert found(tmp_path, *BLOBS) == [end <= length for end in ends], length


def test_after_a_cut_the_next_build_keeps_what_is_missing(tmp_path: Path) -> None:
    fill(tmp_path, *BLOBS)
    (file,) = pack_files(tmp_path)
    os.truncate(file, file.stat().st_size - 1)
    with opened(tmp_path) as packs:
        assert packs.get(packs.keep(BLOBS[-1])) == BLOBS[-1]
    assert all(found(tmp_path, *BLOBS))


def test_a_flipped_byte_never_gives_a_wrong_blob_and_costs_at_most_what_follows(tmp_path: Path) -> None:
    fill(tmp_path, *BLOBS)
    (file,) = pack_files(tmp_path)
    data = file.read_bytes()
    for place in range(len(data)):
        for flip in (0x01, 0x80, 0xFF):
            file.write_bytes(data[:place] + bytes([data[place] ^ flip]) + data[place + 1 :])
            there = found(tmp_path, *BLOBS)
            before = 0
            for blob, is_there in zip(BLOBS, there, strict=True):
                before += 48 + len(blob)
                assert is_there or before > place


def test_a_damaged_blob_is_replaced_by_what_is_kept_later(tmp_path: Path) -> None:
    digest = fill(tmp_path, b"blob")[0]
    (file,) = pack_files(tmp_path)
    file.write_bytes(file.read_bytes()[:-1] + b"X")
    with opened(tmp_path) as packs:
        assert packs.get(digest) is None
        packs.keep(b"blob")
        assert packs.get(digest) == b"blob"
    assert found(tmp_path, b"blob") == [True]


def test_garbage_of_all_kinds_is_no_pack(tmp_path: Path) -> None:
    (tmp_path / "a.pack").mkdir()
    os.mkfifo(tmp_path / "b.pack")
    (tmp_path / "c.pack").symlink_to("/dev/zero")
    (tmp_path / "d.pack").symlink_to("nowhere")
    (tmp_path / "e.pack").write_bytes(b"")
    (tmp_path / "f.pack").write_bytes(b"\xff" * 1000)
    (tmp_path / "g.pack").write_bytes(b"\0" * 1000)
    (tmp_path / "h.pack").write_bytes(os.urandom(100_000))
    fill(tmp_path, b"blob")
    assert found(tmp_path, b"blob") == [True]


def test_more_packs_than_a_process_may_open_do_no_harm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_MOST_OPEN", 20)
    for number in range(30):
        fill(tmp_path, b"%d" % number)
    with opened(tmp_path) as packs:
        assert packs.get(oci.digest_of(b"29")) == b"29"
        assert packs.get(oci.digest_of(b"0")) is None
        packs.tidy()
    assert len(pack_files(tmp_path)) == 11
    assert all(found(tmp_path, *(b"%d" % number for number in range(30))))


@pytest.mark.parametrize("place", ["file", "below a file"])
def test_a_file_in_place_of_the_folder_is_no_error(tmp_path: Path, place: str) -> None:
    (tmp_path / "file").write_text("text")
    folder = tmp_path / "file" if place == "file" else tmp_path / "file" / "blobs"
    with opened(folder) as packs:
        assert packs.get(packs.keep(b"blob")) is None
        packs.tidy()
    assert (tmp_path / "file").read_text() == "text"


@pytest.mark.parametrize("room", [0, 1, 47, 48, 52, 60])
def test_a_full_disk_leaves_no_half_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, room: int) -> None:
    real = os.pwrite

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        if not room:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data[:room], offset)

    with opened(tmp_path) as packs:
        packs.keep(b"before")
        monkeypatch.setattr(os, "pwrite", pwrite)
        lost = packs.keep(b"a blob that finds no room")
        assert packs.get(lost) is None
        monkeypatch.undo()
        assert packs.get(packs.keep(b"after")) == b"after"
        assert packs.get(packs.keep(b"a blob that finds no room"))
    assert all(found(tmp_path, b"before", b"after", b"a blob that finds no room"))


def test_a_folder_where_nothing_may_be_written_still_gives_what_it_has(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(module._MOST_PACKS + 1):
        fill(tmp_path, b"%d" % number)
    real = os.open

    def read_only(path: str, flags: int, mode: int = 0o777) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT):
            raise OSError(errno.EROFS, "Read-only file system")
        return real(path, flags, mode)

    before = {file: file.read_bytes() for file in pack_files(tmp_path)}
    with opened(tmp_path) as packs:
        assert packs.get(oci.digest_of(b"0")) == b"0"
        monkeypatch.setattr(os, "open", read_only)
        assert packs.get(packs.keep(b"new")) is None
        packs.tidy()
        monkeypatch.undo()
    assert {file: file.read_bytes() for file in pack_files(tmp_path)} == before


def test_threads_keep_and_get_at_once(tmp_path: Path) -> None:
    wrong: list[str] = []

    def work(packs: Packs, number: int) -> None:
        for each in range(50):
            own, shared = b"%d %d" % (number, each), b"shared %d" % each
            for blob in (own, shared):
                if packs.get(packs.keep(blob)) != blob:
                    wrong.append(blob.decode())

    with opened(tmp_path) as one, opened(tmp_path) as other:
        threads = [threading.Thread(target=work, args=((one, other)[number % 2], number)) for number in range(8)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not wrong
    assert len(pack_files(tmp_path)) == 2
    blobs = [b"%d %d" % (number, each) for number in range(8) for each in range(50)]
    assert all(found(tmp_path, *blobs, *(b"shared %d" % each for each in range(50))))


WRITER = """\
import sys, pathlib
from builder.sources.packs import Packs
for turn in range(10):
    packs = Packs(pathlib.Path(sys.argv[1]))
    for each in range(20):
        data = f"{sys.argv[2]} {turn} {each} ".encode() * 20
        assert packs.get(packs.keep(data)) == data
    packs.tidy()
    packs.close()
"""


def test_processes_write_packs_at_once_and_tidy_them(tmp_path: Path) -> None:
    writers = [subprocess.Popen([sys.executable, "-c", WRITER, tmp_path, str(number)]) for number in range(3)]
    assert [writer.wait(60) for writer in writers] == [0, 0, 0]
    newest = [b"%d 9 %d " % (number, each) * 20 for number in range(3) for each in range(20)]
    there = found(tmp_path, *newest)
    assert sum(there) >= 20, "the last one to end can have lost nothing to the others"
    with opened(tmp_path) as packs:
        for blob in newest:
            assert packs.get(packs.keep(blob)) == blob


def test_a_record_that_shrinks_while_it_is_read_is_none(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    fill(tmp_path, *BLOBS)
    real = os.pread
    calls: list[int] = []

    def pread(descriptor: int, size: int, offset: int) -> bytes:
        calls.append(offset)
        return real(descriptor, size, offset)[: 10 if len(calls) == 2 else None]

    monkeypatch.setattr(os, "pread", pread)
    with opened(tmp_path) as packs:
        assert packs.get(oci.digest_of(BLOBS[0])) == BLOBS[0]
        assert packs.get(oci.digest_of(BLOBS[2])) is None


def test_nothing_is_kept_once_all_is_closed(tmp_path: Path) -> None:
    packs = Packs(tmp_path)
    packs.keep(b"one")
    packs.close()
    with (tmp_path / "other").open("w+b") as other:  # gets the descriptor that the pack had
        packs.keep(b"two")
        assert packs.get(oci.digest_of(b"two")) is None
        assert other.read() == b""
    packs.close()


# Tidying


def test_up_to_16_packs_stay_as_they_are(tmp_path: Path) -> None:
    for number in range(module._MOST_PACKS):
        fill(tmp_path, b"%d" % number)
    before = pack_files(tmp_path)
    with opened(tmp_path) as packs:
        packs.tidy()
    assert pack_files(tmp_path) == before and len(before) == 16


def test_more_than_16_packs_become_one_that_has_all(tmp_path: Path) -> None:
    blobs = [b"%d" % number for number in range(module._MOST_PACKS)]
    for blob in blobs:
        fill(tmp_path, blob)
    with opened(tmp_path) as packs:
        packs.keep(b"new")
        assert packs.get(oci.digest_of(blobs[0])) == blobs[0]
        packs.tidy()
        assert packs.get(oci.digest_of(blobs[1])) == blobs[1]
    assert len(pack_files(tmp_path)) == 1
    assert all(found(tmp_path, b"new", *blobs))


def test_what_was_unused_for_30_days_is_dropped_and_what_was_used_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = time.time
    monkeypatch.setattr(time, "time", lambda: real() - MONTH)
    fill(tmp_path, b"old", b"old but used")
    monkeypatch.setattr(time, "time", lambda: real() - MONTH + 2 * 86400)
    for number in range(module._MOST_PACKS):
        fill(tmp_path, b"%d" % number)
    monkeypatch.undo()
    with opened(tmp_path) as packs:
        assert packs.get(oci.digest_of(b"old but used"))
        packs.tidy()
    assert len(pack_files(tmp_path)) == 1
    assert found(tmp_path, b"old", b"old but used", b"0", b"15") == [False, True, True, True]
    monkeypatch.setattr(time, "time", lambda: real() + 2 * 86400)
    for number in range(module._MOST_PACKS):
        fill(tmp_path, b"more %d" % number)
    with opened(tmp_path) as packs:
        packs.tidy()
    assert found(tmp_path, b"old but used", b"0", b"more 0") == [True, False, True], "the time of last use counts"


def test_a_disk_that_is_full_while_packs_are_made_one_loses_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    blobs = [b"%d" % number for number in range(module._MOST_PACKS + 1)]
    for blob in blobs:
        fill(tmp_path, blob)
    real = os.pwrite
    left = [8]

    def pwrite(descriptor: int, data: bytes, offset: int) -> int:
        left[0] -= 1
        if left[0] < 0:
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(descriptor, data, offset)

    with opened(tmp_path) as packs:
        for blob in blobs:
            assert packs.get(oci.digest_of(blob)) == blob
        monkeypatch.setattr(os, "pwrite", pwrite)
        packs.tidy()
        monkeypatch.undo()
    assert all(found(tmp_path, *blobs))


def test_damaged_packs_become_one_too(tmp_path: Path) -> None:
    for number in range(module._MOST_PACKS + 4):
        fill(tmp_path, b"blob %d" % number)
    cut, flipped, *_ = pack_files(tmp_path)
    os.truncate(cut, 50)
    flipped.write_bytes(flipped.read_bytes()[:-1] + b"?")
    with opened(tmp_path) as packs:
        packs.get(oci.digest_of(b"blob 5"))
        packs.tidy()
    assert len(pack_files(tmp_path)) == 1
    assert found(tmp_path, b"blob 0", b"blob 1", b"blob 2", b"blob 19") == [False, False, True, True]

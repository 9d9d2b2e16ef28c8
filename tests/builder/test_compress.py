"""gzip in segments: one ordinary member, the same bytes with any cache, and nothing that is compressed twice."""

from __future__ import annotations

import gzip
import random
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder import compress
from builder.compress import Segments
from builder.content import InMemory, Joined
from builder.sources.cache import Cache


def entries(seed: int = 1, number: int = 60) -> list[bytes]:
    """Parts as an index has them: some 8 KiB each, of words that come again."""
    words = random.Random(seed)
    return [
        " ".join(words.choices(["static", "remote", "index", str(part)], k=1200)).encode() for part in range(number)
    ]


@pytest.fixture
def deflated(monkeypatch: pytest.MonkeyPatch) -> list[bytes]:
    """The segments that were really compressed."""
    done: list[bytes] = []
    real = compress._deflate

    def noting(segment: bytes, window: bytes) -> bytes:
        done.append(segment)
        return real(segment, window)

    monkeypatch.setattr(compress, "_deflate", noting)
    return done


def packed(folder: Path, parts: list[bytes]) -> bytes:
    """Compressed with a cache, which then knows the segments."""
    with Cache(folder) as cache:
        segments = Segments(cache)
        data = segments.gzip(parts)
        segments.keep()
    return data


@given(st.lists(st.binary(max_size=50_000), max_size=6))
def test_it_is_the_gzip_of_the_parts(parts: list[bytes]) -> None:
    assert gzip.decompress(Segments().gzip(parts)) == b"".join(parts)


def test_many_segments_are_one_member_and_hardly_larger_than_in_one_go(deflated: list[bytes]) -> None:
    data = Segments().gzip(entries())
    assert gzip.decompress(data) == b"".join(entries()) and len(deflated) > 5
    assert len(data) < 1.05 * len(gzip.compress(b"".join(entries()), 6))


def test_what_was_compressed_before_is_not_compressed_again(tmp_path: Path, deflated: list[bytes]) -> None:
    first = packed(tmp_path, entries())
    deflated.clear()
    for _ in range(2):  # what a build took from the cache, the next one finds there, too
        assert packed(tmp_path, entries()) == first and deflated == []


def test_a_segment_is_compressed_by_what_stands_before_it(deflated: list[bytes]) -> None:
    noise = random.Random(1).randbytes(20_000)
    parts = [noise + str(part).encode() for part in range(40)]
    assert len(Segments().gzip(parts)) < 2 * len(noise) and len(deflated) > 5


def test_a_change_costs_the_segments_beside_it_and_gives_the_bytes_of_a_cold_cache(
    tmp_path: Path, deflated: list[bytes]
) -> None:
    packed(tmp_path / "warm", entries())
    changed = entries()
    changed[30] = changed[30].replace(b"remote", b"mirror")
    whole = len(deflated)
    deflated.clear()
    warm = packed(tmp_path / "warm", changed)
    assert 1 <= len(deflated) <= 4 < whole
    assert warm == packed(tmp_path / "cold", changed) == Segments().gzip(changed)


def test_another_zlib_takes_nothing_of_this_one(
    tmp_path: Path, deflated: list[bytes], monkeypatch: pytest.MonkeyPatch
) -> None:
    packed(tmp_path, entries())
    whole = len(deflated)
    monkeypatch.setattr(compress, "_METHOD", b"another 6\0")
    packed(tmp_path, entries())
    assert len(deflated) == 2 * whole


def test_a_segment_that_was_lost_is_made_again(tmp_path: Path) -> None:
    first = packed(tmp_path, entries())
    for pack in tmp_path.rglob("*.pack"):
        pack.write_bytes(pack.read_bytes()[: pack.stat().st_size // 2])
    assert packed(tmp_path, entries()) == first


def test_many_parts_are_hashed_as_their_bytes() -> None:
    for number in (0, 1, 1023, 1024, 1025, 3000):
        parts = tuple(str(part).encode() for part in range(number))
        assert Joined(parts).sha256 == InMemory(b"".join(parts)).sha256

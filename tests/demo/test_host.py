"""What the runtime takes from the host: its shell where that can be copied, and otherwise nothing."""

from pathlib import Path

import pytest

from demo.host import shell
from demo.images import write_runtime
from tests.demo.layouts import Layout

Answer = tuple[str, int]


def ldd_says(text: str, status: int, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Put a ldd with a fixed answer on PATH, and nothing else."""
    program = folder / "ldd"
    program.write_text(f"#!/bin/sh\necho '{text}'\nexit {status}\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(folder))


def test_libraries_keep_their_folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = next(path for path in Path("/usr/lib").rglob("*.so*") if path.is_file())
    text = f"linux-vdso.so.1 (0x01)\nlibx.so.1 => {library} (0x02)\n{library} (0x03)"
    ldd_says(text, 0, tmp_path, monkeypatch)
    place = f"files/{library.relative_to('/usr')}"
    files = shell()
    assert set(files) == {"files/bin/sh", place}
    assert files[place].content == library.read_bytes()
    assert all(file.executable for file in files.values())


@pytest.mark.parametrize(
    "answer", [("not a dynamic executable", 1), ("Not a valid dynamic program", 1), ("statically linked", 0)]
)
def test_shell_without_libraries_goes_alone(answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ldd_says(*answer, tmp_path, monkeypatch)
    assert set(shell()) == {"files/bin/sh"}


@pytest.mark.parametrize(
    "answer",
    [
        ("libc.so.6 => /gnu/store/abc-glibc/lib/libc.so.6 (0x01)", 0),
        ("libx.so.1 => not found", 0),
        ("ldd: something went wrong", 2),
    ],
)
def test_shell_that_cannot_be_copied_is_left_out(
    answer: Answer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ldd_says(*answer, tmp_path, monkeypatch)
    assert shell() == {}


def test_runtime_is_written_where_there_is_no_ldd(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    layout = Layout(write_runtime(tmp_path / "layouts"))
    layout.check_blobs()
    with layout.layer() as archive:
        assert "files/bin/sh" not in archive.getnames()

"""Files in, one layer out: a gzipped tar archive whose bytes depend on nothing but the files."""

import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

_BLOCK = 512


@dataclass(frozen=True)
class File:
    """What a file in an image holds."""

    content: bytes
    executable: bool = False


@dataclass(frozen=True)
class Layer:
    """A packed layer: its bytes, the digest of the bytes before compression, and the room its files take."""

    blob: bytes
    diff_id: str
    installed_size: int


def pack(files: Mapping[str, File]) -> Layer:
    """Pack files, given by their paths relative to the image's root."""
    archive = _tar(files)
    diff_id = f"sha256:{hashlib.sha256(archive).hexdigest()}"
    size = sum(-(-len(file.content) // _BLOCK) * _BLOCK for file in files.values())
    return Layer(compress(archive), diff_id, size)


def compress(content: bytes) -> bytes:
    """Gzip without a time and a name."""
    target = io.BytesIO()
    with gzip.GzipFile(filename="", mode="wb", compresslevel=6, fileobj=target, mtime=0) as stream:
        stream.write(content)
    return target.getvalue()


def _tar(files: Mapping[str, File]) -> bytes:
    folders = {str(folder) for path in files for folder in PurePosixPath(path).parents}
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w", format=tarfile.GNU_FORMAT) as archive:
        for path in sorted(folders | files.keys()):
            file = files.get(path)
            archive.addfile(_entry(path, file), io.BytesIO(file.content) if file else None)
    return target.getvalue()


def _entry(path: str, file: File | None) -> tarfile.TarInfo:
    """The header of a file, or of a folder if there is no file; owner 0 and time 0 are tarfile's defaults."""
    entry = tarfile.TarInfo(path)
    if file is None:
        entry.type, entry.mode = tarfile.DIRTYPE, 0o755
    else:
        entry.size, entry.mode = len(file.content), 0o755 if file.executable else 0o644
    return entry

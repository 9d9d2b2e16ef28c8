"""AppStream's own library, as software centres read appdata with it."""

from __future__ import annotations

import ctypes
import ctypes.util
from pathlib import Path

from tests.real.process import unavailable

_METAINFO, _XML = 1, 1


def library() -> ctypes.CDLL:
    """The library, or a skipped test where there is none."""
    name = ctypes.util.find_library("appstream")
    if name is None:
        unavailable("AppStream's library, libappstream, is not installed")
    return ctypes.CDLL(name)


def age(attribute: str, value: str) -> int:
    """The age in years that an OARS attribute of that value is for."""
    found = library()
    number = found.as_content_rating_value_from_string(value.encode())
    years: int = found.as_content_rating_attribute_to_csm_age(attribute.encode(), number)
    return years


def catalog(metainfo: Path) -> str:
    """The catalog XML, with all languages, of an upstream's file with one component."""
    found, gio, pointer = library(), ctypes.CDLL("libgio-2.0.so.0"), ctypes.c_void_p
    found.as_metadata_new.restype = gio.g_file_new_for_path.restype = pointer
    gio.g_object_unref.argtypes = (pointer,)
    found.as_metadata_set_locale.argtypes = (pointer, ctypes.c_char_p)
    found.as_metadata_set_format_style.argtypes = (pointer, ctypes.c_int)
    found.as_metadata_parse_file.argtypes = (pointer, pointer, ctypes.c_int, pointer)
    write = getattr(found, "as_metadata_components_to_catalog", None) or found.as_metadata_components_to_collection
    write.argtypes, write.restype = (pointer, ctypes.c_int, pointer), ctypes.c_char_p
    metadata, file = found.as_metadata_new(), gio.g_file_new_for_path(str(metainfo).encode())
    try:
        found.as_metadata_set_locale(metadata, b"ALL")
        found.as_metadata_set_format_style(metadata, _METAINFO)
        assert found.as_metadata_parse_file(metadata, file, _XML, None)
        text: bytes = write(metadata, _XML, None)
        return text.decode()
    finally:
        gio.g_object_unref(file)
        gio.g_object_unref(metadata)

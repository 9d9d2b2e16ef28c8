"""What newer and older clients demand of an index, as one check for the tests of this and other folders."""

from __future__ import annotations

import json
import re
from typing import Any

from builder import flatpak

_DIGEST = re.compile(r"sha256:[0-9a-f]{64}")


def assert_index_is_valid(data: bytes) -> dict[str, Any]:
    """Fails unless a client would take the index in `data`; returns it parsed."""
    text = data.decode("utf-8")
    index: dict[str, Any] = json.loads(text, object_pairs_hook=_unique_keys)
    compact = json.dumps(index, ensure_ascii=False, sort_keys=True, separators=(",", ":"))
    assert text == compact, "not minified, or its keys are not in order"
    assert set(index) == {"Registry", "Results"}
    assert isinstance(index["Registry"], str)
    assert index["Registry"], "an empty Registry is no URL"
    names = [result["Name"] for result in index["Results"]]
    assert names == sorted(set(names)), "a repository stands there once, in a fixed order"
    images = [image for result in index["Results"] for image in _images_of(result)]
    refs = [image["Labels"].get(flatpak.REF) or image["Annotations"].get(flatpak.REF) for image in images]
    assert all(refs), "an image without a ref is ignored"
    assert len(set(refs)) == len(refs), "of two images with one ref a client takes any"
    return index


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    assert len({key for key, _ in pairs}) == len(pairs), "a key stands there twice"
    return dict(pairs)


def _images_of(result: dict[str, Any]) -> list[dict[str, Any]]:
    assert isinstance(result["Name"], str)
    assert result["Name"]
    assert isinstance(result["Images"], list), "`Images` may be empty, but not missing"
    assert result["Lists"] == []
    for image in result["Images"]:
        _check_image(image)
    return list(result["Images"])


def _check_image(image: dict[str, Any]) -> None:
    assert _DIGEST.fullmatch(image["Digest"]), "a client ends itself over such a digest"
    for key in ("MediaType", "OS", "Architecture"):
        assert isinstance(image[key], str)
        assert image[key]
    assert all(isinstance(tag, str) for tag in image["Tags"])
    assert image["Tags"] == sorted(set(image["Tags"]))
    for key in ("Labels", "Annotations"):
        assert all(isinstance(value, str) for value in image[key].values()), "one such label fails the whole index"
    metadata = {**image["Annotations"], **image["Labels"]}
    flatpak.parse_ref(metadata[flatpak.REF])
    assert metadata[flatpak.METADATA], "without it the image is ignored"

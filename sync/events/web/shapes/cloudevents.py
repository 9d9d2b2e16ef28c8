"""CloudEvents, whole (Harbor) or with their attributes in headers (Zot)."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from sync.events.model import Hint
from sync.events.web.shapes import harbor
from sync.events.web.shapes.news import News, hint, text

_HARBOR = "harbor."
_ZOT = re.compile(r"(?:.*\.)?(?:image\.(?P<change>updated|deleted|lint_failed)|repository\.created)")
"""What comes before is `zotregistry`, or whatever its configuration says."""
_CHANGES = {"updated": "push", "deleted": "deletion"}


def read(value: Mapping[str, Any], headers: Mapping[str, str]) -> Hint | None:
    """The hint in a CloudEvent; None for what is none. Raises ValueError for one of a kind that is not known."""
    data: Any
    if "ce-type" in headers:
        kind, data = headers["ce-type"], value
    elif "specversion" in value:
        kind, data = text(value, "type"), value.get("data")
    else:
        return None
    if kind.startswith(_HARBOR):
        return harbor.told(kind.removeprefix(_HARBOR), data)
    match = _ZOT.fullmatch(kind)
    if match is None:
        raise ValueError("a CloudEvent of a type that is not known")
    if match["change"] not in _CHANGES:
        return hint("Zot", ())
    return hint("Zot", [News(_CHANGES[match["change"]], text(data, "name"), text(data, "reference"))])

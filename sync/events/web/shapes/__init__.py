"""The notifications that registries send, each in a form of its own, as hints. Nothing in them is believed."""

from __future__ import annotations

from collections.abc import Mapping

from builder.oci import parse_object
from sync.events.model import Hint
from sync.events.web.shapes import cloudevents, distribution, github, gitlab, harbor, quay

# Those that a header tells come first: their bodies may have keys of any name.
_FORMS = (github.read, gitlab.read, cloudevents.read, distribution.read, harbor.read, quay.read)


def hint_of(body: bytes, headers: Mapping[str, str]) -> Hint:
    """What the notification names; an empty hint if it is of a known form and tells of nothing new.

    Raises ValueError, with a short reason that quotes nothing, for what is no JSON or of no known form.
    """
    lower = {name.lower(): value for name, value in headers.items()}
    if lower.get("content-type", "").lower().startswith("application/x-www-form-urlencoded"):
        raise ValueError("a form, not JSON: the sender has to use the content type application/json")
    value = parse_object(body)
    for read in _FORMS:
        found = read(value, lower)
        if found is not None:
            return found
    raise ValueError("JSON, but no notification of a known form")

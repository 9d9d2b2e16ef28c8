"""Which index files a list of indexes gives, and which queries they answer."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from builder.config import Form, Index, Variant
from builder.dispatch import Dispatch, Route

FALLBACK_TAG = "latest"


def variants(indexes: Iterable[Index]) -> tuple[Variant, ...]:
    """For each tag one file with all architectures and one for each architecture, in each form."""
    return tuple(variant for index in indexes for tag in index.tags for variant in _of_tag(index, tag))


def _of_tag(index: Index, tag: str) -> Iterator[Variant]:
    for form in _forms(index):
        for architecture in ("", *index.architectures):
            architectures = (architecture,) if architecture else ()
            yield Variant(file_name(tag, architecture, form), index.name, architectures, form)


def dispatch(indexes: Iterable[Index]) -> Dispatch:
    """The queries that the files of `variants` answer; a query without tag means `latest`, else the first index."""
    indexes = tuple(indexes)
    routes = tuple(
        Route(tag, architecture, form is Form.ANNOTATIONS, file_name(tag, architecture, form))
        for index in indexes
        for tag in index.tags
        for form in _forms(index)
        for architecture in ("", *index.architectures)
    )
    return Dispatch(routes, default_tag(indexes))


def default_tag(indexes: Iterable[Index]) -> str:
    """`latest` where an index has it, else the first index's first tag."""
    tags = [tag for index in indexes for tag in index.tags]
    return FALLBACK_TAG if FALLBACK_TAG in tags else tags[0]


def file_name(tag: str, architecture: str, form: Form) -> str:
    """The file of a variant, without `.json`."""
    name = f"{tag}-{architecture}" if architecture else tag
    return f"{name}.annotations" if form is Form.ANNOTATIONS else name


def _forms(index: Index) -> tuple[Form, ...]:
    return (Form.LABELS, Form.ANNOTATIONS) if index.annotations else (Form.LABELS,)

"""Which file answers a query: by a naive reading of the rules, whatever the order and spelling of the parameters."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from builder.config import Index
from builder.dispatch import Dispatch, Route, first, wants_annotations
from builder.variants import dispatch

INDEXES = (
    Index("stable", ("main",), ("latest", "v1.0"), ("amd64", "arm64"), annotations=True),
    Index("testing", ("main",), ("testing",), ("amd64",)),
    Index("nightly", ("main",), ("nightly",), annotations=True),
)
WITH_LATEST = dispatch(INDEXES)
WITHOUT_LATEST = dispatch(INDEXES[1:])

KEYS = ("tag", "architecture", "os", "tags", "xtag", "Tag", "")
VALUES = (
    "latest",
    "testing",
    "nightly",
    "v1.0",
    "v1x0",
    "amd64",
    "arm64",
    "s390x",
    "unknown",
    "LATEST",
    "",
    "a=b",
    "%6c",
)
FILTERS = ("label", "annotation", "xlabel", "labels", "Annotation")
COLONS = (":", "%3A", "%3a", "%253A", "")

PARAMETERS = st.one_of(
    st.builds("{}={}".format, st.sampled_from(KEYS), st.sampled_from(VALUES)),
    st.builds("tag={}".format, st.sampled_from(VALUES)),
    st.builds("architecture={}".format, st.sampled_from(VALUES)),
    st.builds("{}{}org.flatpak.ref{}exists=1".format, *map(st.sampled_from, (FILTERS, COLONS, COLONS))),
    st.sampled_from(("", "tag", "architecture", "label", "x=1")),
)
QUERIES = st.lists(PARAMETERS, max_size=6).map("&".join)


def expected(indexes: tuple[Index, ...], query: str) -> str | None:
    """The rules in the plainest words."""
    pairs = [parameter.split("=", 1) for parameter in query.split("&") if "=" in parameter]
    tags = [value for key, value in pairs if key == "tag"]
    architectures = [value for key, value in pairs if key == "architecture"]
    all_tags = [tag for index in indexes for tag in index.tags]
    default = "latest" if "latest" in all_tags else all_tags[0]
    tag = tags[0] if tags and tags[0] else default
    if tag not in all_tags:
        return None
    index = next(index for index in indexes if tag in index.tags)
    file = tag
    if architectures and architectures[0] in index.architectures:
        file += "-" + architectures[0]
    plain = query.split("&")
    by_annotation = any(each.startswith(("annotation:", "annotation%3A", "annotation%3a")) for each in plain)
    by_label = any(each.startswith(("label:", "label%3A", "label%3a")) for each in plain)
    return file + ".annotations" if index.annotations and by_annotation and not by_label else file


@settings(max_examples=400, deadline=None)
@given(QUERIES)
def test_any_query_is_answered_as_the_rules_say(query: str) -> None:
    assert WITH_LATEST.answer(query) == expected(INDEXES, query)
    assert WITHOUT_LATEST.answer(query) == expected(INDEXES[1:], query)


@settings(max_examples=100, deadline=None)
@given(
    st.permutations(["label%3Aorg.flatpak.ref%3Aexists=1", "architecture=arm64", "os=linux", "tag=v1.0"]),
    st.sampled_from(COLONS[:3]),
)
def test_the_order_of_parameters_does_not_matter(parameters: list[str], colon: str) -> None:
    query = "&".join(parameters).replace("%3A", colon)
    assert WITH_LATEST.answer(query) == "v1.0-arm64"
    assert WITH_LATEST.answer(query.replace("label", "annotation")) == "v1.0-arm64.annotations"


ASKED_BEFORE = [
    ("", "latest"),
    ("tag=", "latest"),
    ("tag", "latest"),
    ("tag=latest", "latest"),
    ("tag=unknown", None),
    ("tag=LATEST", None),
    ("tag=v1x0", None),
    ("tag=testing&tag=latest", "testing"),
    ("tag=&tag=testing", "latest"),
    ("architecture=amd64&architecture=arm64", "latest-amd64"),
    ("architecture=s390x", "latest"),
    ("architecture=s390x&architecture=amd64", "latest"),
    ("architecture=", "latest"),
    ("xtag=testing", "latest"),
    ("annotation:org.flatpak.ref:exists=1", "latest.annotations"),
    ("annotation%3aorg.flatpak.ref%3aexists=1&architecture=amd64", "latest-amd64.annotations"),
    ("annotation:org.flatpak.ref:exists=1&label:org.flatpak.ref:exists=1", "latest"),
    ("annotation:org.flatpak.ref:exists=1&tag=testing", "testing"),
    ("label%3Aorg.flatpak.ref%3Aexists=1&architecture=amd64&os=linux&tag=latest", "latest-amd64"),
]


@pytest.mark.parametrize(("query", "file"), ASKED_BEFORE)
def test_questions_that_were_asked_before(query: str, file: str | None) -> None:
    assert WITH_LATEST.answer(query) == file
    assert expected(INDEXES, query) == file, "the test's own reading of the rules is wrong"


def test_without_latest_a_query_without_tag_means_the_first_index() -> None:
    assert WITHOUT_LATEST.answer("") == "testing"
    assert WITHOUT_LATEST.answer("tag=latest") is None


def test_an_unknown_tag_may_stand_for_a_known_one() -> None:
    routes = (Route("latest", "", False, "all"), Route("latest", "amd64", False, "one"))
    assert Dispatch(routes, "latest", "latest").answer("tag=x&architecture=amd64") == "one"
    assert Dispatch(routes, "latest").answer("tag=x&architecture=amd64") is None


def test_a_tag_with_single_architectures_only_has_no_answer_for_others() -> None:
    only = Dispatch((Route("latest", "amd64", False, "one"),), "latest")
    assert only.answer("architecture=amd64") == "one"
    assert only.answer("architecture=arm64") is None
    assert only.answer("") is None


def test_the_most_particular_route_goes_first() -> None:
    files = [route.file for route in WITH_LATEST.of_tag("latest")]
    assert files == [
        *("latest-amd64.annotations", "latest-arm64.annotations", "latest.annotations"),
        *("latest-amd64", "latest-arm64", "latest"),
    ]


@given(st.lists(st.tuples(st.sampled_from(KEYS), st.sampled_from(VALUES))))
def test_the_first_of_repeated_parameters_counts(pairs: list[tuple[str, str]]) -> None:
    query = "&".join(f"{key}={value}" for key, value in pairs)
    values = [value for key, value in pairs if key == "tag"]
    assert first(query, "tag") == (values[0] if values else "")


@pytest.mark.parametrize("query", ["xannotation:a=1", "a=annotation:b", "annotations:a=1", "annotation%253Aa=1", ""])
def test_only_a_parameter_s_name_asks_for_annotations(query: str) -> None:
    assert not wants_annotations(query)

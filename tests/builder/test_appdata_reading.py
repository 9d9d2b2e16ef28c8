"""Appdata: what clients can read passes, and nothing that nobody should read is read."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from builder.appdata import reading

GOOD = "<components version='0.8'><component><id>a</id><name>Grüße 🐧</name></component></components>"


@pytest.mark.parametrize(
    "text",
    [
        GOOD,
        '<?xml version="1.0" encoding="utf-8"?>\n' + GOOD,
        '<?xml version="1.0" encoding="utf-16"?>\n' + GOOD,  # as clients do, which take all for UTF-8
        "<components/>",
        f"<!-- a -->{GOOD}<!-- b -->\n",
    ],
)
def test_what_clients_can_read_is_good(text: str) -> None:
    assert reading.fault(text) == ""


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("", "not well-formed"),
        ("text", "not well-formed"),
        ("<components>", "not well-formed"),
        (GOOD + "<more/>", "not well-formed"),
        ("<components><a></b></components>", "not well-formed"),
        ("<components>&nbsp;</components>", "not well-formed"),
        ("<components>\x01</components>", "not well-formed"),
        ("<component/>", "appdata is <component>, where clients look for <components>"),
        ("<" + "x" * 500 + "/>", "appdata is <" + "x" * 40 + ">"),
        ('<!DOCTYPE a SYSTEM "file:///etc/passwd">' + GOOD, "appdata with a DTD"),
        ('<!DOCTYPE a [<!ENTITY b "c">]><components>&b;</components>', "appdata with a DTD"),
        ("<components>" + "<a>" * 200 + "</a>" * 200 + "</components>", "nested more than 100 deep"),
        ("<components>" + "x" * 1024 * 1024 + "</components>", "more than 1048576 characters"),
    ],
)
def test_what_they_can_t_has_its_reason(text: str, why: str) -> None:
    assert why in reading.fault(text)


def test_as_deep_as_is_allowed_is_good() -> None:
    assert reading.fault("<components>" + "<a>" * 99 + "</a>" * 99 + "</components>") == ""


@given(st.text(alphabet="<>/a&;!?-[]'\" \x00é\ud800" + "components", max_size=60))
def test_no_text_is_more_than_a_fault(text: str) -> None:
    assert isinstance(reading.fault(text), str)

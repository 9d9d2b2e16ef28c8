"""What a watch says: with ids, once, and never so much that a flood fills the disk."""

from __future__ import annotations

import json
from io import StringIO

from builder.report import Report
from sync.events.lines import Lines


class Said:
    """Lines with a clock of their own."""

    def __init__(self, as_json: bool = False) -> None:
        self.out, self.err, self.now = StringIO(), StringIO(), 0.0
        self.lines = Lines(Report(0, self.out, self.err), as_json, lambda: self.now)


def test_ids_come_first_and_many_are_counted() -> None:
    said = Said()
    said.lines.say("live", ["a1", "b2"])
    said.lines.warn("down", [f"{number}" for number in range(12)])
    said.lines.detail("hidden")
    assert said.out.getvalue() == "a1,b2 live\n"
    assert said.err.getvalue() == "0,1,2,3,4,+7 down\n"


def test_as_json_each_line_is_an_object_with_all_ids() -> None:
    said = Said(as_json=True)
    said.lines.say("live", [f"{number}" for number in range(12)], snapshot="s")
    found = json.loads(said.out.getvalue())
    assert found["ids"][-1] == "11" and found["snapshot"] == "s" and found["time"].endswith("Z")


def test_only_changes_are_told() -> None:
    lines = Said().lines
    assert [lines.changed("k", text) for text in ("a", "a", "b", "", "", "b")] == [True, False, True, True, False, True]
    assert lines.changed("other", "b") and not lines.changed("third", "")


def test_a_flood_is_counted() -> None:
    said = Said()
    for _ in range(1000):
        said.lines.often("spool taken", "one")
    said.lines.often("amqp taken", "another kind")
    assert said.out.getvalue().count("one\n") == 20 and "another kind\n" in said.out.getvalue()
    said.now = 4.0
    said.lines.often("spool taken", "one")
    assert said.out.getvalue().endswith("one (and 980 more like it that were not told)\n")
    said.lines.often("spool taken", "one")
    assert said.out.getvalue().endswith("one\n")

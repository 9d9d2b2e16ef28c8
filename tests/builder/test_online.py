"""`check --online --anonymous`: what it says of repositories that are not for everybody, and what it comes to."""

from __future__ import annotations

import pytest

from builder import online
from builder.errors import Exit
from builder.online import Answer

PRIVATE = ("apps/a", "apps/b")


@pytest.mark.parametrize(
    ("answer", "code", "words"),
    [
        (Answer("main", 2), Exit.DONE, "answers, 2 repositories"),
        (Answer("main", 2, private=PRIVATE), Exit.PARTLY, "2 of them can't be pulled without a login: apps/a, apps/b"),
        (Answer("main", 2, private=PRIVATE, login_expected=True), Exit.DONE, "as `token: required` says"),
        (Answer("main", error="it is down"), Exit.FAILED, "it is down"),
    ],
)
def test_an_answer_is_told_and_counts(answer: Answer, code: Exit, words: str) -> None:
    assert words in answer.text
    assert online.exit_code([Answer("other", 1), answer]) == code
    assert answer.good == (code is Exit.DONE)

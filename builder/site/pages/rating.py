"""From what age on something is meant to be suitable, and why, by its answers to OARS, the age ratings service."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from builder.site.pages.messages import N_

VALUES = ("mild", "moderate", "intense")

# Years for each of VALUES, as AppStream's library has them.
_AGES = {
    "violence-cartoon": (3, 4, 6),
    "violence-fantasy": (3, 7, 8),
    "violence-realistic": (4, 9, 14),
    "violence-bloodshed": (9, 11, 18),
    "violence-sexual": (18, 18, 18),
    "violence-desecration": (13, 15, 18),
    "violence-slavery": (13, 15, 18),
    "violence-worship": (13, 15, 18),
    "drugs-alcohol": (11, 13, 16),
    "drugs-narcotics": (12, 14, 17),
    "drugs-tobacco": (10, 13, 13),
    "sex-nudity": (12, 14, 14),
    "sex-themes": (13, 14, 15),
    "sex-homosexuality": (13, 14, 15),
    "sex-prostitution": (12, 14, 18),
    "sex-adultery": (8, 10, 18),
    "sex-appearance": (10, 10, 15),
    "language-profanity": (8, 11, 14),
    "language-humor": (3, 8, 14),
    "language-discrimination": (9, 10, 11),
    "social-chat": (4, 10, 13),
    "social-info": (0, 13, 13),
    "social-audio": (15, 15, 15),
    "social-location": (13, 13, 13),
    "social-contacts": (12, 12, 12),
    "money-purchasing": (12, 14, 15),
    "money-gambling": (7, 10, 18),
    "money-advertising": (7, 8, 10),
}

# What is said of the strongest of a group, for each of VALUES.
_GROUPS: tuple[tuple[str, tuple[str, str, str]], ...] = (
    ("violence-", (N_("Mild violence"), N_("Violence"), N_("Strong violence"))),
    ("sex-", (N_("Mild sexual content"), N_("Sexual content"), N_("Strong sexual content"))),
    (
        "drugs-",
        (N_("Mentions of alcohol, tobacco or other drugs"), *(N_("Use of alcohol, tobacco or other drugs"),) * 2),
    ),
    ("language-", (N_("Mild bad language"), N_("Bad language"), N_("Strong bad language"))),
    ("money-gambling", (*(N_("Gambling without money"),) * 2, N_("Gambling for real money"))),
    ("money-purchasing", (N_("Asks for donations"), *(N_("In-app purchases"),) * 2)),
    ("money-advertising", (N_("Advertising"),) * 3),
    (
        "social-chat",
        (N_("Playing with others, without chat"), N_("Moderated chat with others"), N_("Chat with others")),
    ),
    ("social-audio", (*(N_("Moderated voice chat with others"),) * 2, N_("Voice chat with others"))),
    ("social-info", (N_("Checks for updates"), N_("Sends usage data"), N_("Sends data about you"))),
    ("social-location", (N_("Can tell others where you are"),) * 3),
    ("social-contacts", (N_("Can share your contacts"),) * 3),
)
# Answers that ask what people love say nothing that anybody has to be warned of.
_UNSAID = frozenset({"sex-homosexuality"})


@dataclass(frozen=True)
class Rating:
    """The age in years, 0 for everybody's, and the reasons: `words` are message ids."""

    age: int
    words: tuple[str, ...]


def rated(attributes: Iterable[tuple[str, str]]) -> Rating:
    """What a component's answers come to; those that are unknown count for nothing."""
    answers = [(name, VALUES.index(value)) for name, value in attributes if value in VALUES and name in _AGES]
    age = max((_AGES[name][value] for name, value in answers), default=0)
    words = []
    for group, said in _GROUPS:
        found = [value for name, value in answers if name.startswith(group) and name not in _UNSAID]
        if found:
            words.append(said[max(found)])
    return Rating(age, tuple(words))

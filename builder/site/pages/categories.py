"""The categories that applications are listed under: the main ones of the desktop menu specification."""

from __future__ import annotations

from dataclasses import dataclass

from builder.site.pages.messages import N_


@dataclass(frozen=True)
class Category:
    """`id` is its folder in the site, `name` a message id, `members` the menu specification's names."""

    id: str
    name: str
    members: tuple[str, ...]


OTHER = Category("other", N_("Other"), ())
CATEGORIES = (
    Category("audio-video", N_("Audio & video"), ("AudioVideo", "Audio", "Video")),
    Category("development", N_("Development"), ("Development",)),
    Category("education", N_("Education"), ("Education",)),
    Category("games", N_("Games"), ("Game",)),
    Category("graphics", N_("Graphics"), ("Graphics",)),
    Category("network", N_("Internet"), ("Network",)),
    Category("office", N_("Office"), ("Office",)),
    Category("science", N_("Science"), ("Science",)),
    Category("system", N_("System"), ("System", "Settings")),
    Category("utilities", N_("Utilities"), ("Utility",)),
    OTHER,
)


_BY_MEMBER = {member: category for category in CATEGORIES for member in category.members}


def categories_of(names: tuple[str, ...]) -> tuple[Category, ...]:
    """Those that an application is listed under, in its own order; at least one."""
    return tuple(dict.fromkeys(_BY_MEMBER[name] for name in names if name in _BY_MEMBER)) or (OTHER,)

"""Marks what is said in English far away from where it is translated."""

from __future__ import annotations


def N_(message: str) -> str:  # noqa: N802  (the name that gettext's tools look for)
    """The message as it is: where it is shown, it is the id under which its translation is found."""
    return message

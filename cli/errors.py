"""Errors that end the command: one line on stderr, "ringwheel: CAUSE. REMEDY", and a status."""

from __future__ import annotations

import string

STATUS_FAILED = 1
"""The command began its work, and the work failed."""
STATUS_USAGE = 2
"""What the user gave cannot be used: a flag, a configuration, a file, an address."""


class CommandError(Exception):
    """Ends the command with ``status``; nothing but its one line is shown to the user.

    ``remedy`` is empty where ``cause`` holds it already.
    """

    def __init__(self, cause: str, remedy: str = "", status: int = STATUS_USAGE) -> None:
        self.status = status
        # Causes quote what others wrote, which may hold line breaks.
        super().__init__(" ".join(_sentence(text) for text in (cause, remedy) if text))


def cause_of(error: Exception) -> str:
    """What an exception says; of one of the system without its number and the path, which whoever
    tells it has named."""
    return (isinstance(error, OSError) and error.strerror) or str(error)


def _sentence(text: str) -> str:
    """One line that ends in a full stop; its first letter is left to the writer."""
    line = " ".join(text.split())
    return line if line.endswith(tuple(".!?")) else f"{line}."


def capitalized(text: str) -> str:
    """``text`` with its first letter in upper case and the others as they are."""
    return text[:1].upper() + text[1:] if text[:1] in string.ascii_lowercase else text

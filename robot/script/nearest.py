"""What somebody may have meant who wrote a name that there is not."""

from __future__ import annotations

import difflib
from collections.abc import Iterable


def nearest(name: str, known: Iterable[str]) -> str | None:
    """The known name that is most like this one, if any is like it at all."""
    found = difflib.get_close_matches(name[:100].lower(), list(known), n=1, cutoff=0.6)
    return found[0] if found else None


def suggestion(name: str, known: Iterable[str]) -> str:
    """Words to add to an error: what may have been meant, or nothing."""
    found = nearest(name, known)
    return f"; did you mean `{found}`?" if found else ""

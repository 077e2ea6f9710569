"""Python's objects on huge pages: a process that wakes up finds them behind few TLB entries.

What an engine touches in a wake-up lies on hundreds of pages of 4 KB, code and types most of all,
and the TLB has forgotten them since the last one. Nothing but the binding is imported here, since
only what is made from now on comes to lie on huge pages.
"""

from __future__ import annotations

import os

from . import _core

SWITCH = "RINGWHEEL_HUGE_PAGES"
"""The environment variable that says 0 to leave objects where Python puts them."""
SYSTEM_SWITCH = "/sys/kernel/mm/transparent_hugepage/enabled"


def switched_off() -> bool:
    """True if whoever started this process does not want huge pages."""
    return os.environ.get(SWITCH) == "0"


def allowed(choices: str | None) -> bool:
    """Whether the system gives huge pages to who asks; ``choices`` is what SYSTEM_SWITCH says."""
    return choices is not None and "[never]" not in choices


def _system_choices() -> str | None:
    try:
        with open(SYSTEM_SWITCH, encoding="ascii") as file:  # noqa: PTH123 - pathlib is not imported
            return file.read()
    except OSError:
        return None


def use_huge_pages() -> None:
    """Put Python's objects on huge pages from now on, where the system gives them."""
    if not switched_off() and allowed(_system_choices()):
        _core.put_arenas_on_huge_pages()

"""What strangers did, in lines that an operator and fail2ban read: a few a second, whatever comes.

The line's form is stable, since `examples/fail2ban` reads it: the event ``sip source rejected``
with ``source`` and ``reason`` before everything that a stranger has written.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

import structlog

from .edge import Timers

log = structlog.get_logger(__name__)

INTERVAL_MS = 1_000
LINES = 20
"""At most so many lines in an interval; the rest is told as a number."""

SOURCES = 1_024
TEXT_CHARS = 64


class Offence(Enum):
    """Why a source was not served; the value stands in the log."""

    STRANGER = "stranger"
    SCANNER = "scanner"
    WRONG_CREDENTIALS = "wrong_credentials"
    BANNED = "banned"


@dataclass(slots=True)
class _Case:
    """What one source did in an interval. ``detail``: of the first time, written by the source."""

    count: int
    detail: str


class Offences:
    """Gathers offences, and logs them once a second: one line for each source and reason."""

    def __init__(self, timers: Timers) -> None:
        self._timers = timers
        self._cases: dict[tuple[str, Offence], _Case] = {}
        self._untold = 0

    def note(self, host: str, offence: Offence, detail: str = "") -> None:
        """``host`` did that. The first in a second is told within a second."""
        case = self._cases.get((host, offence))
        if case is not None:
            case.count += 1
        elif len(self._cases) >= SOURCES:
            self._untold += 1
        else:
            if not self._cases:
                self._timers.arm(INTERVAL_MS, self.tell)
            self._cases[host, offence] = _Case(1, printable(detail[:TEXT_CHARS]))

    def tell(self) -> None:
        """Write the lines now."""
        cases, untold = self._cases, self._untold
        self._cases, self._untold = {}, 0
        for number, ((host, offence), case) in enumerate(cases.items()):
            if number < LINES:
                write = log.info if offence is Offence.STRANGER else log.warning
                write(
                    "sip source rejected",
                    source=host,
                    reason=offence.value,
                    times=case.count,
                    detail=case.detail,
                )
            else:
                untold += case.count
        if untold:
            log.info("sip sources not logged", times=untold)


def printable(text: str) -> str:
    """What a stranger has written, without what moves a terminal's cursor or breaks a line."""
    return "".join(character if character.isprintable() else "?" for character in text)

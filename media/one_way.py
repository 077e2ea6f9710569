"""Sound that goes from one call to another, and not back."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING

from .events import LegClosed

if TYPE_CHECKING:
    from .call import Call


class OneWay:
    """What the caller of ``call`` says is sent to ``other``, while ``active``: until :meth:`stop`
    or the end of either call. ValueError, RuntimeError: as :meth:`Call.send_sound_to`."""

    __slots__ = ("_ids", "_leg", "_to", "active")

    def __init__(self, call: Call, other: Call) -> None:
        self._ids = call.id, other.id  # and not the calls, which know this
        self._leg, codec = call.connected()
        self._to, to_codec = other.connected()
        self._leg.relay(self._to, codec, to_codec)
        self.active = True
        for leg in (self._leg, self._to):
            leg.closed.add_done_callback(self._on_closed)

    def __repr__(self) -> str:
        return f"<OneWay {self}>"

    def __str__(self) -> str:
        return "call {} sends its sound to call {}".format(*self._ids)

    def stop(self) -> None:
        """Send no more of it."""
        if not self.active:
            return
        self.active = False
        for leg in (self._leg, self._to):
            leg.closed.remove_done_callback(self._on_closed)
        self._leg.end_relay()

    def _on_closed(self, _: asyncio.Future[LegClosed]) -> None:
        self.stop()

"""What a channel is: the hands, ears and mouth of a conversation, whatever it runs over."""

from __future__ import annotations

from typing import Protocol

from ..script import events
from ..script.actions import Action


class Channel(Protocol):
    """One person at the other end.

    ``kind`` says what it runs over. Methods raise nothing but what is a defect of ours: whatever
    goes wrong outside is a :class:`~..script.events.Failed`.
    """

    kind: events.Channel

    async def perform(self, action: Action) -> events.Event | None:
        """Do what the action says, and give the event that answers it, with its ``turn``; None for
        a :class:`~..script.actions.HangUpNow`, once the conversation has ended.

        Cancelling it stops what it does.
        """
        ...

    async def wait_left(self) -> events.Left:
        """Return when the person has left, or cannot be reached any more."""
        ...

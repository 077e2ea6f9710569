"""What trunks look like at one moment."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class AddressFigures:
    """One address of a peer. ``health``: unknown, up or down; ``cause`` says why it is down, and
    ``since_s`` for how long it has been what it is."""

    address: str
    health: str
    cause: str
    since_s: float


@dataclass(frozen=True, slots=True)
class PeerFigures:
    """One peer. ``trouble``: why its name leads nowhere, or empty."""

    peer: str
    priority: int
    weight: int
    up: bool
    trouble: str
    addresses: tuple[AddressFigures, ...]


@dataclass(frozen=True, slots=True)
class TrunkFigures:
    """One trunk. ``channels_limit`` None: no limit. Counters only grow, over reloads as well.

    ``placed``: attempts that went out; ``answered`` of them; ``failed_over``: those after which
    another way was tried. ``congested``: calls that found no channel or no turn in time.
    ``received``: calls that came in, ``refused`` of them for want of a channel.
    ``registration``: its state in a word, "" without one.
    """

    name: str
    up: bool
    channels: int
    channels_limit: int | None
    placed: int
    answered: int
    failed_over: int
    congested: int
    received: int
    refused: int
    peers: tuple[PeerFigures, ...]
    registration: str = ""
    registration_cause: str = ""

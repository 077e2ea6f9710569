"""In which order the addresses of a trunk are tried. Sans-I/O."""

from __future__ import annotations

import random
from collections.abc import Sequence

from ..sip.resolve import Target, pick_by_weight
from .health import Health, PeerWatch, key_of
from .trunk import Peer

Watched = tuple[Peer, PeerWatch]


def order_peers(peers: Sequence[Watched], source: random.Random) -> list[Watched]:
    """Peers that are up, by priority and within one at random by weight; all, if none is up."""
    up = [pair for pair in peers if pair[1].up]
    waiting = sorted(up or peers, key=lambda pair: pair[0].priority)
    ordered: list[Watched] = []
    while waiting:
        first = waiting[0][0].priority
        group = [pair for pair in waiting if pair[0].priority == first]
        chosen = group[pick_by_weight([peer.weight for peer, _ in group], source)]
        ordered.append(chosen)
        waiting.remove(chosen)
    return ordered


def order_targets(watch: PeerWatch, targets: Sequence[Target]) -> list[Target]:
    """The addresses of one peer in the order of DNS, without those that are down; all, if all are.

    An address that is not watched yet is taken to be up.
    """
    up = [target for target in targets if health_of(watch, target) is not Health.DOWN]
    return up or list(targets)


def health_of(watch: PeerWatch, target: Target) -> Health:
    """What is known of an address."""
    found = watch.watches.get(key_of(target))
    return found.health if found is not None else Health.UNKNOWN

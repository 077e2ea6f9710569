"""The garbage collector of a process that holds many calls."""

from __future__ import annotations

import gc

YOUNG_OBJECTS = 50_000


def settle_gc() -> None:
    """Spare the collector what lives as long as the process; call it once, before serving.

    By default the collector runs after each 700 new objects, which is some five calls, and walks
    the lingering transactions of 32 seconds again and again. Calls free themselves by reference
    counting; the collector is left for the rare cycle. This changes the whole process, so that
    ``ringwheel serve`` does it, and an embedding program has to choose.
    """
    gc.collect()
    gc.freeze()
    gc.set_threshold(YOUNG_OBJECTS, 20, 100)

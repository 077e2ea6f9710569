"""Answers of DNS, kept as long as they may be, and asked for by few at a time."""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Protocol

from .dns_records import (
    Answer,
    DnsTrouble,
    Kind,
    Record,
    ResolveError,
    fault_of,
)

Ask = Callable[[str, Kind], Awaitable[Answer]]
"""Asks a server for one kind of records of a name. ResolveError: no answer can be had."""


class Hosts(Protocol):
    """Names that are known without DNS."""

    def find(self, name: str, kind: Kind) -> tuple[Record, ...] | None:
        """What is known of a name in lower case; None if DNS is to be asked."""


@dataclass(frozen=True, slots=True)
class DnsLimits:
    """``min_ttl_s`` to ``max_ttl_s``: how long an answer is kept, whatever it says of itself;
    ``max_negative_ttl_s``: the same for "there is none". ``stale_s``: how much longer it is used
    while the servers do not answer within ``patience_s``; after a failure they are asked again in
    ``retry_s``. ``names`` are kept, the one used longest ago makes room. ``lookups`` may be under
    way at the same time.
    """

    min_ttl_s: float = 5.0
    max_ttl_s: float = 3_600.0
    max_negative_ttl_s: float = 300.0
    stale_s: float = 3_600.0
    patience_s: float = 1.0
    retry_s: float = 30.0
    names: int = 4_096
    records: int = 64
    lookups: int = 256


@dataclass(slots=True)
class _Kept:
    answer: Answer
    until_s: float
    stale_until_s: float


class DnsCache:
    """`Lookups` over ``ask``. One event loop owns it. ``hosts`` comes before DNS, and is trusted.

    ``loopback``: whether names may lead to this machine itself. ``counts`` has how often each
    trouble came, and ``hits``, ``misses``, ``stale`` and ``evicted``.
    """

    def __init__(
        self,
        ask: Ask,
        limits: DnsLimits | None = None,
        *,
        hosts: Hosts,
        loopback: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._hosts = hosts
        self._limits = limits or DnsLimits()
        self._loopback = loopback
        self._clock = clock
        self._kept: dict[tuple[str, Kind], _Kept] = {}
        self._asking: dict[tuple[str, Kind], asyncio.Task[Answer]] = {}
        self.counts: Counter[str] = Counter()

    async def lookup(self, name: str, kind: Kind) -> tuple[Record, ...]:
        """The records; none where there are none. ResolveError: nobody knows, or no such name."""
        key = name.lower().rstrip("."), kind
        local = self._hosts.find(*key)
        if local is not None:
            return local
        answer = self._fresh(key)
        if answer is None:
            answer = await self._asked(key)
        if answer.trouble is not None:
            raise ResolveError(name, answer.trouble, answer.detail)
        return answer.records

    def __len__(self) -> int:
        return len(self._kept)

    def close(self) -> None:
        """Give up the lookups that are under way."""
        for task in self._asking.values():
            task.cancel()

    def _fresh(self, key: tuple[str, Kind]) -> Answer | None:
        kept = self._kept.get(key)
        if kept is None or kept.until_s <= self._clock():
            return None
        self.counts["hits"] += 1
        self._kept[key] = self._kept.pop(key)  # the last to make room
        return kept.answer

    async def _asked(self, key: tuple[str, Kind]) -> Answer:
        """Ask, together with whoever asks for the same."""
        old, task = self._stale(key), self._asking.get(key)
        if task is None:
            if len(self._asking) >= self._limits.lookups:
                self.counts["busy"] += 1
                if old is not None:
                    return old
                raise ResolveError(key[0], DnsTrouble.BUSY)
            self.counts["misses"] += 1
            task = asyncio.create_task(self._refreshed(key), name=f"dns {key[0]}")
            self._asking[key] = task
            task.add_done_callback(lambda done: self._done(key, done))
        # Who gives up waiting must not take the answer from the others.
        await asyncio.wait([task], timeout=None if old is None else self._limits.patience_s)
        if old is not None and not task.done():
            self.counts["stale"] += 1
            return old
        if task.cancelled():  # closed
            raise ResolveError(key[0], DnsTrouble.TIMEOUT)
        return task.result()

    def _stale(self, key: tuple[str, Kind]) -> Answer | None:
        """What was known before, if it may still be used."""
        kept = self._kept.get(key)
        if kept is None or kept.stale_until_s <= self._clock():
            return None
        return kept.answer

    def _done(self, key: tuple[str, Kind], task: asyncio.Task[Answer]) -> None:
        del self._asking[key]
        if not task.cancelled():
            task.exception()  # heard of, even if nobody waits any more

    async def _refreshed(self, key: tuple[str, Kind]) -> Answer:
        try:
            answer = self._checked(key, await self._ask(*key))
        except ResolveError as error:
            answer = self._failed(key, error)
        else:
            self._keep(key, answer)
        if answer.trouble is not None:
            self.counts[answer.trouble.name.lower()] += 1
        return answer

    def _failed(self, key: tuple[str, Kind], error: ResolveError) -> Answer:
        """An old answer rather than none (RFC 8767); else the failure, kept for a moment."""
        old = self._stale(key)
        if old is None:
            answer = Answer((), 0, error.trouble, error.detail)
            self._keep(key, answer, stale_s=0)
            return answer
        self.counts["stale"] += 1
        kept = self._kept[key]
        kept.until_s = min(self._clock() + self._limits.retry_s, kept.stale_until_s)
        return old

    def _checked(self, key: tuple[str, Kind], answer: Answer) -> Answer:
        """An answer without what nobody can use. ResolveError: nothing is left, or far too much."""
        name, kind = key
        if len(answer.records) > self._limits.records:
            raise ResolveError(name, DnsTrouble.TOO_MANY_RECORDS, str(len(answer.records)))
        if kind not in (Kind.A, Kind.AAAA) or not answer.records:
            return answer
        faults = {ip: fault_of(str(ip), loopback=self._loopback) for ip in answer.records}
        usable = tuple(ip for ip, fault in faults.items() if not fault)
        if not usable:
            ip, fault = next(iter(faults.items()))
            raise ResolveError(name, DnsTrouble.UNUSABLE_ADDRESS, f"{ip}: {fault}")
        return Answer(usable, answer.ttl_s)

    def _keep(self, key: tuple[str, Kind], answer: Answer, stale_s: float | None = None) -> None:
        limits, now_s = self._limits, self._clock()
        longest_s = limits.max_ttl_s if answer.records else limits.max_negative_ttl_s
        until_s = now_s + min(max(answer.ttl_s, limits.min_ttl_s), longest_s)
        stale_s = limits.stale_s if stale_s is None else stale_s
        self._kept.pop(key, None)
        self._kept[key] = _Kept(answer, until_s, until_s + stale_s)
        if len(self._kept) > limits.names:
            del self._kept[next(iter(self._kept))]
            self.counts["evicted"] += 1

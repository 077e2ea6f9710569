"""A worker: one recognizer in a process of its own, one job after the other.

Jobs come as pickles on stdin, each behind its length, from the server that has started the worker
and nobody else; answers leave the same way. It ends when its stdin closes, so none outlives its
server.
"""

from __future__ import annotations

import os
import pickle
import struct
import sys
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import BinaryIO, cast

import numpy as np

from ...grammar.model import Grammar
from .engine import EngineFailed, Hypothesis, Recognizer, make_engine

LENGTH = struct.Struct("!I")
READY = 0
"""The number of the answer that says that the engine is there."""
MAX_GRAMMARS = 64
NICENESS = 5
"""Sound comes first: SIP and RTP are before recognition wherever both want the processor."""


Sent = tuple[str, bytes]
"""A grammar: its id, and its pickle, which is read where the id is not known."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a worker is to do. Without ``sound`` (int16) the grammars are made ready, no more."""

    number: int
    grammars: Sequence[Sent]
    locale: str
    sample_rate_hz: int = 0
    sound: bytes | None = None


@dataclass(frozen=True, slots=True)
class Answer:
    """What a job came to. ``cpu_us``: the processor time that it took."""

    number: int
    hypotheses: Sequence[Hypothesis] = ()
    unknown: Sequence[str] = ()
    failure: EngineFailed | None = None
    cpu_us: int = 0


def pack(thing: Job | Answer) -> bytes:
    """As it goes through the pipe."""
    data = pickle.dumps(thing, pickle.HIGHEST_PROTOCOL)
    return LENGTH.pack(len(data)) + data


def _read(stream: BinaryIO) -> Job | None:
    head = stream.read(LENGTH.size)
    if len(head) < LENGTH.size:
        return None
    (length,) = LENGTH.unpack(head)
    data = stream.read(length)
    return cast(Job, pickle.loads(data)) if len(data) == length else None


@lru_cache(maxsize=MAX_GRAMMARS)
def pickled(grammar: Grammar) -> Sent:
    """A grammar as it is sent."""
    return grammar.id, pickle.dumps(grammar, pickle.HIGHEST_PROTOCOL)


class Shelf:
    """The grammars that a worker has met; the least recently used go."""

    def __init__(self) -> None:
        self._known: OrderedDict[str, Grammar] = OrderedDict()

    def take(self, sent: Sequence[Sent]) -> list[Grammar]:
        """The grammars that were sent."""
        return [self._one(*one) for one in sent]

    def _one(self, name: str, data: bytes) -> Grammar:
        if name not in self._known:
            self._known[name] = pickle.loads(data)
            if len(self._known) > MAX_GRAMMARS:
                self._known.popitem(last=False)
        self._known.move_to_end(name)
        return self._known[name]


def do(engine: Recognizer, shelf: Shelf, job: Job) -> Answer:
    """Do one job. A failure of the engine is an answer like another."""
    began_ns = time.process_time_ns()
    answer = _answer(engine, shelf.take(job.grammars), job)
    return replace(answer, cpu_us=(time.process_time_ns() - began_ns) // 1000)


def _answer(engine: Recognizer, grammars: Sequence[Grammar], job: Job) -> Answer:
    try:
        if job.sound is None:
            return Answer(job.number, unknown=tuple(engine.compile(grammars, job.locale)))
        samples = np.frombuffer(job.sound, np.int16)
        found = engine.recognize(samples, job.sample_rate_hz, grammars, job.locale)
    except EngineFailed as error:
        return Answer(job.number, failure=error)
    except Exception as error:  # noqa: BLE001 - whatever a plug-in raises costs its job alone
        cause = f"{engine.name}: {type(error).__name__}: {error}"
        return Answer(job.number, failure=EngineFailed("failed", cause))
    return Answer(job.number, tuple(found))


def main() -> None:
    """Work until stdin closes. The first answer is number `READY`."""
    answers = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    os.nice(NICENESS)
    try:
        engine: Recognizer = make_engine("ringwheel.recognizers", sys.argv[1])
    except EngineFailed as error:
        answers.write(pack(Answer(READY, failure=error)))
        return
    answers.write(pack(Answer(READY)))
    answers.flush()
    shelf = Shelf()
    while job := _read(sys.stdin.buffer):
        answers.write(pack(do(engine, shelf, job)))
        answers.flush()

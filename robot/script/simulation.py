"""Random callers: a script is called many times in virtual time, by given probabilities.

What callers do at a question is drawn: they answer, say nothing, say what does not fit, or leave.
What takes time takes what its words, or its own numbers, come to. The same seed gives the same.
"""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

from ..grammar.model import Grammar, GrammarError
from ..grammar.sampling import random_sentence
from .actions import (
    Action,
    AskNow,
    FetchNow,
    RecordNow,
    SayNow,
    SendDigitsNow,
    Speech,
    SpokenPause,
    SpokenText,
    StreamNow,
    TransferNow,
)
from .events import Begin, Done, Event, Failed, Heard, Left, NoInput, NoMatch
from .interpreter import Interpreter
from .model import Ask, Json, Script
from .outcome import Ended

MONDAY_MS = 1_767_607_200_000
"""When every call begins: Monday, 5 January 2026, 10:00 UTC."""
CHARACTERS_PER_S = 15.0
"""What people and synthesizers say in a second, in most languages that are written by letters."""
FILE_MS = 3_000
"""How long a sound file is taken to be whose text is not known."""
DIGIT_MS = 400
MESSAGE_MS = 8_000
FETCH_MS = 400
SAMPLES = 40
FACTS: dict[str, Json] = {
    "caller": "+442071234567",
    "callee": "+442079876543",
    "call_id": "simulated",
    "direction": "in",
}


@dataclass(frozen=True, slots=True)
class Manners:
    """What a caller does at a question, by probability; otherwise he answers.

    ``answers`` are values with weights; where there are none, any answer that fits is as likely.
    ``fails`` is how often a step that is no question (http, transfer) fails, ``result`` what it
    gives.
    """

    silence: float = 0.05
    misfit: float = 0.08
    leave: float = 0.02
    answer_ms: int = 1_200
    answers: tuple[tuple[Json, float], ...] = ()
    fails: float = 0.0
    result: Json = None


@dataclass(frozen=True, slots=True)
class Callers:
    """The manners of all callers, and those at single steps: by a step's id, or its variable."""

    manners: Manners = Manners()
    at: Mapping[str, Manners] = field(default_factory=dict)
    facts: Mapping[str, Json] = field(default_factory=dict)


@dataclass(slots=True)
class Stop:
    """What happened at one question over all calls: ``calls`` came to it, ``left`` went there."""

    step: str
    calls: int = 0
    asked: int = 0
    answered: int = 0
    no_input: int = 0
    no_match: int = 0
    left: int = 0
    given_up: int = 0


@dataclass(slots=True)
class Simulated:
    """What came of all calls: how they ended, and after how many milliseconds, sorted."""

    causes: Counter[str] = field(default_factory=Counter)
    last_steps: Counter[str] = field(default_factory=Counter)
    errors: Counter[str] = field(default_factory=Counter)
    lengths_ms: list[int] = field(default_factory=list)
    stops: dict[str, Stop] = field(default_factory=dict)
    steps: int = 0

    @property
    def calls(self) -> int:
        """How many calls there were."""
        return len(self.lengths_ms)

    def percentile_ms(self, share: float) -> int:
        """How long a call takes that is longer than this share of them; 0 without calls."""
        ordered = sorted(self.lengths_ms)
        return ordered[min(int(share * len(ordered)), len(ordered) - 1)] if ordered else 0


def simulate(script: Script, callers: Callers, calls: int, seed: int) -> Iterator[Simulated]:
    """Call the script so often; what came of it so far, after each call."""
    crowd = _Crowd(script, callers, random.Random(seed))
    total = Simulated(stops={step: Stop(step) for step in _questions(script)})
    for _ in range(calls):
        _count(total, crowd.call())
        yield total


def unknown_places(script: Script, callers: Callers) -> list[str]:
    """Names in ``callers.at`` that are no step of the script, and no variable of one."""
    steps = [step for part in script.all for step in part.steps.values()]
    named = {step.id for step in steps}
    for step in steps:
        into = getattr(step, "into", None)
        named |= {into} if into else set()
    return sorted(set(callers.at) - named)


def speech_ms(speech: Speech) -> int:
    """How long this takes to say, about."""
    total = 0.0
    for spoken in speech:
        if isinstance(spoken, SpokenPause):
            total += spoken.pause_ms
        elif isinstance(spoken, SpokenText) or spoken.text:
            total += len(spoken.text) * 1000 / CHARACTERS_PER_S
        else:
            total += FILE_MS
    return round(total)


def _questions(script: Script) -> list[str]:
    steps = (step for part in script.all for step in part.steps.values())
    return [step.id for step in steps if isinstance(step, Ask)]


def _count(total: Simulated, ended: Ended) -> None:
    total.causes[ended.cause] += 1
    total.last_steps[ended.step] += 1
    total.lengths_ms.append(ended.ms)
    total.steps += ended.steps
    if isinstance(ended.error, dict):
        total.errors[f"{ended.error['step']}: {ended.error['reason']}"] += 1
    for question in ended.questions:
        stop = total.stops[question.step]
        stop.calls += 1
        stop.asked += question.asked
        stop.no_input += question.no_input
        stop.no_match += question.no_match
        stop.answered += question.outcome == "answered"
        stop.left += question.outcome == "left"
        stop.given_up += question.outcome in ("no-input", "no-match")


class _Crowd:
    """All callers of a script: one after the other, each by the same dice."""

    def __init__(self, script: Script, callers: Callers, chance: random.Random) -> None:
        self._script = script
        self._callers = callers
        self._chance = chance
        self._secrets = dict.fromkeys(script.secrets, "a secret of nobody")
        self._facts = {**FACTS, **callers.facts}
        self._manners: dict[str, Manners] = {}
        self._values: dict[str, list[tuple[Json, float]]] = {}

    def call(self) -> Ended:
        """One call, to its end."""
        interpreter = Interpreter(self._script, self._secrets)
        now_ms = MONDAY_MS
        (action,) = interpreter.begin(Begin(at_ms=now_ms, facts=self._facts))
        while (ended := interpreter.ended) is None:
            if now_ms >= MONDAY_MS + interpreter.limits.call_s * 1000:
                interpreter.stop(now_ms, "limit")
                continue
            event = self._event(action, now_ms)
            now_ms = event.at_ms
            (action,) = interpreter.handle(event)
        return replace(ended, ms=ended.ms + speech_ms(getattr(action, "speech", ())))

    def _event(self, action: Action, now_ms: int) -> Event:
        manners = self._manners_at(action.step)
        result: Json = None
        match action:
            case AskNow():
                return self._asked(action, manners, now_ms + speech_ms(action.speech))
            case SayNow():
                return Done(at_ms=now_ms + speech_ms(action.speech), turn=action.turn)
            case FetchNow():
                ms, result = FETCH_MS, manners.result or {"status": 200, "body": None}
            case RecordNow():
                ms = speech_ms(action.speech) + min(MESSAGE_MS, action.max_ms)
                result = manners.result or {"file": "", "ms": MESSAGE_MS, "ended_by": "silence"}
            case TransferNow():
                ms, result = speech_ms(action.speech), manners.result or {"how": "simulated"}
            case SendDigitsNow():
                ms = len(action.digits) * DIGIT_MS
            case StreamNow():
                ms = action.max_ms // 2
                result = manners.result or {"ended_by": "caller", "seconds": ms / 1000}
            case _:
                raise TypeError(f"{type(action).__name__} is not answered")
        if self._chance.random() < manners.fails:
            why = "simulated"
            return Failed(at_ms=now_ms + ms, turn=action.turn, kind="simulated", reason=why)
        return Done(at_ms=now_ms + ms, turn=action.turn, result=result)

    def _asked(self, action: AskNow, manners: Manners, at_ms: int) -> Event:
        dice = self._chance.random()
        if dice < manners.leave:
            return Left(at_ms=at_ms, cause="simulated")
        dice -= manners.leave
        if dice < manners.silence:
            return NoInput(at_ms=at_ms + action.input.timing.no_input_ms, turn=action.turn)
        dice -= manners.silence
        # People take a while, most of them a short one.
        at_ms += round(manners.answer_ms * self._chance.uniform(0.5, 1.5))
        values = self._values_at(action, manners)
        if dice < manners.misfit or not values:
            return NoMatch(at_ms=at_ms, turn=action.turn)
        ((value, _),) = self._chance.choices(values, [weight for _, weight in values])
        return Heard(at_ms=at_ms, turn=action.turn, mode="speech", text=str(value), value=value)

    def _manners_at(self, step: str) -> Manners:
        manners = self._manners.get(step)
        if manners is None:
            at, made = self._callers.at, self._script.find(step)
            by_name = at.get(getattr(made, "into", None) or "", self._callers.manners)
            manners = self._manners[step] = at.get(step, by_name)
        return manners

    def _values_at(self, action: AskNow, manners: Manners) -> list[tuple[Json, float]]:
        values = self._values.get(action.step)
        if values is None:
            values = list(manners.answers) or self._any_values(action)
            self._values[action.step] = values
        return values

    def _any_values(self, action: AskNow) -> list[tuple[Json, float]]:
        """Values that fit, each as likely: those of the branches, or what the grammars mean."""
        step = self._script.find(action.step)
        if isinstance(step, Ask) and step.branches:
            return [(branch.value, 1.0) for branch in step.branches]
        sampled: list[tuple[Json, float]] = []
        for grammar in (action.input.digits, action.input.speech):
            if grammar is not None and not sampled:
                sampled = list(_sampled(grammar, self._chance))
        return sampled or ([("words", 1.0)] if action.input.free else [])


def _sampled(grammar: Grammar, chance: random.Random) -> Iterator[tuple[Json, float]]:
    for _ in range(SAMPLES):
        sentence = random_sentence(grammar, chance)
        try:
            match = None if sentence is None else grammar.match(sentence)
        except GrammarError:
            continue
        if match is not None:
            yield match.value, 1.0

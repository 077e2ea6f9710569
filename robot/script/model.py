"""A script once it is compiled: a graph of steps, immutable and shared by all of its calls.

The compiler (``compiler.py``) makes it of YAML or JSON, the interpreter (``interpreter.py``) walks
it. A step's id says where it stands (``main.3``, ``main.3.then.0``): people read it in reports, and
a saved state refers to it, so that it means the same on every machine that has the same script.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from ..grammar.model import Grammar
from .expressions import Expression, Template
from .place import Json as Json  # noqa: PLC0414, the model's users have it from here
from .place import Place as Place  # noqa: PLC0414

BargeIn = Literal["none", "dtmf", "speech", "both"]
By = Literal["mrcp", "local", "stream"]
SayAs = Literal["number", "ordinal", "digits", "characters", "date", "time", "amount", "list"]

SCOPE_NAMES = ("answer", "channel", "error", "facts", "heard", "now_ms", "secrets")
"""Names that every expression can read beside the variables of its flow; no variable has one.

``answer`` is the last answer's value, ``heard`` how it came (``text``, ``mode``, ``confidence``);
``error`` is what failed last (``kind``, ``reason``, ``step``, ``result``); all None before. The
flow of a handler works on the variables of the script's first flow, not on those of a sub-dialogue.
"""


@dataclass(frozen=True, slots=True)
class TextPrompt:
    """Words: spoken by a synthesizer, written in a text channel. ``ssml``: it is SSML."""

    text: Template
    voice: str | None = None
    locale: str | None = None
    ssml: bool = False


@dataclass(frozen=True, slots=True)
class FilePrompt:
    """A sound file; ``text`` is what it says, for text channels and for people."""

    path: Template
    text: Template | None = None


@dataclass(frozen=True, slots=True)
class ValuePrompt:
    """A value read out in the locale: ``as_`` says how; ``currency`` (ISO 4217) for amounts."""

    value: Expression
    as_: SayAs
    currency: str | None = None


@dataclass(frozen=True, slots=True)
class PausePrompt:
    """Silence of so many milliseconds."""

    pause_ms: int


Prompt = TextPrompt | FilePrompt | ValuePrompt | PausePrompt
Prompts = tuple[Prompt, ...]


@dataclass(frozen=True, slots=True)
class Timing:
    """How long an answer is waited for, in milliseconds (VoiceXML 2.1 appendix D has the words)."""

    no_input_ms: int = 5_000
    inter_digit_ms: int = 2_000
    complete_ms: int = 800
    max_speech_ms: int = 15_000


@dataclass(frozen=True, slots=True)
class Input:
    """What is taken for an answer: ``speech`` and ``digits`` are grammars, None where that way of
    answering is closed; ``free`` takes any words (text channels, open dictation)."""

    speech: Grammar | None = None
    digits: Grammar | None = None
    free: bool = False
    min_confidence: float = 0.4
    timing: Timing = Timing()


@dataclass(frozen=True, slots=True)
class Retries:
    """What is said when nothing, or nothing that fits, was answered, and when it is given up.

    The n-th failure takes the n-th prompts, the last ones again beyond them (VoiceXML 2.1, 5.2.2);
    with none, the question is asked again. After ``max_no_input`` silences, ``max_no_match``
    misfits or ``max_total`` of both the dialogue goes to ``then``, or, where that is None, to the
    script's handler ``silence`` or ``no_match``.
    """

    no_input: tuple[Prompts, ...] = ()
    no_match: tuple[Prompts, ...] = ()
    max_no_input: int = 3
    max_no_match: int = 3
    max_total: int = 5
    then: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step. ``next`` is the step behind it, None at the end of its flow."""

    id: str
    place: Place
    flow: str
    next: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Say(Step):
    """Say the prompts."""

    prompts: Prompts
    barge_in: BargeIn = "none"


@dataclass(frozen=True, slots=True)
class Branch:
    """Where an answer leads: to ``to`` if it equals ``value``. Here and in all that leads
    somewhere, None is the step behind (``Step.next``)."""

    value: Json
    to: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ask(Step):
    """Ask, and put what was answered into the variable ``into``.

    ``verb`` is what the author wrote. ``confirm`` asks yes or no; ``choose`` is a menu; for both
    ``branches`` has where the answers lead. ``valid`` must hold of the answer (the variable
    ``answer`` in it), else it counts as a misfit.
    """

    verb: Literal["ask", "confirm", "choose"]
    into: str | None
    prompts: Prompts
    input: Input
    barge_in: BargeIn = "both"
    retries: Retries = Retries()
    branches: tuple[Branch, ...] = ()
    valid: Expression | None = None
    by: By | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Set(Step):
    """Give variables the values of expressions, in their order."""

    values: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True, slots=True)
class Case:
    """One branch of an ``if`` or a ``switch``: the first whose ``when`` is true is taken."""

    when: Expression
    to: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice(Step):
    """``if`` and ``switch``: the first case that holds, or ``otherwise``."""

    cases: tuple[Case, ...]
    otherwise: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Goto(Step):
    """Go on at another flow of the script, which then takes this one's place."""

    to_flow: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFlow(Step):
    """Run a flow as a sub-dialogue: it sees its arguments alone, and gives ``into`` its result."""

    to_flow: str
    arguments: tuple[tuple[str, Expression], ...]
    into: str | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Return(Step):
    """End the flow; ``value`` is its result."""

    value: Expression | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Http(Step):
    """Ask a web service. The answer's status and decoded body go ``into`` (``status``, ``body``).

    One try may take ``deadline_ms``; ``retries`` more follow a failure of the network, or a 429 or
    5xx. ``filler`` is said meanwhile. ``failed`` is where it goes when all was in vain.
    """

    method: str
    url: Template
    headers: tuple[tuple[str, Template], ...]
    body: Expression | None
    into: str | None
    deadline_ms: int
    retries: int
    filler: Prompts
    failed: str | None
    has_failed_branch: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Record(Step):
    """Record what is said, until ``silence_ms`` of silence, a key, or ``max_ms``."""

    into: str
    prompts: Prompts
    max_ms: int
    silence_ms: int
    finish_keys: str
    beep: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Transfer(Step):
    """Hand the call over. ``to`` is a number or a SIP URI; ``failed`` where it did not succeed."""

    to: Template
    timeout_ms: int
    prompts: Prompts
    failed: str | None
    has_failed_branch: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HandOver(Step):
    """Go on in another script, from its start; the way back is another one of these.

    ``script`` is its key in the first script's ``others``, "" the first itself. The arguments take
    the place of the first values of its variables.
    """

    script: str
    arguments: tuple[tuple[str, Expression], ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class SendDigits(Step):
    """Send keypad digits to the far side."""

    digits: Template


@dataclass(frozen=True, slots=True, kw_only=True)
class Stream(Step):
    """Connect the sound to a WebSocket or AudioSocket peer, until it or the caller ends it."""

    url: Template
    parameters: tuple[tuple[str, Template], ...]
    into: str | None
    max_ms: int
    failed: str | None
    has_failed_branch: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class HangUp(Step):
    """End the call. ``cause`` goes into the result; ``prompts`` are said before."""

    cause: str
    prompts: Prompts


@dataclass(frozen=True, slots=True)
class Flow:
    """A named list of steps, with the names of its arguments. ``entry`` is its first step."""

    name: str
    place: Place
    entry: str | None
    parameters: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Handler:
    """A global handler: what is said or typed at any question (``input``) that goes to ``flow``.

    ``repeat`` has no flow: it asks the question again, without counting.
    """

    name: str
    place: Place
    flow: str | None
    input: Input | None = None


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of one conversation."""

    call_s: int = 3_600
    steps: int = 2_000
    silence_s: int = 20
    state_bytes: int = 16_384


@dataclass(frozen=True, slots=True)
class Script:
    """A whole script. ``hash`` is the SHA-256 of what it was made from, in hexadecimal.

    ``handlers`` may have ``operator``, ``repeat``, ``silence``, ``no_match``, ``hang_up`` and
    ``error``, and others of the author's. ``secrets`` are names of environment variables, by the
    name that expressions use (``secrets.name``); their values never come into a state or a report.

    ``others`` are the scripts that it may hand over to, and those that they do, by their paths from
    its folder. Their steps' ids begin with that path (``bills.yaml:main.3``); all scripts have the
    same ``secrets``, those of all of them, and the first one's ``hash`` is that of the whole.
    """

    name: str
    hash: str
    locale: str
    start: str
    steps: Mapping[str, Step]
    flows: Mapping[str, Flow]
    voice: str | None = None
    by: By = "local"
    handlers: Mapping[str, Handler] = field(default_factory=dict)
    variables: tuple[tuple[str, Expression], ...] = ()
    secrets: Mapping[str, str] = field(default_factory=dict)
    report: tuple[str, ...] = ()
    limits: Limits = Limits()
    base: str = "."
    others: Mapping[str, Script] = field(default_factory=dict)
    longest_id: int = field(init=False, repr=False, compare=False)
    """Characters of the longest of all steps' ids."""

    def __post_init__(self) -> None:
        longest = max((len(id_) for script in self.all for id_ in script.steps), default=0)
        object.__setattr__(self, "longest_id", longest)

    @property
    def all(self) -> tuple[Script, ...]:
        """This script and the others."""
        return (self, *self.others.values())

    @property
    def all_fields(self) -> tuple[str, ...]:
        """What a conversation may report, in whatever script it ends."""
        return tuple(dict.fromkeys(name for script in self.all for name in script.report))

    def part(self, key: str) -> Script | None:
        """This script for "", or one of the others."""
        return self.others.get(key) if key else self

    def find(self, step: str) -> Step | None:
        """A step of this script or of the others."""
        return next((script.steps[step] for script in self.all if step in script.steps), None)

"""What an engine of speech is: the interface that others plug into.

An engine is found by its name among the entry points ``ringwheel.recognizers`` and
``ringwheel.synthesizers``, each a function without arguments that gives a :class:`Recognizer` or a
:class:`Synthesizer`. A synthesizer works in the server's process and must not block its loop. A
recognizer works in a worker process of its own, may block as it likes, and keeps nothing of one
caller for the next: it gets a whole utterance, and says what that was.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Sequence
from dataclasses import dataclass
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any, Literal, Protocol

from ....media.codec import Samples
from ...grammar.model import Grammar

FailureKind = Literal["missing", "language", "voice", "grammar", "busy", "deadline", "failed"]


class EngineFailed(Exception):
    """An engine cannot do it. ``kind`` is one word, the text is for people: cause and remedy."""

    def __init__(self, kind: FailureKind, text: str) -> None:
        super().__init__(text)
        self.kind: FailureKind = kind

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self), (self.kind, str(self))


@dataclass(frozen=True, slots=True)
class Utterance:
    """What is to be spoken. ``rate`` and ``volume``: 1.0 is the voice's own."""

    text: str
    locale: str = "en-US"
    voice: str | None = None
    ssml: bool = False
    rate: float = 1.0
    volume: float = 1.0


class Synthesizer(Protocol):
    """Makes sound of text. Methods raise :class:`EngineFailed`."""

    @property
    def name(self) -> str:
        """One word; sound of engines of the same name is held to be the same."""
        ...

    @property
    def sample_rate_hz(self) -> int:
        """Of the sound that it makes."""
        ...

    async def check(self, utterance: Utterance) -> None:
        """Return if this can be spoken; language and voice are wrong here, and not later."""
        ...

    def synthesize(self, utterance: Utterance) -> AsyncGenerator[Samples, None]:
        """Mono blocks of sound as they are made; closing the generator ends the work at once."""
        ...


@dataclass(frozen=True, slots=True)
class Hypothesis:
    """What may have been said; ``confidence`` is 0 to 1, and tells words that were not in the
    grammars from those that were."""

    text: str
    confidence: float


class Recognizer(Protocol):
    """Makes text of sound. Methods may block, and raise :class:`EngineFailed`."""

    @property
    def name(self) -> str:
        """One word."""
        ...

    def compile(self, grammars: Sequence[Grammar], locale: str) -> Sequence[str]:
        """Make ready for these grammars together, and keep that for the next time. Gives the words
        that are never recognized, since the engine does not have them."""
        ...

    def recognize(
        self, samples: Samples, sample_rate_hz: int, grammars: Sequence[Grammar], locale: str
    ) -> list[Hypothesis]:
        """What was said, the best first; nothing if it cannot be told."""
        ...


Group = Literal["ringwheel.recognizers", "ringwheel.synthesizers"]

_OURS: dict[Group, dict[str, tuple[str, str]]] = {
    "ringwheel.recognizers": {"pocketsphinx": ("sphinx", "PocketsphinxRecognizer")},
    "ringwheel.synthesizers": {"espeak-ng": ("espeak", "EspeakSynthesizer")},
}
"""The engines that come with us: module and class, loaded when they are asked for."""


def engine_names(group: Group) -> list[str]:
    """The engines that there are."""
    return sorted({*_OURS[group], *(point.name for point in entry_points(group=group))})


def make_engine(group: Group, name: str) -> Any:
    """A new engine. EngineFailed: there is none of that name, or it cannot work here."""
    try:
        if name in _OURS[group]:
            module, attribute = _OURS[group][name]
            return getattr(import_module(f".{module}", __package__), attribute)()
        for point in entry_points(group=group):
            if point.name == name:
                return point.load()()
    except ImportError as error:
        raise EngineFailed("missing", f"{name}: {error}; install it with pip") from error
    kind, known = group.rpartition(".")[2], ", ".join(engine_names(group))
    raise EngineFailed("missing", f"no {name!r} among the {kind}; there are: {known}")

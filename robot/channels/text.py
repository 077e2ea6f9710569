"""The same script as typed chat: what would be spoken is written, what is typed is matched by the
question's grammars. The terminal is one such channel, a file of answers another."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Protocol

from ..grammar.model import Grammar, GrammarError
from ..script import events
from ..script.actions import (
    Action,
    AskNow,
    FetchNow,
    HangUpNow,
    RecordNow,
    SayNow,
    SendDigitsNow,
    Speech,
    SpokenFile,
    SpokenText,
    StreamNow,
    TransferNow,
)
from ..script.events import Done, Event, Failed, Heard, Left, Mode, NoInput, NoMatch
from ..script.model import Ask, Branch, Input, Json, Script
from ..speech.ssml import SsmlError, plain_text

MAX_LINE_CHARACTERS = 2_000
KEYS = "1234567890*#"

ReadLine = Callable[[], Awaitable[str | None]]
"""The next line that was typed, without its end; None when there will be none."""
WriteLine = Callable[[str], None]


class Fetches(Protocol):
    """What makes HTTP requests: :class:`~..fetch.Fetcher`."""

    async def perform(self, action: FetchNow) -> Done | Failed: ...


class TextChannel:
    """One person who types. An empty line is a silence; the end of the input is leaving.

    ``waits``: whether a question that is not answered in time is a silence, as on the phone.
    """

    kind: events.Channel = "text"

    def __init__(
        self,
        script: Script,
        read: ReadLine,
        write: WriteLine,
        fetcher: Fetches,
        clock_ms: Callable[[], int],
        *,
        waits: bool = False,
    ) -> None:
        self._script = script
        self._read = read
        self._write = write
        self._fetcher = fetcher
        self._clock_ms = clock_ms
        self._waits = waits
        self._left = asyncio.Event()

    async def wait_left(self) -> Left:
        await self._left.wait()
        return Left(at_ms=self._clock_ms(), cause="end of input")

    async def perform(self, action: Action) -> Event | None:
        if not isinstance(action, FetchNow | SendDigitsNow | StreamNow):
            self._say(action.speech)
        match action:
            case AskNow():
                return await self._ask(action)
            case FetchNow():
                self._say(action.filler)
                return await self._fetcher.perform(action)
            case RecordNow():
                return await self._record(action)
            case HangUpNow():
                return None
        return self._act(action)

    def _act(self, action: SayNow | TransferNow | SendDigitsNow | StreamNow) -> Done | Failed:
        """What nobody is waited for."""
        if isinstance(action, TransferNow):
            self._write(f"[transfer to {action.to}]")
            return self._done(action.turn, {"how": "text"})
        if isinstance(action, StreamNow):
            reason = "there is no sound in a text channel"
            now_ms, turn = self._clock_ms(), action.turn
            return Failed(at_ms=now_ms, turn=turn, kind="stream", reason=reason)
        if isinstance(action, SendDigitsNow):
            self._write(f"[keys {action.digits}]")
        return self._done(action.turn)

    def _done(self, turn: int, result: Json = None) -> Done:
        return Done(at_ms=self._clock_ms(), turn=turn, result=result)

    def _say(self, speech: Speech) -> None:
        pieces = []
        for spoken in speech:
            if isinstance(spoken, SpokenText):
                pieces.append(without_markup(spoken.text) if spoken.ssml else spoken.text)
            elif isinstance(spoken, SpokenFile):
                pieces.append(spoken.text or f"[{spoken.path}]")
        if pieces:
            self._write(" ".join(pieces))

    async def _ask(self, action: AskNow) -> Event:
        menu = self._menu(action)
        for key, value in menu.items():
            self._write(f"  {key}) {_label(value)}")
        line = await self._line(action.input.timing.no_input_ms)
        if not line:
            return NoInput(at_ms=self._clock_ms(), turn=action.turn)
        return understand(line, action, menu, self._clock_ms())

    def _menu(self, action: AskNow) -> dict[str, Json]:
        """The choices of a menu, each by the key that is pressed for it, or by its number."""
        step = self._script.find(action.step)
        if not isinstance(step, Ask) or step.verb != "choose":
            return {}
        return keyed(step.branches, action.input.digits)

    async def _record(self, action: RecordNow) -> Event:
        line = await self._line(action.max_ms)
        return self._done(
            action.turn, {"file": "", "ms": 0, "ended_by": "text", "text": line or ""}
        )

    async def _line(self, no_input_ms: int) -> str | None:
        """What is typed next; None, where nothing is in time."""
        try:
            async with asyncio.timeout(no_input_ms / 1000 if self._waits else None):
                line = await self._read()
        except TimeoutError:
            return None
        if line is None:
            self._left.set()
            # Whoever drives sees that the person has left, and ends this.
            await asyncio.get_running_loop().create_future()
        return (line or "")[:MAX_LINE_CHARACTERS].strip()


def keyed(branches: tuple[Branch, ...], digits: Grammar | None) -> dict[str, Json]:
    """The values of a menu by what is typed for them, in the order of the menu."""
    by_key = {}
    for key in KEYS if digits is not None else "":
        match = _match(digits, key)
        if match is not None:
            by_key[key] = match[1]
    menu: dict[str, Json] = {}
    for number, branch in enumerate(branches, 1):
        keys = [key for key, value in by_key.items() if value == branch.value]
        if not keys and str(number) not in by_key:
            keys = [str(number)]
        for key in keys[:1]:
            menu[key] = branch.value
    return menu


def understand(line: str, action: AskNow, menu: Mapping[str, Json], at_ms: int) -> Event:
    """What a typed line is for a question: an answer, a handler's word, or nothing that fits."""
    if line in menu:
        return Heard(at_ms=at_ms, turn=action.turn, mode="text", text=line, value=menu[line])
    for handler, given in ((None, action.input), *action.handlers.items()):
        found = _matched(given, line)
        if found is not None:
            mode, value = found
            return Heard(
                at_ms=at_ms, turn=action.turn, mode=mode, text=line, value=value, handler=handler
            )
    if action.input.free:
        return Heard(at_ms=at_ms, turn=action.turn, mode="text", text=line, value=line)
    return NoMatch(at_ms=at_ms, turn=action.turn, text=line)


def _matched(given: Input, line: str) -> tuple[Mode, Json] | None:
    speech = _match(given.speech, line)
    if speech is not None:
        return "text", speech[1]
    digits = _match(given.digits, line.replace(" ", ""))
    return None if digits is None else ("dtmf", digits[1])


def _match(grammar: Grammar | None, text: str) -> tuple[str, Json] | None:
    """The words that fit, and their value: a pair, because the value may be None."""
    if grammar is None:
        return None
    try:
        match = grammar.match(text)
    except GrammarError:
        # The grammar cannot say what these words mean.
        return None
    return None if match is None else (match.text, match.value)


def _label(value: Json) -> str:
    return value if isinstance(value, str) else str(value)


def without_markup(ssml: str) -> str:
    """What SSML says; as it is written, where it is none."""
    try:
        return plain_text(ssml)
    except SsmlError:
        return ssml

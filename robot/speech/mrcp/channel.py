"""The requests of one control channel, as a client sees them (RFC 6787, sections 5 and 6).

Sans-I/O: messages and time in, bytes and endings out. Each request comes to its end once: by the
server's word, by one of ours that stops it, by a deadline, or with the channel.
"""

from __future__ import annotations

from collections import Counter, OrderedDict
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from enum import StrEnum
from functools import partial
from typing import NamedTuple, Protocol

from .message import ChannelId, Event, Headers, Request, Response, request_ids
from .words import (
    Cause,
    EventName,
    Header,
    Method,
    RecognizeCause,
    RecordCause,
    RequestState,
    SpeakCause,
    cause_name,
    cause_of,
    status_text,
)

MAX_OPEN_REQUESTS = 32
MAX_REMEMBERED = 64
"""Requests that are over, to tell what comes late from what nobody has asked for."""


class Ending(StrEnum):
    """How a request came to its end."""

    COMPLETE = "complete"
    """As it should: what it brought is in the message, how it ended in the cause."""
    REFUSED = "refused"
    STOPPED = "stopped"
    """By a STOP or BARGE-IN-OCCURRED of ours."""
    NO_RESPONSE = "no-response"
    NO_COMPLETION = "no-completion"
    LOST = "lost"
    """With its channel."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of a request. ``status`` is that of the response, 0 where none came; ``cause`` is
    None where none was told; ``text`` says it for people."""

    ending: Ending
    status: int = 0
    cause: Cause | None = None
    text: str = ""
    message: Response | Event | None = None

    @property
    def ok(self) -> bool:
        """True if the request has ended as it should, whatever the cause."""
        return self.ending is Ending.COMPLETE


class Oddity(StrEnum):
    """What a server sends that changes nothing, and is counted."""

    STRAY_RESPONSE = "stray-response"
    REPEATED_RESPONSE = "repeated-response"
    LATE_RESPONSE = "late-response"
    STRAY_EVENT = "stray-event"
    LATE_EVENT = "late-event"
    UNKNOWN_EVENT = "unknown-event"
    UNFIT_EVENT = "unfit-event"
    """One that does not belong to the request's method."""
    EVENT_BEFORE_RESPONSE = "event-before-response"
    UNFIT_STATE = "unfit-state"
    """A request state that contradicts the method or the event."""


class RequestUser(Protocol):
    """Who has asked. ``on_ended`` is called once, and nothing after it."""

    def on_taken(self, asked: Asked) -> None:
        """The server has taken it: ``asked.state`` is PENDING or IN-PROGRESS."""

    def on_event(self, asked: Asked, event: Event) -> None:
        """Something happened, and it goes on."""

    def on_ended(self, asked: Asked, outcome: Outcome) -> None:
        """It is over."""


@dataclass(slots=True, eq=False)
class Asked:
    """A request of ours that is not over. ``state`` is None until it is answered; ``due_ms`` is
    when it ends for want of an answer, or of its completion."""

    id: int
    method: Method
    user: RequestUser
    complete_within_ms: int | None
    due_ms: int | None
    state: RequestState | None = None
    stops: tuple[int, ...] = ()


class _Completion(NamedTuple):
    """What ends a request that lasts."""

    event: EventName
    cause_of: Callable[[str | None], Cause | None]
    others: frozenset[EventName] = frozenset()


_speak_cause = partial(cause_of, causes=SpeakCause)
_recognize_cause = partial(cause_of, causes=RecognizeCause)
_record_cause = partial(cause_of, causes=RecordCause)

_COMPLETIONS = {
    Method.SPEAK: _Completion(
        EventName.SPEAK_COMPLETE, _speak_cause, frozenset({EventName.SPEECH_MARKER})
    ),
    Method.RECOGNIZE: _Completion(
        EventName.RECOGNITION_COMPLETE, _recognize_cause, frozenset({EventName.START_OF_INPUT})
    ),
    Method.INTERPRET: _Completion(EventName.INTERPRETATION_COMPLETE, _recognize_cause),
    Method.RECORD: _Completion(
        EventName.RECORD_COMPLETE, _record_cause, frozenset({EventName.START_OF_INPUT})
    ),
}
_GRAMMAR_METHODS = frozenset({Method.DEFINE_GRAMMAR, Method.GET_RESULT})
_KNOWN_EVENTS = frozenset(str(name) for name in EventName)


class TooManyRequests(Exception):
    """More than `MAX_OPEN_REQUESTS` wait on one channel."""


class Channel:
    """One control channel. ``send`` takes what goes out on its connection; ``ids`` numbers the
    requests of the session, upwards (5.2); a response has to come within ``response_ms``.

    ``odd`` counts what came and changed nothing.
    """

    def __init__(
        self,
        id: ChannelId,
        send: Callable[[bytes], None],
        ids: Iterator[int],
        *,
        response_ms: int = 5_000,
        odd: Counter[Oddity] | None = None,
    ) -> None:
        self.id = id
        self.odd: Counter[Oddity] = Counter() if odd is None else odd
        self._send = send
        self._ids = ids
        self._response_ms = response_ms
        self._open: dict[int, Asked] = {}
        self._over: OrderedDict[int, None] = OrderedDict()
        self._lost = ""

    @property
    def open(self) -> tuple[Asked, ...]:
        """The requests that are not over, in their order."""
        return tuple(self._open.values())

    @property
    def due_ms(self) -> int | None:
        """When `expire` has something to do; None: never."""
        return min((a.due_ms for a in self._open.values() if a.due_ms is not None), default=None)

    def ask(
        self,
        method: Method,
        user: RequestUser,
        now_ms: int,
        *,
        headers: Iterable[tuple[str, str]] = (),
        body: bytes = b"",
        complete_within_ms: int | None = None,
        stops: tuple[int, ...] = (),
    ) -> Asked:
        """Send a request. ``complete_within_ms``: from its response to its completion; None: no
        limit. ``stops``: what a STOP ends; empty: all that are open.

        Raises TooManyRequests, and ValueError for what cannot be sent. On a channel that is lost
        it ends at once.
        """
        if len(self._open) >= MAX_OPEN_REQUESTS:
            raise TooManyRequests(f"{len(self._open)} requests wait on channel {self.id}")
        lines = [(str(Header.CHANNEL_IDENTIFIER), str(self.id)), *headers]
        request = Request(next(self._ids), method=method, headers=Headers(lines), body=body)
        data = request.to_bytes()
        if method is Method.STOP and not stops:
            stops = tuple(self._open)
        due_ms = now_ms + self._response_ms
        asked = Asked(request.request_id, method, user, complete_within_ms, due_ms, stops=stops)
        if self._lost:
            asked.state = RequestState.COMPLETE
            user.on_ended(asked, Outcome(Ending.LOST, text=self._lost))
            return asked
        self._open[asked.id] = asked
        self._send(data)
        return asked

    def extend(self, asked: Asked, within_ms: int | None, now_ms: int) -> None:
        """Give a request another time for its completion, from now on."""
        asked.complete_within_ms = within_ms
        if asked.state is not None:
            asked.due_ms = None if within_ms is None else now_ms + within_ms

    # What happens

    def receive(self, message: Response | Event, now_ms: int) -> None:
        """A message of this channel came."""
        if isinstance(message, Response):
            self._on_response(message, now_ms)
        else:
            self._on_event(message, now_ms)

    def expire(self, now_ms: int) -> None:
        """End what is due."""
        for asked in [a for a in self._open.values() if a.due_ms is not None]:
            if asked.due_ms is not None and asked.due_ms <= now_ms and asked.id in self._open:
                ending = Ending.NO_RESPONSE if asked.state is None else Ending.NO_COMPLETION
                what = "no response" if asked.state is None else "no completion"
                self._end(asked, Outcome(ending, text=f"{asked.method}: {what} in time"))

    def lose(self, text: str) -> None:
        """The channel is gone, and all that was asked of it."""
        self._lost = text
        for asked in self.open:
            if asked.id in self._open:
                self._end(asked, Outcome(Ending.LOST, text=text))

    # Within

    def _on_response(self, response: Response, now_ms: int) -> None:
        asked = self._open.get(response.request_id)
        if asked is None:
            late = response.request_id in self._over
            self.odd[Oddity.LATE_RESPONSE if late else Oddity.STRAY_RESPONSE] += 1
        elif asked.state is not None:
            self.odd[Oddity.REPEATED_RESPONSE] += 1
        elif not 200 <= response.status < 300:
            self._end(asked, _refusal(asked, response))
        elif asked.method in _COMPLETIONS and response.state is not RequestState.COMPLETE:
            self._take(asked, response.state, now_ms)
        else:
            if response.state is not RequestState.COMPLETE:
                self.odd[Oddity.UNFIT_STATE] += 1  # what is asked so is done when it is answered
            self._end(asked, _completion(asked, response, response.status))
            self._stop_others(asked, response)

    def _take(self, asked: Asked, state: RequestState, now_ms: int) -> None:
        asked.state = state
        within_ms = asked.complete_within_ms
        asked.due_ms = None if within_ms is None else now_ms + within_ms
        asked.user.on_taken(asked)

    def _stop_others(self, asked: Asked, response: Response) -> None:
        """What the response to a STOP or BARGE-IN-OCCURRED says has ended (8.7, 8.8, 9.10).

        Completions are told in the stream's order: so what a STOP meant, and has not ended before
        its response, ended by it, whether or not the server lists it.
        """
        if asked.method is Method.STOP:
            ended = asked.stops
        elif asked.method is Method.BARGE_IN_OCCURRED:
            ended = request_ids(response.headers.get(Header.ACTIVE_REQUEST_ID_LIST))
        else:
            return
        for request_id in ended:
            other = self._open.get(request_id)
            if other is not None and other.method in _COMPLETIONS and other.id < asked.id:
                self._end(other, Outcome(Ending.STOPPED, response.status, message=response))

    def _on_event(self, event: Event, now_ms: int) -> None:
        asked = self._open.get(event.request_id)
        if event.name not in _KNOWN_EVENTS:
            self.odd[Oddity.UNKNOWN_EVENT] += 1
            return
        if asked is None:
            late = event.request_id in self._over
            self.odd[Oddity.LATE_EVENT if late else Oddity.STRAY_EVENT] += 1
            return
        completion = _COMPLETIONS.get(asked.method)
        name = EventName(event.name)
        if completion is None or (name is not completion.event and name not in completion.others):
            self.odd[Oddity.UNFIT_EVENT] += 1
            return
        self._note_state(asked, event, completion, now_ms)
        if name is completion.event:
            self._end(asked, _completion(asked, event, 200))
        else:
            asked.user.on_event(asked, event)

    def _note_state(self, asked: Asked, event: Event, completion: _Completion, now_ms: int) -> None:
        """An event tells that the request was taken, should its response be still to come, and
        that what was pending goes on now (8.13)."""
        complete = event.state is RequestState.COMPLETE
        if complete is not (event.name == completion.event):
            self.odd[Oddity.UNFIT_STATE] += 1
        if asked.state is None:
            self.odd[Oddity.EVENT_BEFORE_RESPONSE] += 1
            self._take(asked, RequestState.IN_PROGRESS, now_ms)
        elif event.state is RequestState.IN_PROGRESS:
            asked.state = RequestState.IN_PROGRESS

    def _end(self, asked: Asked, outcome: Outcome) -> None:
        del self._open[asked.id]
        asked.state = RequestState.COMPLETE
        self._over[asked.id] = None
        if len(self._over) > MAX_REMEMBERED:
            self._over.popitem(last=False)
        asked.user.on_ended(asked, outcome)


def _refusal(asked: Asked, response: Response) -> Outcome:
    """A failure may say its cause as well: which grammar does not compile, which language is not
    there (8.4.4, 9.4.11)."""
    cause = _cause(asked.method, response)
    text = f"{asked.method}: {response.status} {status_text(response.status)}"
    return Outcome(
        Ending.REFUSED, response.status, cause, _explained(text, cause, response), response
    )


def _completion(asked: Asked, message: Response | Event, status: int) -> Outcome:
    cause = _cause(asked.method, message)
    text = _explained(str(asked.method), cause, message)
    return Outcome(Ending.COMPLETE, status, cause, text, message)


def _cause(method: Method, message: Response | Event) -> Cause | None:
    value = message.headers.get(Header.COMPLETION_CAUSE)
    completion = _COMPLETIONS.get(method)
    if completion is not None:
        return completion.cause_of(value)
    if method in _GRAMMAR_METHODS:
        return cause_of(value, RecognizeCause)
    return cause_of(value, SpeakCause) if method is Method.DEFINE_LEXICON else None


def _explained(text: str, cause: Cause | None, message: Response | Event) -> str:
    reason = message.headers.get(Header.COMPLETION_REASON) or ""
    failed = message.headers.get(Header.FAILED_URI) or ""
    parts = [text, cause_name(cause) if cause is not None else "", reason.strip('"')[:200], failed]
    return ", ".join(part for part in parts if part)

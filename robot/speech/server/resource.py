"""What the resources of a channel have in common: requests in, responses and events out.

Sans-I/O: messages are handed in, answers go to ``send``, time is that of ``timers``.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import TypeVar

from ....media.sip.edge import TimerHandle, Timers
from ..mrcp.message import AnyMessage, ChannelId, Event, Headers, Request, Response, request_ids
from ..mrcp.words import (
    HEADER_OF,
    AnyCause,
    EventName,
    Header,
    Method,
    RequestState,
    Resource,
    Status,
    cause_text,
    headers_of,
    methods_of,
)
from .parameters import Parameters, Wrong

Send = Callable[[AnyMessage], None]
Lines = Iterable[tuple[str, str]]
_Key = TypeVar("_Key", int, str)

MAX_HELD = 64
"""Requests that wait for one that takes time; a client that sends more is refused."""

_ABOUT_THE_MESSAGE = frozenset(
    {
        Header.CHANNEL_IDENTIFIER,
        Header.CONTENT_TYPE,
        Header.CONTENT_ID,
        Header.CONTENT_BASE,
        Header.ACCEPT,
        Header.ACCEPT_CHARSET,
        Header.PROXY_SYNC_ID,
        Header.ACTIVE_REQUEST_ID_LIST,
    }
)


@dataclass(slots=True)
class ResourceFigures:
    """What the channels of a server have done, by what it was."""

    requests: dict[str, int] = field(default_factory=dict)
    statuses: dict[int, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    causes: dict[str, int] = field(default_factory=dict)
    synthesized_s: float = 0.0

    def count(self, message: AnyMessage) -> None:
        """A message that goes out."""
        if isinstance(message, Response):
            _add(self.statuses, message.status)
        elif isinstance(message, Event):
            _add(self.events, message.name)
        if cause := message.headers.get(Header.COMPLETION_CAUSE):
            name = (message.channel.resource if message.channel else "") + " " + cause[4:]
            _add(self.causes, name)


def _add(counts: dict[_Key, int], key: _Key) -> None:
    counts[key] = counts.get(key, 0) + 1


class ChannelResource:
    """One channel. Subclasses name their ``handlers``; each answers its request, now or, between
    `_hold` and `_release`, later."""

    def __init__(
        self,
        channel: ChannelId,
        send: Send,
        timers: Timers,
        figures: ResourceFigures | None = None,
    ) -> None:
        self.channel = channel
        self.kind = Resource(channel.resource)
        self.parameters = Parameters(self.kind)
        self._send_out = send
        self._timers = timers
        self._figures = figures or ResourceFigures()
        self._last_id: int | None = None
        self._held: deque[Request] | None = None
        self._ignored: set[int] = set()
        self.closed = False

    @property
    def handlers(self) -> Mapping[Method, Callable[[Request], None]]:
        """What is done for each method."""
        raise NotImplementedError

    def close(self) -> None:
        """The channel is gone: nothing is sent any more."""
        self.closed = True

    # Requests

    def receive(self, request: Request) -> None:
        """Take a request of the client."""
        known = request.method in methods_of(self.kind)
        _add(self._figures.requests, request.method if known else "unknown")
        if self._last_id is not None and request.request_id <= self._last_id:
            self._respond(request, Status.OUT_OF_ORDER)
            return
        self._last_id = request.request_id
        if not known:
            self._respond(request, Status.METHOD_NOT_ALLOWED)
        elif self._held is None:
            self._serve(request)
        elif len(self._held) < MAX_HELD:
            self._held.append(request)
        else:
            reason = "too many requests at once"
            self._respond(request, Status.OPERATION_FAILED, lines=_reason(reason))

    def _serve(self, request: Request) -> None:
        if request.method == Method.SET_PARAMS:
            self._set_params(request)
        elif request.method == Method.GET_PARAMS:
            self._get_params(request)
        elif not self._refuse_values(request):
            self._note_ignored(request)
            self.handlers[Method(request.method)](request)

    def _refuse_values(self, request: Request) -> bool:
        """True if a value cannot be used: 404 before 409, with the fields (RFC 6787, 5.4)."""
        wrong = self.parameters.wrong(request.headers)
        if not wrong:
            return False
        kinds = {kind for _, _, kind in wrong}
        kind = Wrong.ILLEGAL if Wrong.ILLEGAL in kinds else Wrong.UNSUPPORTED
        lines = [(name, value) for name, value, why in wrong if why is kind]
        self._respond(request, kind.value, lines=lines)
        return True

    def _note_ignored(self, request: Request) -> None:
        """Fields that change nothing make a success a 201."""
        known = headers_of(self.kind)
        if any(HEADER_OF.get(name.lower()) not in known for name, _ in request.headers):
            self._ignored.add(request.request_id)

    def _set_params(self, request: Request) -> None:
        """RFC 6787, 6.1.1."""
        lines = [(n, v) for n, v in request.headers if n not in _ABOUT_THE_MESSAGE]
        if unknown := [(n, v) for n, v in lines if not self.parameters.supports(n)]:
            self._respond(request, Status.UNSUPPORTED_HEADER, lines=unknown)
        elif not self._refuse_values(request):
            self.parameters.put(request.headers)
            self._respond(request, Status.SUCCESS)

    def _get_params(self, request: Request) -> None:
        """RFC 6787, 6.1.2: the fields that are named, or all."""
        names = [name for name, _ in request.headers if name not in _ABOUT_THE_MESSAGE]
        if unknown := [(n, "") for n in names if not self.parameters.supports(n)]:
            self._respond(request, Status.UNSUPPORTED_HEADER, lines=unknown)
            return
        texts = [(name, self.parameters.text(Header(name)) or "") for name in names]
        self._respond(request, Status.SUCCESS, lines=texts if names else self.parameters.all())

    def _hold(self) -> None:
        """Requests that follow wait, since this one is answered later."""
        self._held = deque()

    def _release(self) -> None:
        """The answer is given: go on with those that wait."""
        waiting, self._held = self._held or deque(), None
        while waiting and not self.closed:
            self._serve(waiting.popleft())
            if self._held is not None:  # the next one takes time as well
                self._held.extend(waiting)
                return

    @staticmethod
    def _listed(request: Request) -> tuple[int, ...] | None:
        """The requests that it is about; None: all."""
        value = request.headers.get(Header.ACTIVE_REQUEST_ID_LIST)
        return None if value is None else request_ids(value)

    # Answers

    def _respond(
        self,
        request: Request,
        status: Status,
        state: RequestState = RequestState.COMPLETE,
        *,
        lines: Lines = (),
        body: bytes = b"",
    ) -> None:
        if request.request_id in self._ignored:
            self._ignored.discard(request.request_id)
            if status is Status.SUCCESS:
                status = Status.SUCCESS_HEADERS_IGNORED
        headers = self._headers(lines)
        self._send(
            Response(request.request_id, headers=headers, body=body, status=status, state=state)
        )

    def _fail(self, request: Request, cause: AnyCause, reason: str) -> None:
        """407, with the cause (RFC 6787, 5.4)."""
        self._respond(request, Status.OPERATION_FAILED, lines=_cause(cause, reason))

    def _tell(
        self,
        name: EventName,
        request_id: int,
        state: RequestState,
        *,
        lines: Lines = (),
        body: bytes = b"",
    ) -> None:
        headers = self._headers(lines)
        self._send(Event(request_id, headers=headers, body=body, name=name, state=state))

    def _headers(self, lines: Lines) -> Headers:
        return Headers([(Header.CHANNEL_IDENTIFIER, str(self.channel)), *lines])

    def _send(self, message: AnyMessage) -> None:
        if not self.closed:
            self._figures.count(message)
            self._send_out(message)

    def _arm(self, delay_ms: int, callback: Callable[[], object]) -> TimerHandle:
        return self._timers.arm(delay_ms, callback)


def _cause(cause: AnyCause, reason: str = "") -> list[tuple[str, str]]:
    return [(Header.COMPLETION_CAUSE, cause_text(cause)), *(_reason(reason) if reason else [])]


def _reason(text: str) -> list[tuple[str, str]]:
    """Completion-Reason (RFC 6787, 8.4.5) in one line."""
    line = " ".join("".join(c if c.isprintable() else " " for c in text).split())[:400]
    return [(Header.COMPLETION_REASON, f'"{line.replace(chr(34), chr(39))}"')]


cause_lines = _cause

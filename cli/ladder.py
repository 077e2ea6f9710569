"""SIP messages drawn as a ladder: a column for each side, an arrow for each message."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from rich.text import Text

from ..media.codec import codec_by_payload_type
from ..media.sdp import Direction, MediaDescription, SdpError, parse_sdp
from ..media.sip.message import Request, Response, SipParseError, parse

LANE = 32
"""Characters from one column to the next, where there are two; less where there are more."""
NARROW_LANE = 24
MARGIN = 13
MAX_NOTE_CODECS = 6
_STYLES = {1: "yellow", 2: "green", 3: "magenta"}
_REQUEST_STYLE, _FAILURE_STYLE, _UNREADABLE_STYLE = "bold cyan", "red", "red"


@dataclass(frozen=True, slots=True)
class Step:
    """A message between two addresses (``host:port``)."""

    time_s: float
    source: str
    target: str
    transport: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Label:
    """What stands on an arrow and beside it."""

    text: str
    note: str
    style: str


def ladder(steps: Sequence[Step], *, full: bool = False) -> Iterator[Text]:
    """The lines, without line ends. ``full``: each message as a whole below its arrow."""
    columns = tuple(dict.fromkeys(name for step in steps for name in (step.source, step.target)))
    paper = Paper(columns, LANE if len(columns) < 3 else NARROW_LANE)
    yield paper.heading()
    seen: set[tuple[str, str, bytes]] = set()
    for step in steps:
        key = step.source, step.target, step.data
        label = label_of(step.data)
        transport = "" if step.transport == "UDP" else step.transport
        notes = [label.note, transport, "again" if key in seen else ""]
        seen.add(key)
        line = Text(f"{step.time_s - steps[0].time_s:9.3f} s".ljust(MARGIN), style="dim")
        line.append_text(paper.arrow(step, label))
        line.append("  " + " · ".join(filter(None, notes)) if any(notes) else "", style="dim")
        yield line
        if full:
            yield from paper.message(step.data)


@dataclass(frozen=True, slots=True)
class Paper:
    """A column for each address, ``lane`` characters apart."""

    columns: tuple[str, ...]
    lane: int

    def heading(self) -> Text:
        """The addresses over their columns."""
        line = ""
        for index, name in enumerate(self.columns):
            start = MARGIN + index * self.lane - len(name) // 2
            line = line.ljust(max(start, len(line) + 2 if line else 0)) + name
        return Text(line, style="bold")

    def arrow(self, step: Step, label: Label) -> Text:
        """All columns, and the arrow of a message across them."""
        ends = self.columns.index(step.source), self.columns.index(step.target)
        left, right = min(ends), max(ends)
        line = Text(("│" + " " * (self.lane - 1)) * left + "│", style="not dim")
        if left == right:
            line.append(f" {label.text} (to itself)", style=label.style)
        else:
            width = (right - left) * self.lane - 1
            line.append(_shaft(label.text, width, to_right=ends[0] < ends[1]), style=label.style)
            line.append("│")
        line.append((" " * (self.lane - 1) + "│") * (self._gaps - right))
        return line

    def message(self, data: bytes) -> Iterator[Text]:
        """A message as it was, and the columns below it."""
        for line in data.decode("utf-8", "backslashreplace").rstrip("\r\n").split("\n"):
            yield Text("    " + printable(line.rstrip("\r")))
        yield Text(" " * MARGIN + "│" + (" " * (self.lane - 1) + "│") * self._gaps)

    @property
    def _gaps(self) -> int:
        return len(self.columns) - 1


def _shaft(text: str, width: int, *, to_right: bool) -> str:
    most = width - 5
    shown = text if len(text) <= most else text[: most - 1] + "…"
    body = f" {shown} ".center(width - 1, "─")
    return body + "▶" if to_right else "◀" + body


def label_of(data: bytes) -> Label:
    """How a message is drawn."""
    try:
        message = parse(data)
    except SipParseError as error:
        return Label(f"unreadable: {error}", "", _UNREADABLE_STYLE)
    notes = [sdp_summary(message.body)]
    if isinstance(message, Request):
        if any(name in message.headers for name in ("Authorization", "Proxy-Authorization")):
            notes.append("with credentials")
        text, style = message.method, _REQUEST_STYLE
    else:
        text, style = _status_of(message)
        notes += message.headers.all("Warning") if message.status >= 300 else []
    notes += message.headers.all("Reason")
    return Label(printable(text), printable(" · ".join(filter(None, notes))), style)


def _status_of(response: Response) -> tuple[str, str]:
    text = f"{response.status} {response.reason}".rstrip()
    if response.cseq_method != "INVITE":
        text += f" ({response.cseq_method})"
    return text, _STYLES.get(response.status // 100, _FAILURE_STYLE)


def printable(text: str) -> str:
    """Text that can do nothing to a terminal."""
    return "".join(c if c.isprintable() or c == "\t" else f"\\x{ord(c):02x}" for c in text)


def sdp_summary(body: bytes) -> str:
    """The streams of a session description: where they go, and what may be sent."""
    if not body:
        return ""
    try:
        description = parse_sdp(body)
    except SdpError:
        return f"body of {len(body):,} bytes"
    return "; ".join(_stream(media) for media in description.media)


def _stream(media: MediaDescription) -> str:
    if not media.port:
        return f"{media.kind} refused"
    host = media.connection.host if media.connection else "?"
    formats = [_encoding(media, name) for name in media.formats[:MAX_NOTE_CODECS]]
    more = ["…"] if len(media.formats) > MAX_NOTE_CODECS else []
    parts = [f"{media.kind} {host}:{media.port}", " ".join([*formats, *more])]
    if media.said.direction not in (None, Direction.SENDRECV):
        parts.append(str(media.said.direction.value))
    if "SAVP" in media.protocol:
        parts.append("SRTP")
    return " ".join(parts)


def _encoding(media: MediaDescription, name: str) -> str:
    encoding = media.said.encodings.get(name)
    if encoding is not None and encoding.name:
        return encoding.name if "-" in encoding.name else encoding.name.upper()
    codec = codec_by_payload_type(int(name)) if name.isdecimal() else None
    return codec.name if codec else name

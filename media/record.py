"""Call detail records: what became of a call, as one JSON object, and where it is written."""

from __future__ import annotations

import json
import queue
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import structlog

from .events import LegFigures
from .outcome import q850_cause
from .quality import Quality, quality_of
from .recording import Recorded
from .session import MediaSession
from .sip.events import EndCause
from .sip.session import SipCall
from .sound import StrPath

log = structlog.get_logger(__name__)

Record = dict[str, Any]
RecordTaker = Callable[[Record], None]

VERSION = 1
MAX_PROMPTS = 1_000
"""Prompts told one by one; those beyond are counted."""
MAX_RECORDINGS = 100
"""Recordings told one by one; those beyond are counted."""
MAX_WAITING = 10_000
"""Records that wait for a slow disk; those beyond are dropped and counted."""


class History:
    """What happens to a call, noted while it lasts. Times are seconds since 1970.

    ``dialled``: what only a call of ours has. ``awaited`` is the number of what must end, besides
    the call, before its record is whole: its leg and its recordings, and dialling.
    """

    __slots__ = (
        "answered_s",
        "awaited",
        "confirmed_s",
        "dialled",
        "digits_heard",
        "ended_s",
        "offered_s",
        "prompts",
        "prompts_untold",
        "recordings",
        "recordings_untold",
        "ringing_s",
    )

    def __init__(self) -> None:
        self.offered_s = time.time()
        self.ringing_s: float | None = None
        self.answered_s: float | None = None
        self.confirmed_s: float | None = None
        self.ended_s = 0.0
        self.digits_heard = 0
        self.prompts: list[Record] = []
        self.prompts_untold = 0
        self.recordings: list[Record] = []
        self.recordings_untold = 0
        self.awaited = 0
        self.dialled: Record = {"outcome": None, "early_sound": None, "attempts": []}

    def played(self, files: tuple[StrPath, ...], outcome: str, played_ms: float) -> None:
        """A list of prompts came to its end."""
        if len(self.prompts) == MAX_PROMPTS:
            self.prompts_untold += 1
            return
        names = [str(file) for file in files]
        self.prompts.append({"files": names, "outcome": outcome, "played_ms": round(played_ms, 1)})

    def recorded(self, done: Recorded) -> None:
        """A recording is complete."""
        if len(self.recordings) == MAX_RECORDINGS:
            self.recordings_untold += 1
            return
        self.recordings.append(
            {
                "files": [str(file) for file in done.files],
                "recorded_ms": round(done.recorded_ms, 3),
                "paused_ms": round(done.paused_ms, 3),
                "lost_ms": round(done.lost_ms, 3),
                "concealed_ms": round(done.concealed_ms, 3),
                "late_packets": done.late_packets,
                "error": done.error.strerror if done.error else None,
            }
        )

    def record(
        self, sip: SipCall, cause: EndCause, media: MediaSession | None, trunk: str | None
    ) -> Record:
        """The whole record, for a call that is over, as is all that was awaited."""
        agreed = media.negotiated if media else None
        figures = media.leg.figures() if media and media.leg else LegFigures()
        quality = quality_of(agreed.codec.name, figures) if agreed else Quality()
        talked_s = self.ended_s - self.confirmed_s if self.confirmed_s is not None else 0.0
        return {
            "version": VERSION,
            "id": sip.id,
            "call_id": sip.call_id,
            "direction": "out" if sip.outgoing else "in",
            "from": sip.from_uri,
            "to": sip.to_uri,
            "trunk": trunk,
            "sip_peer": address_text(sip.flow.remote_host, sip.flow.remote_port),
            "rtp_port": media.port if media else None,
            "rtp_peer": address_text(agreed.remote_host, agreed.remote_port) if agreed else None,
            "codec": agreed.codec.rtpmap if agreed else None,
            "encrypted": agreed is not None and agreed.srtp is not None,
            "offered": _iso(self.offered_s),
            "ringing": _iso(self.ringing_s),
            "answered": _iso(self.answered_s),
            "confirmed": _iso(self.confirmed_s),
            "ended": _iso(self.ended_s),
            "talked_s": round(talked_s, 3),
            "ended_by": cause.by.value,
            "status": cause.status,
            "reason": cause.reason,
            "text": cause.text,
            "q850": q850_cause(cause.text),
            **self.dialled,
            "prompts": self.prompts,
            "prompts_untold": self.prompts_untold,
            "recordings": self.recordings,
            "recordings_untold": self.recordings_untold,
            "digits_heard": self.digits_heard,
            "digits_sent": figures.digits_sent,
            "mos_in": _rounded(quality.mos_in, 2),
            "mos_out": _rounded(quality.mos_out, 2),
            "rtt_ms": _rounded(quality.rtt_ms, 3),
            "sent": _sent(figures),
            "received": _received(figures),
        }


def _sent(figures: LegFigures) -> Record:
    """What we sent; how it arrived is what the peer said last, null if it said nothing."""
    told = figures.told
    return {
        "packets": figures.packets_sent,
        "skipped": figures.packets_skipped,
        "errors": figures.send_errors,
        "reports": told.reports if told else 0,
        "lost": told.lost if told else None,
        "jitter_ms": round(told.jitter_us / 1000, 3) if told else None,
        "max_jitter_ms": round(told.max_jitter_us / 1000, 3) if told else None,
    }


def _received(figures: LegFigures) -> Record:
    heard = figures.reception
    return {
        "packets": figures.packets_received,
        "bytes": figures.bytes_received,
        "rejected": figures.packets_rejected,
        "expected": heard.expected,
        "lost": heard.lost,
        "reordered": heard.reordered,
        "duplicates": heard.duplicates,
        "sources": heard.sources,
        "jitter_ms": round(heard.jitter_us / 1000, 3),
        "max_jitter_ms": round(heard.max_jitter_us / 1000, 3),
    }


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)


def address_text(host: str, port: int) -> str:
    """``host:port`` as records have it, an IPv6 host in brackets."""
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


def _iso(seconds: float | None) -> str | None:
    if seconds is None:
        return None
    return datetime.fromtimestamp(seconds, UTC).isoformat(timespec="milliseconds")


class RecordFile:
    """Appends records to a file, one JSON object a line, in a thread of its own.

    A slow disk makes records wait, a full or broken one costs them: they are counted in
    ``dropped`` and told in the log, and calls go on. OSError: the file cannot be opened.
    """

    def __init__(self, path: StrPath) -> None:
        self.path = Path(path)
        self.dropped = 0
        self._file = self.path.open("ab", buffering=0)
        self._waiting: queue.Queue[bytes | None] = queue.Queue(MAX_WAITING)
        self._thread = threading.Thread(target=self._write, name="ringwheel-records", daemon=True)
        self._thread.start()

    def __call__(self, record: Record) -> None:
        """Write a record; returns at once."""
        line = json.dumps(record, ensure_ascii=False, separators=(",", ":"))
        try:
            self._waiting.put_nowait(line.encode("utf-8", "backslashreplace") + b"\n")
        except queue.Full:
            self._drop("the disk is too slow")

    def close(self) -> None:
        """Write what waits, and close the file."""
        self._waiting.put(None)
        self._thread.join()
        self._file.close()

    def _write(self) -> None:
        while (line := self._waiting.get()) is not None:
            try:
                self._file.write(line)
            except OSError as error:
                self._drop(str(error))

    def _drop(self, cause: str) -> None:
        self.dropped += 1
        if self.dropped & (self.dropped - 1) == 0:  # the 1st, 2nd, 4th, ...
            log.error("call record lost", path=str(self.path), cause=cause, lost=self.dropped)

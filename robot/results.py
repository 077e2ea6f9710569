"""What came of each conversation, written down: JSON lines, CSV, or SQLite.

Files are only ever appended to, and each record is with the system before the next batch is begun,
so that a crash costs what waited at most. Writing goes on in a thread of its own: the event loop
waits for no disk. When the disk is slower than calls end, whoever ends one waits.
"""

from __future__ import annotations

import asyncio
import csv
import io
import json
import os
import re
import sqlite3
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Literal, Protocol, Self

import structlog

from .record import QUESTION

log = structlog.get_logger(__name__)

Result = Mapping[str, Any]
"""One record, as :func:`~.record.record_of` makes it: what JSON has, under public keys."""

Format = Literal["jsonl", "csv", "sqlite"]
SUFFIXES: dict[str, Format] = {
    ".jsonl": "jsonl",
    ".ndjson": "jsonl",
    ".json": "jsonl",
    ".csv": "csv",
    ".db": "sqlite",
    ".sqlite": "sqlite",
    ".sqlite3": "sqlite",
}
ROOM = 1_000
"""Records that may wait for the disk."""
BATCH = 200
RETRY_S = 1.0
LAST_TRIES_S = 10.0
"""How long a disk that fails is tried again once nothing more comes."""
SQLITE_VERSION = 1
SQLITE_WAIT_S = 5.0
COLUMNS = (
    "call",
    "call_id",
    "direction",
    "caller",
    "callee",
    "trunk",
    "script",
    "script_hash",
    "began",
    "ended",
    "seconds",
    "outcome",
    "cause",
    "step",
    "steps",
)
_NUMBER = re.compile(r"[+-]?\d+")


class ResultsError(Exception):
    """Results cannot be written there; the text says why."""


class Sink(Protocol):
    """Where records go. Methods are called in one thread, and may raise OSError."""

    def write(self, results: Sequence[Result]) -> None: ...

    def close(self) -> None: ...


def format_of(path: Path, wanted: str | None = None) -> Format:
    """The format of a file, by its suffix if nobody says. ResultsError."""
    for name in SUFFIXES.values():
        if wanted == name:
            return name
    if wanted is not None:
        raise ResultsError(f"no format {wanted!r}: use jsonl, csv or sqlite")
    try:
        return SUFFIXES[path.suffix.lower()]
    except KeyError:
        raise ResultsError(
            f"{path.name}: its suffix names no format; use .jsonl, .csv or .db"
        ) from None


def open_sink(path: Path, form: Format, fields: Sequence[str]) -> Sink:
    """The file, created or ready to be appended to. ``fields`` are the script's report fields.
    ResultsError."""
    try:
        match form:
            case "jsonl":
                return JsonLines(path)
            case "csv":
                return CsvFile(path, fields)
            case "sqlite":
                return SqliteFile(path)
    except (OSError, sqlite3.Error) as error:
        cause = getattr(error, "strerror", None) or error
        remedy = "name a file in a folder that is there and may be written to"
        raise ResultsError(f"{path}: {cause}; {remedy}") from error


class _Appended:
    """A file that is only appended to, each batch by one write where the system takes it whole."""

    def __init__(self, path: Path) -> None:
        flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC
        self._fd = os.open(path, flags, 0o644)
        self._torn = self._is_torn()
        self._rest = b""

    def _is_torn(self) -> bool:
        """Whether a crash has left a line without its end."""
        size = os.fstat(self._fd).st_size
        return size > 0 and os.pread(self._fd, 1, size - 1) != b"\n"

    def append(self, data: bytes) -> None:
        """After an OSError, do it again with the same: it goes on where it was."""
        if not self._rest:
            self._rest = b"\n" + data if self._torn else data
            self._torn = False
        while self._rest:
            self._rest = self._rest[os.write(self._fd, self._rest) :]

    def first_line(self) -> str:
        size = os.fstat(self._fd).st_size
        return os.pread(self._fd, min(size, 65_536), 0).decode(errors="replace").partition("\n")[0]

    def close(self) -> None:
        os.close(self._fd)


class JsonLines:
    """One JSON object a line."""

    def __init__(self, path: Path) -> None:
        self._file = _Appended(path)

    def write(self, results: Sequence[Result]) -> None:
        lines = [json.dumps(result, ensure_ascii=False) + "\n" for result in results]
        self._file.append("".join(lines).encode())

    def close(self) -> None:
        self._file.close()


class CsvFile:
    """One row a call: what is known of it, then the script's report fields."""

    def __init__(self, path: Path, fields: Sequence[str]) -> None:
        self._fields = tuple(fields)
        names = [f"report_{name}" if name in COLUMNS else name for name in fields]
        header = _row([*COLUMNS, *names])
        self._file = _Appended(path)
        there = self._file.first_line().rstrip("\r")
        if not there:
            self._file.append(header.encode())
        elif there != header.rstrip("\r\n"):
            self._file.close()
            raise ResultsError(
                f"{path} has other columns than this script reports; name another file"
            )

    def write(self, results: Sequence[Result]) -> None:
        rows = []
        for result in results:
            report = result["report"]
            values = [result[name] for name in COLUMNS]
            values += [report.get(name) for name in self._fields]
            rows.append(_row([cell(value) for value in values]))
        self._file.append("".join(rows).encode())

    def close(self) -> None:
        self._file.close()


def _row(values: Sequence[object]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="\n").writerow(values)
    return line.getvalue()


def cell(value: object) -> object:
    """A value as a spreadsheet may have it: no text of a caller's is taken for a formula there."""
    if value is None or (isinstance(value, int | float) and not isinstance(value, bool)):
        return value
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    if text[:1] in ("=", "+", "-", "@", "\t", "\r", "\n") and not _NUMBER.fullmatch(text):
        text = "'" + text
    return text.replace("\0", "").replace("\r", " ").replace("\n", " ")


_SCHEMA = """
CREATE TABLE call (
    call TEXT NOT NULL, call_id TEXT, direction TEXT NOT NULL, caller TEXT, callee TEXT,
    trunk TEXT, script TEXT NOT NULL, script_hash TEXT NOT NULL, began TEXT NOT NULL,
    ended TEXT NOT NULL, seconds REAL NOT NULL, outcome TEXT NOT NULL, cause TEXT, step TEXT,
    steps INTEGER NOT NULL, record TEXT NOT NULL
);
CREATE INDEX call_began ON call (began);
CREATE TABLE report (call INTEGER NOT NULL REFERENCES call (rowid), name TEXT NOT NULL, value);
CREATE INDEX report_call ON report (call);
CREATE TABLE question (
    call INTEGER NOT NULL REFERENCES call (rowid), step TEXT NOT NULL, asked INTEGER NOT NULL,
    no_input INTEGER NOT NULL, no_match INTEGER NOT NULL, repeats INTEGER NOT NULL,
    ms INTEGER NOT NULL, outcome TEXT NOT NULL
);
CREATE INDEX question_call ON question (call);
"""


class SqliteFile:
    """A row a call in ``call``, with the whole record as JSON beside what is asked for most; what
    it reports in ``report``, its questions in ``question``. ``PRAGMA user_version`` is the version
    of these tables."""

    def __init__(self, path: Path) -> None:
        self._base = sqlite3.connect(path, timeout=SQLITE_WAIT_S, check_same_thread=False)
        try:
            self._prepare(path)
        except BaseException:
            self._base.close()
            raise

    def _prepare(self, path: Path) -> None:
        self._base.execute("PRAGMA journal_mode = WAL")
        self._base.execute("PRAGMA synchronous = NORMAL")
        version = self._base.execute("PRAGMA user_version").fetchone()[0]
        tables = self._base.execute("SELECT count(*) FROM sqlite_master").fetchone()[0]
        if version == 0 and not tables:
            self._base.executescript(
                f"BEGIN; {_SCHEMA} PRAGMA user_version = {SQLITE_VERSION}; COMMIT;"
            )
        elif version != SQLITE_VERSION:
            raise ResultsError(
                f"{path} has tables of version {version}, not {SQLITE_VERSION}; name another file"
            )

    def write(self, results: Sequence[Result]) -> None:
        try:
            with self._base:
                for result in results:
                    self._insert(result)
        except sqlite3.OperationalError as error:  # locked, full, or not to be written to
            raise OSError(str(error)) from error

    def _insert(self, result: Result) -> None:
        values = [result[name] for name in COLUMNS] + [json.dumps(result, ensure_ascii=False)]
        marks = ", ".join("?" * len(values))
        row = self._base.execute(f"INSERT INTO call VALUES ({marks})", values).lastrowid
        self._base.executemany(
            "INSERT INTO report VALUES (?, ?, ?)",
            [(row, name, _plain(value)) for name, value in result["report"].items()],
        )
        self._base.executemany(
            "INSERT INTO question VALUES (?, ?, ?, ?, ?, ?, ?, ?)",
            [(row, *(asked[key] for key in QUESTION)) for asked in result["questions"]],
        )

    def close(self) -> None:
        self._base.close()


def _plain(value: object) -> object:
    if value is None or isinstance(value, str | int | float):
        return value
    return json.dumps(value, ensure_ascii=False)


class ResultWriter:
    """Brings records to a sink; an asynchronous context manager, which ends when all is written.

    ``written`` counts those that are; ``lost``, in the end, those that a failing disk has cost, or
    that could not be written at all.
    """

    def __init__(self, sink: Sink, room: int = ROOM, last_tries_s: float = LAST_TRIES_S) -> None:
        self._sink = sink
        self._last_tries_s = last_tries_s
        self._waiting: asyncio.Queue[Result] = asyncio.Queue(room)
        self._thread = ThreadPoolExecutor(1, "ringwheel-results")
        self._task: asyncio.Task[None] | None = None
        self._taken = 0
        self.written = 0
        self.lost = 0

    async def __aenter__(self) -> Self:
        self._task = asyncio.create_task(self._run())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._finish()
        await asyncio.to_thread(self._thread.shutdown)
        await asyncio.to_thread(self._sink.close)

    @property
    def waiting(self) -> int:
        """Records that are not written yet."""
        return self._taken - self.written - self.lost

    async def put(self, result: Result) -> None:
        """Write it; returns at once, unless too many wait already."""
        self._taken += 1  # whoever is cancelled while he waits has lost it
        await self._waiting.put(result)

    async def _finish(self) -> None:
        assert self._task is not None
        try:
            async with asyncio.timeout(self._last_tries_s):
                await self._waiting.join()
        except TimeoutError:
            log.error("results not written in time")
        self.lost = self._taken - self.written
        if self.lost:
            log.error("results lost", records=self.lost)
        self._task.cancel()
        await asyncio.wait([self._task])

    async def _run(self) -> None:
        while True:
            batch = [await self._waiting.get()]
            while len(batch) < BATCH and not self._waiting.empty():
                batch.append(self._waiting.get_nowait())
            await self._write(batch)
            for _ in batch:
                self._waiting.task_done()

    async def _write(self, batch: list[Result]) -> None:
        loop = asyncio.get_running_loop()
        while True:
            try:
                await loop.run_in_executor(self._thread, self._sink.write, batch)
            except OSError as error:
                log.error("results not written, trying again", cause=str(error))
                await asyncio.sleep(RETRY_S)
                continue
            except Exception:
                # Such as a text that no encoding has: it must cost no other record, and no call.
                if len(batch) > 1:
                    for result in batch:
                        await self._write([result])
                else:
                    log.exception("a result cannot be written", call=batch[0].get("call"))
                return
            self.written += len(batch)
            return

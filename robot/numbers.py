"""Numbers to call: a CSV file with a line for each, whose other columns become facts."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path

from ..media.sip.reject import SipParseError
from ..media.sip.uri import SipUri
from .record import KNOWN_FACTS
from .script.model import Json

NAMES = ("number", "phone", "to", "uri")
MAX_COLUMNS = 100
MAX_CELL_CHARACTERS = 4_000
RESERVED = KNOWN_FACTS | {"line"}


class NumbersError(Exception):
    """A file of numbers cannot be used; the text says where and why."""


@dataclass(frozen=True, slots=True)
class Number:
    """Whom to call. ``line`` is where it stands; ``facts`` are the other columns."""

    line: int
    number: str
    facts: dict[str, Json]

    def uri(self, trunk: str | None) -> str:
        """Where to call: a URI as it is, a number by the trunk."""
        return self.number if ":" in self.number else f"sip:{self.number}@{trunk}"


def read_numbers(path: Path, trunk: str | None) -> Iterator[Number]:
    """The numbers of a file, one after the other as they are asked for. NumbersError."""
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            yield from _numbers(path, _rows(file), trunk)
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        cause = error.strerror if isinstance(error, OSError) else str(error)
        raise NumbersError(f"{path} cannot be read: {cause}; name a file of CSV") from error


def check_numbers(path: Path, trunk: str | None) -> int:
    """How many there are; all are looked at. NumbersError."""
    if path.exists() and not path.is_file():
        raise NumbersError(f"{path} is no file: numbers are read twice, so that all are checked")
    count = sum(1 for _ in read_numbers(path, trunk))
    if not count:
        raise NumbersError(f"{path} has no numbers below its first line")
    return count


def _rows(file: Iterable[str]) -> Iterator[tuple[int, list[str]]]:
    """Rows, and the lines that they begin at: cells may hold line breaks."""
    rows = csv.reader(file)
    line = 1
    for row in rows:
        yield line, row
        line = rows.line_num + 1


def _numbers(
    path: Path, rows: Iterator[tuple[int, list[str]]], trunk: str | None
) -> Iterator[Number]:
    _, names = next(rows, (1, []))
    header = [name.strip() for name in names]
    column = _column(path, header)
    for line, row in rows:
        if not any(cell.strip() for cell in row):
            continue
        if len(row) > len(header):
            raise NumbersError(f"{path}:{line}: more cells than the first line has names")
        cells = [cell.strip() for cell in row] + [""] * (len(header) - len(row))
        if max(map(len, cells)) > MAX_CELL_CHARACTERS:
            raise NumbersError(f"{path}:{line}: a cell of more than {MAX_CELL_CHARACTERS} letters")
        facts: dict[str, Json] = {
            name: cell for name, cell in zip(header, cells, strict=True) if name != header[column]
        }
        yield Number(line, _checked(f"{path}:{line}", cells[column], trunk), facts)


def _column(path: Path, header: list[str]) -> int:
    """Where the numbers stand."""
    if not 1 <= len(header) <= MAX_COLUMNS or len(set(header)) != len(header):
        raise NumbersError(f"{path}:1: name 1 to {MAX_COLUMNS} columns, each differently")
    taken = sorted(RESERVED & set(header))
    if taken:
        raise NumbersError(f"{path}:1: facts named {taken[0]!r} come from the call; rename it")
    for name in NAMES:
        if name in header:
            return header.index(name)
    raise NumbersError(f"{path}:1: no column {NAMES[0]!r}; the first line names the columns")


def _checked(where: str, text: str, trunk: str | None) -> str:
    if ":" in text:
        try:
            SipUri.parse(text)
        except SipParseError:
            cause = f"{text[:80]!r} is no SIP URI; write it as sip:USER@HOST"
            raise NumbersError(f"{where}: {cause}") from None
        return text
    number = "".join(character for character in text if character not in " -/().\u00a0")
    if not number.removeprefix("+").isdecimal() or not number.isascii():
        raise NumbersError(f"{where}: {text[:40]!r} is no number and no SIP URI")
    if trunk is None:
        raise NumbersError(f"{where}: the number {number} needs a trunk; name one with --trunk")
    return number

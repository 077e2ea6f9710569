"""Logging by structlog on stderr: pretty on a terminal, one logfmt or JSON line an event elsewhere.

What libraries log by the standard module (asyncio's complaints, say) goes the same way.
"""

from __future__ import annotations

import enum
import logging
import sys
from dataclasses import dataclass
from functools import lru_cache
from typing import TextIO

import structlog
from structlog.typing import Processor

LEVELS = ("debug", "info", "warning", "error")


class LogFormat(enum.StrEnum):
    """``auto`` is ``pretty`` on a terminal and ``logfmt`` elsewhere."""

    AUTO = "auto"
    PRETTY = "pretty"
    LOGFMT = "logfmt"
    JSON = "json"


@dataclass(frozen=True, slots=True)
class LogOptions:
    """What the user said about logging, for commands that change it for a while."""

    level: str = "info"
    log_format: LogFormat = LogFormat.AUTO

    @property
    def terse_level(self) -> str:
        """For a command that tells its progress itself: the user's level, or warnings."""
        return "warning" if self.level == "info" else self.level


def configure_logging(
    level: str = "info", log_format: LogFormat = LogFormat.AUTO, stream: TextIO | None = None
) -> None:
    """Send every event from ``level`` on to ``stream`` (stderr). Call it again to change it."""
    stream = stream or sys.stderr
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.processors.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        # Asked anew for each line; `logging` takes a lock to find a logger by its name.
        logger_factory=lru_cache(maxsize=256)(structlog.stdlib.LoggerFactory()),
    )
    handler = logging.StreamHandler(stream)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=shared,
            processors=[
                structlog.stdlib.ProcessorFormatter.remove_processors_meta,
                *_renderers(log_format, stream),
            ],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)


def _renderers(log_format: LogFormat, stream: TextIO) -> list[Processor]:
    if log_format is LogFormat.AUTO:
        log_format = LogFormat.PRETTY if stream.isatty() else LogFormat.LOGFMT
    if log_format is LogFormat.PRETTY:
        return [structlog.dev.ConsoleRenderer(colors=stream.isatty())]
    # One line an event, tracebacks included.
    lines: list[Processor] = [structlog.processors.format_exc_info]
    if log_format is LogFormat.JSON:
        return [*lines, structlog.processors.JSONRenderer()]
    order = ["timestamp", "level", "event"]
    return [*lines, structlog.processors.LogfmtRenderer(key_order=order)]

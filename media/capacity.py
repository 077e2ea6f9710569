"""How many calls a machine has room for: by its RTP ports and open files."""

from __future__ import annotations

import resource

from .pool import RtpSockets
from .ports import rtp_port_range

RESERVED_FILES = 256
"""File descriptors kept for everything that is not an RTP socket."""

MAX_CALLS = 1_000_000
"""What a shard has room for."""

SPEECH_SESSIONS = 256
"""Sessions with speech servers, if nobody says how many: a robot's own engine is told."""

MAX_FILES = 2 * MAX_CALLS
"""What calls use where the system sets no limit: each a socket for RTP and one for RTCP."""

MAX_SHARED = 100_000
"""Calls where they share sockets, if nobody says how many."""


def check_capacity(calls: int, speech_sessions: int) -> None:
    """ValueError: no engine has room for so many."""
    if speech_sessions < 0:
        raise ValueError("max_speech_sessions: use a number from 0")
    if calls + speech_sessions > MAX_CALLS:
        raise ValueError(f"an engine takes at most {MAX_CALLS} calls and speech sessions")


def affordable_calls(rtp_ports: tuple[int, int], rtp_sockets: RtpSockets) -> int:
    """How many calls the RTP ports and the file limit allow."""
    if rtp_sockets == "shared":
        return MAX_SHARED
    return max(1, min(len(rtp_port_range(*rtp_ports)), _files()))


def spare_files(max_calls: int) -> int:
    """What is left for RTCP when every call has its RTP socket: reports must not cost calls."""
    return min(max_calls, max(0, _files() - max_calls))


def _files() -> int:
    """Files that calls may open."""
    files, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return MAX_FILES if files == resource.RLIM_INFINITY else files - RESERVED_FILES

"""Media threads in real time: they are where it is asked for, and a system that does not allow it
says so in a line that names the remedy."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

import pytest
from ringwheel import Engine, RealtimeRefused
from ringwheel.cli.machine import Machine

REFUSED = "media threads may not run in real time; let them (ulimit -r 1,"
NOT_ALLOWED = ["setpriv", "--bounding-set=-sys_nice", "prlimit", "--rtprio=0"]
"""Runs a program of root's that may not run in real time."""


def media_threads() -> list[int]:
    """Those of this process; a thread that has just begun has not called itself so yet."""
    tasks = Path("/proc/self/task").iterdir()
    return [int(task.name) for task in tasks if (task / "comm").read_text() == "rw-shard\n"]


def policies(threads: int) -> list[tuple[int, int]]:
    """Scheduling policy and priority of so many media threads."""
    deadline_s = time.monotonic() + 10
    while len(found := media_threads()) < threads and time.monotonic() < deadline_s:
        time.sleep(0.01)
    return [
        (os.sched_getscheduler(thread), os.sched_getparam(thread).sched_priority)
        for thread in found
    ]


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize(
    ("realtime", "policy"), [(True, (os.SCHED_RR, 1)), (False, (os.SCHED_OTHER, 0))]
)
async def test_media_threads_run_in_real_time_where_that_is_asked_for(realtime, policy):
    own = os.sched_getscheduler(0)
    async with Engine(["udp:127.0.0.1:0"], shards=2, realtime=realtime):
        assert policies(2) == [policy] * 2
        assert os.sched_getscheduler(0) == own
    assert media_threads() == []


@pytest.mark.usefixtures("as_root")
@pytest.mark.parametrize("sockets", ["per-leg", "shared"])
def test_where_it_is_not_allowed_an_engine_does_not_start(sockets):
    program = f"""
import asyncio, os, sys, ringwheel

async def main():
    wanted = {{"rtp_sockets": "{sockets}", "max_calls": 10}}
    async with ringwheel.Engine(["udp:127.0.0.1:0"], **wanted):
        before = len(os.listdir("/proc/self/fd"))
    files = len(os.listdir("/proc/self/fd"))
    try:
        await ringwheel.Engine(["udp:127.0.0.1:0"], realtime=True, **wanted).__aenter__()
    except ringwheel.RealtimeRefused as error:
        print(error, file=sys.stderr)
    print(len(os.listdir("/proc/self/fd")) - files, file=sys.stderr)

asyncio.run(main())
"""
    done = subprocess.run(
        [*NOT_ALLOWED, sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    told, files_left = done.stderr.splitlines()
    assert told.startswith(REFUSED)
    assert files_left == "0"


@pytest.mark.usefixtures("as_root")
def test_the_command_line_says_how_to_allow_it(tmp_path):
    (tmp_path / "beep.ulaw").write_bytes(bytes(800))
    serve = [sys.executable, "-m", "ringwheel.cli.main", "serve", "--realtime"]
    arguments = ["--sip", "udp:127.0.0.1:0", "--prompt", str(tmp_path / "beep.ulaw")]
    done = subprocess.run(
        [*NOT_ALLOWED, *serve, *arguments], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert done.stderr.splitlines()[-1].startswith(f"ringwheel: {REFUSED}")
    assert "Traceback" not in done.stderr


@pytest.mark.usefixtures("as_root")
def test_the_doctor_says_whether_it_is_allowed():
    before = os.sched_getscheduler(0)
    assert Machine().real_time_allowed
    assert os.sched_getscheduler(0) == before
    program = "from ringwheel.cli.machine import Machine; print(Machine().real_time_allowed)"
    done = subprocess.run(
        [*NOT_ALLOWED, sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert done.stdout == "False\n"


def test_an_error_of_its_own():
    assert issubclass(RealtimeRefused, PermissionError)
    assert str(RealtimeRefused()).startswith(REFUSED)

"""What this machine allows: questions to the kernel, each answered or honestly unknown.

Files are read below ``root``, so that a test can lay out a machine of its own. System calls are
probed by making them with arguments that cannot do anything.
"""

from __future__ import annotations

import ctypes
import errno
import os
import platform
import resource
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

# The same number on every architecture that Linux has taken in since 2019 (asm-generic/unistd.h).
_SYS_IO_URING_SETUP = 425
_SYS_EPOLL_PWAIT2 = 441
_PR_GET_TIMERSLACK = 30

_libc = ctypes.CDLL(None, use_errno=True)


@dataclass(frozen=True, slots=True)
class TickLateness:
    """How late a thread woke up that slept towards absolute 1 ms ticks, in microseconds."""

    p50_us: float
    p99_us: float
    max_us: float


@dataclass(frozen=True, slots=True)
class Machine:
    """The machine below ``root`` (the files) and under this process (all else)."""

    root: Path = Path("/")

    def read(self, path: str) -> str | None:
        """A small file's text without its line end; None where it cannot be read."""
        try:
            return (self.root / path).read_text(encoding="ascii", errors="replace").strip()
        except OSError:
            return None

    def sysctl(self, name: str) -> str | None:
        """A kernel parameter by its dotted name."""
        return self.read("proc/sys/" + name.replace(".", "/"))

    def sysctl_number(self, name: str) -> int | None:
        """A kernel parameter that is one number."""
        text = self.sysctl(name) or ""
        return int(text) if text.isdecimal() else None

    @property
    def cores(self) -> int:
        """Cores that this process may run on."""
        return len(os.sched_getaffinity(0))

    @property
    def cpu_quota_cores(self) -> float | None:
        """The cgroup's share of CPU time in cores; None where it is not limited."""
        quota_us, _, period_us = (self.read("sys/fs/cgroup/cpu.max") or "max").partition(" ")
        if not (quota_us.isdecimal() and period_us.isdecimal() and int(period_us)):
            return None
        return int(quota_us) / int(period_us)

    @property
    def kernel(self) -> str:
        return platform.release()

    @property
    def open_files(self) -> tuple[int, int]:
        """Soft and hard limit of open files."""
        return resource.getrlimit(resource.RLIMIT_NOFILE)

    @property
    def clock_source(self) -> str | None:
        return self.read("sys/devices/system/clocksource/clocksource0/current_clocksource")

    @property
    def clock_resolution_ns(self) -> int:
        return round(time.clock_getres(time.CLOCK_MONOTONIC) * 1e9)

    @property
    def timer_slack_ns(self) -> int:
        """How much later than asked this thread may be woken; -1 if unknown."""
        return int(_libc.prctl(_PR_GET_TIMERSLACK, 0, 0, 0, 0))

    @property
    def real_time_allowed(self) -> bool:
        """Whether a thread of this process may run in real time: tried, and taken back."""
        before = os.sched_getscheduler(0), os.sched_getparam(0)
        try:
            os.sched_setscheduler(0, os.SCHED_RR, os.sched_param(1))
        except PermissionError:
            return False
        os.sched_setscheduler(0, *before)
        return True

    def io_uring_error(self) -> str | None:
        """Why io_uring cannot be used; None if it can."""
        # No entries is an error of its own, seen only where the call is allowed at all.
        return _probe(_libc.syscall(_SYS_IO_URING_SETUP, 0, None), errno.EINVAL, errno.EFAULT)

    def missing_system_calls(self) -> list[str]:
        """Those of the batched network calls that this kernel or its sandbox refuses."""
        bad = ctypes.c_int(-1)
        calls: dict[str, Callable[[], int]] = {
            "recvmmsg": lambda: _libc.recvmmsg(bad, None, 0, 0, None),
            "sendmmsg": lambda: _libc.sendmmsg(bad, None, 0, 0),
            "epoll_pwait2": lambda: _libc.syscall(_SYS_EPOLL_PWAIT2, bad, None, 1, None, None, 8),
        }
        allowed = (errno.EBADF, errno.EFAULT, errno.EINVAL)
        return [name for name, call in calls.items() if _probe(call(), *allowed)]

    def tick_lateness(self, ticks: int = 1000) -> TickLateness:
        """Sleep towards ``ticks`` absolute 1 ms ticks, and see how late each wake-up is."""
        late_ns = []
        start_ns = time.monotonic_ns()
        for tick in range(1, ticks + 1):
            due_ns = start_ns + tick * 1_000_000
            time.sleep(max(0, due_ns - time.monotonic_ns()) / 1e9)
            late_ns.append(time.monotonic_ns() - due_ns)
        late_ns.sort()
        return TickLateness(
            late_ns[len(late_ns) // 2] / 1000,
            late_ns[len(late_ns) * 99 // 100] / 1000,
            late_ns[-1] / 1000,
        )


def _probe(result: int, *allowed: int) -> str | None:
    """The name of the error of a call just made, None if it worked or failed as it should."""
    if result >= 0:
        return None
    number = ctypes.get_errno()
    return None if number in allowed else os.strerror(number)

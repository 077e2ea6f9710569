"""Child processes of a benchmark: JSON lines in on stdin, JSON lines out on stdout.

Sender, receiver and caller each run in a process of their own, so that CPU time is told apart and
none of them waits for another's interpreter. A child ends when its stdin closes, so none outlives
its parent.
"""

from __future__ import annotations

import json
import os
import resource
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self

from ..cli.errors import STATUS_FAILED, CommandError

Answer = dict[str, Any]
CHUNK_BYTES = 65536
END_TIMEOUT_S = 10.0


class LineReader:
    """Whole lines from a descriptor, waiting at most a given time for one."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._held = b""
        self._selector = selectors.DefaultSelector()
        self._selector.register(fd, selectors.EVENT_READ)

    def read(self, timeout_s: float) -> bytes | None:
        """The next line; None if there is none in time. Raises EOFError at the end of input."""
        deadline_s = time.monotonic() + timeout_s
        while b"\n" not in self._held:
            if not self._selector.select(max(0.0, deadline_s - time.monotonic())):
                return None
            chunk = os.read(self._fd, CHUNK_BYTES)
            if not chunk:
                raise EOFError
            self._held += chunk
        line, self._held = self._held.split(b"\n", 1)
        return line

    def close(self) -> None:
        self._selector.close()


class Child:
    """A Python module of ours run as a child process, and the parent's end of the conversation."""

    def __init__(self, module: str, *arguments: str) -> None:
        self._name = module.rpartition(".")[2]
        self._process = subprocess.Popen(
            [sys.executable, "-m", module, *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._stdin = self._process.stdin
        self._lines = LineReader(self._process.stdout.fileno())

    @property
    def pid(self) -> int:
        return self._process.pid

    def answer(self, timeout_s: float = 30.0) -> Answer:
        """The child's next line. Raises CommandError if it ends, fails or is silent too long."""
        try:
            line = self._lines.read(timeout_s)
        except EOFError:
            raise self._gone() from None
        if line is None:
            raise self._failure(
                f"gave no answer for {timeout_s:.0f} s", "Try again on a machine with less to do"
            )
        answer: Answer = json.loads(line)
        if "error" in answer:
            raise self._failure(answer["error"], "Try smaller figures")
        return answer

    def ask(self, command: str, timeout_s: float = 30.0, **arguments: object) -> Answer:
        """Send a command with its arguments, and wait for its answer."""
        try:
            self._stdin.write(json.dumps({"do": command, **arguments}).encode() + b"\n")
            self._stdin.flush()
        except BrokenPipeError:
            raise self._gone() from None
        return self.answer(timeout_s)

    def _gone(self) -> CommandError:
        """It has ended before it was told to: by whom, as far as that is known."""
        try:
            status = self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return self._failure("closed its output and goes on", "Its reason stands above")
        if status >= 0:
            return self._failure(f"ended early, with status {status}", "Its reason stands above")
        try:
            name = signal.Signals(-status).name
        except ValueError:
            name = f"signal {-status}"
        remedy = "See the kernel's log (dmesg), and report it: it should not have happened"
        if -status == signal.SIGKILL:
            remedy = "Look for who kills it: for want of memory it is the kernel (dmesg)"
        return self._failure(f"was ended early by {name}", remedy)

    def _failure(self, cause: str, remedy: str) -> CommandError:
        return CommandError(f"{self._name}: {cause}", remedy, STATUS_FAILED)

    def close(self) -> None:
        """Close the child's stdin, at which it ends; kill it if it does not."""
        self._stdin.close()
        try:
            self._process.wait(END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._lines.close()
        assert self._process.stdout is not None
        self._process.stdout.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def start_child(module: str, **arguments: object) -> Child:
    """A child that talks to a `Parent`, with its arguments."""
    return Child(module, json.dumps(arguments))


class Parent:
    """The child's end: its arguments, the commands it gets, the answers it gives."""

    def __init__(self) -> None:
        self.arguments: Answer = json.loads(sys.argv[1])
        # Ctrl-C reaches the whole group: the parent stops, and its going away ends us.
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        self._lines = LineReader(sys.stdin.fileno())

    def command(self, timeout_s: float) -> str | None:
        """The next command, None if none comes in time. Raises EOFError when the parent is done.

        What it brings with it joins ``arguments``.
        """
        line = self._lines.read(timeout_s)
        if line is None:
            return None
        self.arguments |= json.loads(line)
        return str(self.arguments.pop("do"))

    @staticmethod
    def tell(answer: Mapping[str, object]) -> None:
        """Answer the parent."""
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


def cpu_time_us() -> int:
    """CPU time of this process so far, user and system."""
    used = resource.getrusage(resource.RUSAGE_SELF)
    return round((used.ru_utime + used.ru_stime) * 1e6)

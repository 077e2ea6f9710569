"""What the interop tests talk to: an engine as users start it, and programs that others wrote."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

START_TIMEOUT_S = 30.0
END_TIMEOUT_S = 30.0


def find_program(name: str, package: str) -> str:
    """Path of a program. Without it the test is skipped, but in CI (CI=true) it fails."""
    found = shutil.which(name)
    if found:
        return found
    message = f"{name} is not installed: apt-get install {package}"
    if os.environ.get("CI") == "true":
        pytest.fail(message)
    pytest.skip(message)


@dataclass(frozen=True, slots=True)
class Served:
    """A `ringwheel serve` that runs. ``host`` and ``port`` take SIP over UDP."""

    pid: int
    host: str
    port: int
    log: Path

    def threads(self) -> int:
        """Threads of the process."""
        return len(list(Path(f"/proc/{self.pid}/task").iterdir()))

    def events(self) -> list[dict[str, object]]:
        """What it has logged up to now."""
        return events_of(self.log)


def events_of(log: Path) -> list[dict[str, object]]:
    """The whole lines of a JSON log."""
    text = log.read_text("utf-8")
    return [json.loads(line) for line in text[: text.rfind("\n") + 1].splitlines()]


def wait_for_address(process: subprocess.Popen[bytes], log: Path) -> tuple[str, int]:
    """Where a server listens, as soon as it says so."""
    deadline_s = time.monotonic() + START_TIMEOUT_S
    while process.poll() is None and time.monotonic() < deadline_s:
        for event in events_of(log):
            if event["event"] == "listening":
                host, _, port = event["sip"][0].rpartition(":")  # type: ignore[index]
                return host, int(port)
        time.sleep(0.02)
    pytest.fail(f"ringwheel serve did not start: {log.read_text('utf-8')}")


@contextmanager
def serve_prompts(folder: Path, prompts: list[Path], *options: str) -> Iterator[Served]:
    """A `ringwheel serve` of its own process on a free port, ended by SIGTERM."""
    log = folder / "serve.log"
    arguments = ["--log-format=json", "serve", "--sip=udp:127.0.0.1:0", "--drain=1"]
    with log.open("wb") as stderr:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "ringwheel.cli.main", *arguments, *options),
                *(f"--prompt={prompt}" for prompt in prompts),
            ],
            stdout=subprocess.DEVNULL,
            stderr=stderr,
        )
    try:
        host, port = wait_for_address(process, log)
        yield Served(process.pid, host, port, log)
        process.send_signal(signal.SIGTERM)
        assert process.wait(END_TIMEOUT_S) == 0
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@pytest.fixture(scope="session")
def program() -> Callable[[str, str], str]:
    """`find_program`."""
    return find_program


@pytest.fixture(scope="session")
def serve() -> Callable[..., AbstractContextManager[Served]]:
    """`serve_prompts`."""
    return serve_prompts

"""What fault tests need: root and its tools, a prompt, an engine, and callers elsewhere."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from ..interop.conftest import Served, find_program
from .caller import FRAME, Notes

CALLER = Path(__file__).with_name("caller.py")
PROMPT_PACKETS = 389
SPARE_S = 60.0


@pytest.fixture
def as_root() -> None:
    """The test needs root. Without, it is skipped, but in CI (CI=true) it fails."""
    if os.geteuid() != 0:
        message = "only root may make network namespaces, mount disks and run in real time"
        if os.environ.get("CI") == "true":
            pytest.fail(message)
        pytest.skip(message)


@pytest.fixture
def iproute2(as_root: None) -> None:
    """The test makes a network."""
    for name in ("ip", "tc"):
        find_program(name, "iproute2")


@pytest.fixture
def prompt(tmp_path: Path) -> Path:
    """Noise, in which every packet can be told."""
    path = tmp_path / "prompt.ulaw"
    path.write_bytes(random.Random(3).randbytes(PROMPT_PACKETS * FRAME))
    return path


def start_caller(served: Served, arguments: dict, enter: Sequence[str]) -> subprocess.Popen[str]:
    """A caller's process."""
    arguments["target"] = [served.host, served.port]
    return subprocess.Popen(
        [*enter, sys.executable, str(CALLER), json.dumps(arguments)],
        stdout=subprocess.PIPE,
        text=True,
    )


@pytest.fixture
def call(prompt: Path) -> Callable[..., list[Notes]]:
    """Places calls to a server, one for each user, and returns the notes of all.

    ``meanwhile`` runs while they last; the answers to their BYEs are waited for ``patience_s``.
    """

    def place(
        served: Served,
        users: Sequence[str],
        seconds: float,
        *,
        host: str = "127.0.0.1",
        enter: Sequence[str] = (),
        meanwhile: Callable[[], None] = lambda: None,
        patience_s: float = 5.0,
    ) -> list[Notes]:
        arguments = {
            "host": host,
            "users": list(users),
            "rate_per_s": 100,
            "packets": round(seconds * 50),
            "patience_s": patience_s,
            "prompt": str(prompt),
        }
        with start_caller(served, arguments, enter) as process:
            try:
                meanwhile()
                told, _ = process.communicate(timeout=seconds + SPARE_S)
            finally:
                process.kill()
        assert process.returncode == 0
        return [Notes(**notes) for notes in json.loads(told)]

    return place

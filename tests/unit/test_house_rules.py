"""The rules of the house that a machine can check."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
ROOMS = {
    "media": set(),
    "robot": {"media"},
    "cli": {"media", "robot", "bench"},
    "bench": {"media", "robot", "cli"},
}
"""What each room may import. cli and bench: the one registers the other, which uses its errors."""

LONGEST_FILE_LINES = 800
SOURCES = ("*.py", "*.pyx", "*.pxi", "*.c", "*.h")


def tracked(*patterns):
    """Files that git tracks."""
    listed = subprocess.run(
        ["git", "ls-files", "--", *patterns], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode:
        pytest.skip("not a git checkout")
    return [ROOT / name for name in listed.stdout.splitlines()]


def imported_rooms(file):
    """Rooms that a module of ours imports, by relative imports."""
    package = file.relative_to(ROOT).parent.parts
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom) and node.level:
            target = package[: len(package) - node.level + 1] + tuple(
                (node.module or "").split(".") if node.module else ()
            )
            if target:
                yield target[0]
            else:
                yield from (name.name for name in node.names if name.name in ROOMS)
        elif isinstance(node, ast.ImportFrom | ast.Import):
            names = [alias.name for alias in node.names] + [getattr(node, "module", None) or ""]
            assert not any(name.partition(".")[0] == "ringwheel" for name in names), file


@pytest.mark.parametrize("room", ROOMS)
def test_imports_go_down_the_rooms(room):
    files = [file for file in tracked(f"{room}/*.py") if not file.name.startswith("test_")]
    assert files
    for file in files:
        assert set(imported_rooms(file)) <= ROOMS[room] | {room}, file


def test_only_the_package_is_imported_under_its_own_name():
    script = (
        "import sys, ringwheel, ringwheel.cli.main; "
        "print([n for n in ('media', 'robot', 'cli', 'bench', 'balancer') if n in sys.modules])"
    )
    shown = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, cwd="/"
    )
    assert shown.stdout.strip() == "[]"


def test_no_source_file_is_longer_than_800_lines():
    long = {
        file.name: lines
        for file in tracked(*SOURCES)
        if (lines := len(file.read_text("utf-8").splitlines())) > LONGEST_FILE_LINES
    }
    assert not long


def test_meson_lists_every_c_source():
    listed = (ROOT / "meson.build").read_text("utf-8")
    for file in tracked("csrc/*/*.c"):
        # A module by its name, anything else by its file name.
        name = re.sub(r"_(test|fuzz|bench|absent)$", "", file.stem)
        assert f"'{name}'" in listed or f"/{file.name}'" in listed, file


def test_nothing_names_a_place_on_somebodys_machine():
    pattern = re.compile(r"(?<![\w.:/-])/(?:home|root|mnt|opt|srv|" + "wo" + r"rk)/[a-z]")
    named = [
        f"{file.relative_to(ROOT)}: {line.strip()}"
        for file in tracked(*SOURCES, "*.md", "*.toml", "*.yml", "Makefile", "tools/*", ".ci/*")
        for line in file.read_text("utf-8").splitlines()
        if pattern.search(line)
    ]
    assert not named

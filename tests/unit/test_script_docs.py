"""The reference of scripts: its examples compile, and it has every step, function and code."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from ringwheel.robot.script.compiler import check_source, compile_source
from ringwheel.robot.script.functions import FUNCTIONS
from ringwheel.robot.script.stepping import KEYS

from .test_script_schema import faults

ROOT = Path(__file__).resolve().parents[2]
TEXT = (ROOT / "docs" / "scripts.md").read_text("utf-8")
BLOCKS = re.findall(r"```yaml\n(.*?)```", TEXT, re.DOTALL)
FLOWS = "flows:\n  person: [hang_up: done]\n  ask_day: {parameters: [first], steps: [say: Hi]}\n"


def whole(block):
    """A block of steps as a script."""
    if block.startswith("ringwheel:"):
        return block
    return "ringwheel: 1\nsecrets: {key: KEY}\nsteps:\n" + block + FLOWS


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.partition("\n")[0])
def test_an_example_compiles(block):
    assert [str(problem) for problem in compile_source(whole(block).encode(), ROOT).problems] == []


@pytest.mark.parametrize("block", [block for block in BLOCKS if block.startswith("ringwheel:")])
def test_there_is_nothing_to_say_against_a_whole_script(block):
    assert [str(problem) for problem in check_source(block.encode(), ROOT).problems] == []


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.partition("\n")[0])
def test_an_example_fits_the_schema(block):
    assert faults(whole(block)) == []


def test_every_step_has_an_example():
    assert set(KEYS) <= set(re.findall(r"^- (\w+):", "\n".join(BLOCKS), re.MULTILINE))


def test_every_function_is_there():
    assert set(FUNCTIONS) <= set(re.findall(r"(\w+)\(", TEXT))


def test_every_code_is_there():
    sources = "".join(file.read_text("utf-8") for file in (ROOT / "robot" / "script").glob("*.py"))
    pattern = r"""(?:error|warning|Problem|_Unreadable)\(\s*"([a-z-]+)","""
    codes = set(re.findall(pattern, sources))
    assert len(codes) > 30
    assert codes <= set(re.findall(r"`([a-z-]+)`", TEXT))

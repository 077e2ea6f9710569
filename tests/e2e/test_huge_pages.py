"""Python's objects on huge pages, as the kernel tells of fresh processes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from functools import cache

import pytest
from ringwheel.media import huge_pages

MIB = 2**20

SEEN = """
import json, sys

def advised():
    size = mine = huge = 0
    for line in open("/proc/self/smaps"):
        name, _, value = line.partition(":")
        if name == "Size":
            size = int(value.split()[0]) * 1024
        elif name == "AnonHugePages":
            here = int(value.split()[0]) * 1024
        elif name == "VmFlags" and "hg" in value.split():
            mine, huge = mine + size, huge + here
    return {"advised": mine, "huge": huge}
"""
"""What the process has asked for as huge pages, and what it has of them."""


def see(script: str, switch: str | None = None) -> dict[str, dict[str, int]]:
    """What a fresh interpreter prints as JSON that runs ``script``, with RINGWHEEL_HUGE_PAGES."""
    env = {name: value for name, value in os.environ.items() if name != huge_pages.SWITCH}
    if switch is not None:
        env[huge_pages.SWITCH] = switch
    done = subprocess.run(
        [sys.executable, "-c", SEEN + script],
        env=env,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@cache
def what_is_missing() -> str:
    """Why this machine has no huge page to give now; nothing if it has."""
    seen = see("""
import mmap
memory = mmap.mmap(-1, 8 * 2**20, flags=mmap.MAP_PRIVATE)
try:
    memory.madvise(mmap.MADV_HUGEPAGE)
except OSError as error:
    print(json.dumps({"error": str(error)}))
    sys.exit()
memory.write(bytes(len(memory)))
print(json.dumps(advised()))
""")
    if "error" in seen:
        return f"huge pages: {seen['error']}"
    return "" if seen["huge"] else "the system gives no huge pages: see `ringwheel doctor`"


@pytest.fixture
def huge_pages_there() -> None:
    if missing := what_is_missing():
        pytest.skip(missing)


@pytest.mark.usefixtures("huge_pages_there")
def test_what_the_package_is_made_of_lies_on_huge_pages():
    seen = see("import ringwheel; print(json.dumps(advised()))")
    assert seen["huge"] >= 4 * MIB


def test_the_switch_leaves_python_as_it_is():
    seen = see("import ringwheel; print(json.dumps(advised()))", switch="0")
    assert seen["advised"] == 0


@pytest.mark.parametrize("switch", ["0", "1"])
def test_everything_is_there_either_way(switch):
    seen = see("import ringwheel.cli.main; print(json.dumps(ringwheel.__all__))", switch)
    assert "Engine" in seen


@pytest.mark.usefixtures("huge_pages_there")
def test_memory_is_given_back():
    seen = see("""
import ringwheel
before = advised()
kept = [bytes(400) for _ in range(150_000)]
most = advised()
del kept
print(json.dumps({"before": before, "most": most, "after": advised()}))
""")
    before, most, after = (seen[name]["advised"] for name in ("before", "most", "after"))
    assert most - before > 50 * MIB
    assert after - before < 10 * MIB


@pytest.mark.usefixtures("huge_pages_there")
def test_a_child_of_a_fork_makes_and_frees_objects_of_its_own():
    seen = see("""
import multiprocessing, ringwheel

def work(kept):
    most = advised()
    kept.clear()
    made = [bytes(400) for _ in range(100_000)]
    assert set(made) == {bytes(400)}
    queue.put({"most": most, "after": advised()})

context = multiprocessing.get_context("fork")
queue = context.SimpleQueue()
kept = [str(number) * 50 for number in range(100_000)]
child = context.Process(target=work, args=(kept,))
child.start()
told = queue.get()
child.join()
assert child.exitcode == 0
assert kept == [str(number) * 50 for number in range(100_000)]
print(json.dumps(told))
""")
    assert seen["most"]["advised"] > 20 * MIB
    assert seen["after"]["advised"] > 20 * MIB

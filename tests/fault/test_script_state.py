"""A conversation by typing whose process is killed goes on in another one, at the same question."""

import subprocess
import sys

SCRIPT = """
ringwheel: 1
name: Killed
locale: en-GB
report: [name, code]
steps:
  - ask: {into: name, prompt: Your name?, answer: text}
  - ask:
      into: code
      prompt: Your code?
      answer: {digits: 3}
      retries: {no_match: [Three digits.]}
  - hang_up: {cause: done, say: "${name}, ${code}."}
"""
COMMAND = (sys.executable, "-m", "ringwheel.cli.main", "script", "run")
TIMEOUT_S = 60.0


def start(script, state):
    return subprocess.Popen(
        [*COMMAND, script, "--text", "--state", state],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        encoding="utf-8",
    )


def test_killed_at_each_answer(tmp_path):
    script, state = tmp_path / "killed.yaml", tmp_path / "state.json"
    script.write_text(SCRIPT)
    for typed, next_said in (("Ada", "Your code?"), ("nothing of that", "Three digits.")):
        with start(script, state) as running:
            running.stdin.write(f"{typed}\n")
            running.stdin.flush()
            # What is said next is said when the answer has been kept.
            while running.stdout.readline().rstrip() != next_said:
                assert running.poll() is None
            running.kill()
    with start(script, state) as running:
        shown, _ = running.communicate("1 2 3\n", timeout=TIMEOUT_S)
    assert running.returncode == 0
    assert shown.splitlines()[:2] == ["Three digits.", "Ada, 123."]
    assert not state.exists()

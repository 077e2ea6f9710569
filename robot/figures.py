"""A robot in figures: what its conversations have come to."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from ..media.monitor.buckets import Buckets

SECONDS = (5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1_200.0, 3_600.0)
QUESTIONS = ("answered", "no-input", "no-match", "left")
"""What may be the last word on a question; what a script calls itself is `other`."""
FAILED, OTHER = "failed", "other"
MAX_CAUSES = 100
"""Causes told apart; a script may make them of what callers say."""


@dataclass(slots=True)
class RobotFigures:
    """Counted as records of calls are made. ``conversations`` by script and cause; ``questions`` by
    what came of them in the end, where ``no-input`` and ``no-match`` were given up; ``misses``
    are the answers that did not come or fit; ``seconds`` of conversations; ``unreached`` the calls
    that none came of."""

    conversations: Counter[tuple[str, str]] = field(default_factory=Counter)
    unreached: Counter[str] = field(default_factory=Counter)
    questions: Counter[str] = field(default_factory=Counter)
    misses: Counter[str] = field(default_factory=Counter)
    steps: int = 0
    seconds: Buckets = field(default_factory=lambda: Buckets(SECONDS))

    def note(self, record: dict[str, Any]) -> None:
        """A call is over."""
        if record["cause"] is None:
            self.unreached[record["outcome"]] += 1
            return
        known = record["script"], record["cause"]
        if known not in self.conversations and len(self.conversations) >= MAX_CAUSES:
            known = record["script"], OTHER
        self.conversations[known] += 1
        self.steps += record["steps"]
        self.seconds.add(record["seconds"])
        for question in record["questions"]:
            self.questions[_outcome_of(question["outcome"])] += 1
            self.misses["no-input"] += question["no_input"]
            self.misses["no-match"] += question["no_match"]


def _outcome_of(outcome: str) -> str:
    if outcome in QUESTIONS:
        return outcome
    return FAILED if outcome.startswith(FAILED) else OTHER

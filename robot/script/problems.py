"""What is wrong with a script: each thing with its place, its cause and its remedy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from .place import Place

Severity = Literal["error", "warning"]
MOST_PROBLEMS = 200


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing that is wrong. ``code`` is one word of what kind, for programs and for search;
    ``file`` is the other script that it is in, "" for the one that was asked about.

    An error keeps a script from being started; a warning does not.
    """

    code: str
    place: Place
    message: str
    remedy: str = ""
    severity: Severity = "error"
    file: str = ""

    def __str__(self) -> str:
        text = f"{self.place.line}:{self.place.column}: {self.severity}[{self.code}]: "
        return text + self.message + (f". {self.remedy}" if self.remedy else "")


class ScriptError(Exception):
    """A script that cannot be started; ``problems`` are all that were found, by their places."""

    def __init__(self, file: str, problems: Iterable[Problem]) -> None:
        self.file = file
        self.problems = in_order(problems)
        errors = [problem for problem in self.problems if problem.severity == "error"]
        more = f" (and {len(errors) - 1} more)" if len(errors) > 1 else ""
        super().__init__(f"{errors[0].file or file}:{errors[0]}{more}" if errors else file)


def in_order(problems: Iterable[Problem]) -> tuple[Problem, ...]:
    """Problems by their places, each once, and no more than anybody would read."""
    once = dict.fromkeys(problems)
    return tuple(sorted(once, key=lambda problem: (problem.file, problem.place)))[:MOST_PROBLEMS]


class Problems:
    """Collects what is wrong."""

    def __init__(self) -> None:
        self.found: list[Problem] = []

    def error(self, code: str, place: Place, message: str, remedy: str = "") -> None:
        """Take down an error."""
        self.found.append(Problem(code, place, message, remedy))

    def warning(self, code: str, place: Place, message: str, remedy: str = "") -> None:
        """Take down a warning."""
        self.found.append(Problem(code, place, message, remedy, "warning"))

    @property
    def has_errors(self) -> bool:
        """Whether the script must not be started."""
        return any(problem.severity == "error" for problem in self.found)

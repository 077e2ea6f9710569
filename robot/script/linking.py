"""Compiles the scripts that a script hands over to, together with it.

Each file is compiled once, however many lead there; scripts may lead to each other in a circle.
What is wrong in another file is told with that file's name.
"""

from __future__ import annotations

import hashlib
import posixpath
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from .compiled import Compiled
from .model import HandOver, Script
from .nearest import suggestion
from .place import NOWHERE, Place
from .problems import Problem, ScriptError, in_order

MOST_SCRIPTS = 16


@dataclass(frozen=True, slots=True)
class Source:
    """Which of the scripts that are compiled together one is.

    ``key`` is its path from the folder of the first one, "" for the first one itself; ``first`` is
    what the first one's file is called.
    """

    key: str = ""
    first: str = ""

    @property
    def prefix(self) -> str:
        """What the ids of its steps begin with."""
        return f"{self.key}:" if self.key else ""

    def path(self, written: str) -> str:
        """The path of what this script calls so, from the folder of the first."""
        return posixpath.normpath(posixpath.join(posixpath.dirname(self.key), written))

    def target(self, written: str) -> str:
        """The key of the script that this one calls so."""
        path = self.path(written)
        return "" if path == self.first else path


Compile = Callable[[Path, Source, str], Compiled]
"""Compiles and checks a file, given what it is called in errors. ScriptError: it is not there."""


def link(first: Compiled, folder: Path, file: str, source: Source, compile_: Compile) -> Compiled:
    """The first script with those that it hands over to, and those that they do.

    They lie in ``folder``; ``file`` is what that is called in errors.
    """
    linker = _Linker(first, folder, file, source, compile_)
    return linker.link() if any(_hand_overs(first)) else first


def _hand_overs(compiled: Compiled) -> Iterator[HandOver]:
    steps = () if compiled.script is None else compiled.script.steps.values()
    return (step for step in steps if isinstance(step, HandOver))


class _Linker:
    def __init__(
        self, first: Compiled, folder: Path, file: str, source: Source, compile_: Compile
    ) -> None:
        self._folder = folder
        self._file = file
        self._source = source
        self._compile = compile_
        self._found = {"": first}
        self._problems = list(first.problems)

    def link(self) -> Compiled:
        waiting = [""]
        for key in waiting:
            for step in _hand_overs(self._found[key]):
                if step.script not in self._found and self._read(key, step):
                    waiting.append(step.script)
        for key, compiled in self._found.items():
            for step in _hand_overs(compiled):
                self._check_arguments(key, step)
        secrets = self._secrets()
        first, *others = self._found.items()
        linked = replace(first[1], problems=in_order(self._problems), others=dict(others))
        scripts = {key: found.script for key, found in self._found.items() if found.script}
        if any(problem.severity == "error" for problem in self._problems):
            return replace(linked, script=None)
        return replace(linked, script=_joined(scripts, secrets))

    def _read(self, key: str, step: HandOver) -> bool:
        """Compile the script that a step hands over to. Whether there is one."""
        if len(self._found) >= MOST_SCRIPTS:
            cause = f"more than {MOST_SCRIPTS} scripts hand over to each other"
            self._error(key, "too-large", step.place, cause, "Put some of them together")
            return False
        source = replace(self._source, key=step.script)
        name = self._name(step.script)
        try:
            found = self._compile(self._folder / step.script, source, name)
        except ScriptError as error:
            cause = f"the script `{step.script}`: {error.problems[0].message}"
            remedy = "Its path begins at the folder of this script"
            self._error(key, "missing-file", step.place, cause, remedy)
            return False
        self._problems += [replace(problem, file=name) for problem in found.problems]
        self._found[step.script] = found
        return True

    def _name(self, key: str) -> str:
        return str(Path(self._file) / key) if key else ""

    def _error(self, key: str, code: str, place: Place, cause: str, remedy: str = "") -> None:
        self._problems.append(Problem(code, place, cause, remedy, file=self._name(key)))

    def _check_arguments(self, key: str, step: HandOver) -> None:
        other = self._found.get(step.script)
        if other is None or other.script is None:
            return
        for name, expression in step.arguments:
            if name not in other.variables:
                shown = step.script or self._source.first
                near = suggestion(name, other.variables)
                cause = f"`{shown}` has no variable `{name}`{near}"
                remedy = "Declare it there under `variables:`, with the value it has without this"
                self._error(key, "arguments", expression.place, cause, remedy)

    def _secrets(self) -> dict[str, str]:
        """The secrets of all scripts: a state has their names, which mean one thing each."""
        known: dict[str, str] = {}
        for key, compiled in self._found.items():
            for name, variable in compiled.script.secrets.items() if compiled.script else ():
                if known.setdefault(name, variable) != variable:
                    cause = f"the secret `{name}` is {variable} here, and {known[name]} elsewhere"
                    remedy = "Scripts that hand over to each other name a secret alike"
                    self._error(key, "unknown-secret", NOWHERE, cause, remedy)
        return known


def _joined(scripts: dict[str, Script], secrets: dict[str, str]) -> Script:
    first = scripts.pop("")
    others = {key: replace(script, secrets=secrets) for key, script in scripts.items()}
    total = hashlib.sha256(first.hash.encode())
    for key in sorted(others):
        total.update(key.encode() + b"\0" + others[key].hash.encode())
    return replace(first, secrets=secrets, others=others, hash=total.hexdigest())

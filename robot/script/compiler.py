"""Compiles a script: YAML or JSON in, a :class:`~.model.Script` out, or all that is wrong with it.

Reading goes on past every fault, so that one run finds them all. A script with an error is never
given out: :func:`load_script` raises :class:`~.problems.ScriptError`.
"""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import cast

from .answers import BY, AnswerReader
from .check import check
from .compiled import Compiled
from .expressions import Expression
from .forms import Form, Reader
from .handling import HandlerReader
from .linking import Source, link
from .model import By, Flow, Limits, Script
from .nearest import suggestion
from .pack import is_pack, open_pack, with_rendered
from .place import NOWHERE, Place
from .problems import Problem, Problems, ScriptError, in_order
from .prompting import PromptReader
from .questionnaire import steps_of
from .source import MOST_BYTES, Items, Node, Scalar, Table, read_source
from .stepping import StepReader

VERSION = 1
MAIN = "main"
TOP = (
    "ringwheel",
    "name",
    "locale",
    "voice",
    "speech",
    "start",
    "prompts",
    "variables",
    "secrets",
    "report",
    "limits",
    "on",
    "flows",
    "steps",
    "questionnaire",
)
FLOW = ("parameters", "steps")
LIMITS = ("call", "steps", "silence", "state")
_ENVIRONMENT = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,99}")


def load_script(path: Path | str, cache: Path | None = None) -> Script:
    """The script in a file: YAML, JSON, or a pack, whose files are taken out into ``cache``.

    ScriptError: what is wrong with it, all of it.
    """
    found = check_file(Path(path), cache)
    if found.script is None:
        raise ScriptError(str(path), found.problems)
    return found.script


def check_file(path: Path, cache: Path | None = None) -> Compiled:
    """Compile a file and look for what cannot go well. ScriptError: it cannot be read."""
    data = _read(path)
    if not is_pack(data):
        return check_source(data, path.parent, str(path))
    try:
        opened = open_pack(path, cache or cache_folder("packs"))
    except OSError as error:
        raise ScriptError(
            str(path), [Problem("unreadable", NOWHERE, str(error.strerror))]
        ) from None
    inner = opened.folder / opened.script
    found = check_source(_read(inner), opened.folder, str(path), inner.stem, opened.script)
    if found.script is None:
        return found
    return replace(found, script=with_rendered(found.script, opened.folder), is_pack=True)


def _read(path: Path) -> bytes:
    """What a file begins with: more than a source may have, and enough to know a pack by."""
    try:
        with path.open("rb") as file:
            return file.read(MOST_BYTES + 1)
    except OSError as error:
        raise _unreadable(path, f"it cannot be read: {error.strerror or error}") from None


def _unreadable(path: Path, cause: str) -> ScriptError:
    return ScriptError(str(path), [Problem("unreadable", NOWHERE, cause)])


def cache_folder(name: str) -> Path:
    """Where files are kept that can be made again (XDG Base Directory Specification). OSError."""
    given = os.environ.get("XDG_CACHE_HOME", "")
    try:
        folder = Path(given) if Path(given).is_absolute() else Path.home() / ".cache"
    except RuntimeError:
        cause = "there is no home directory to keep files in; set XDG_CACHE_HOME to a folder"
        raise OSError(None, cause) from None
    return folder / "ringwheel" / name


def check_source(
    data: bytes, folder: Path, file: str = "script", name: str = "", within: str = ""
) -> Compiled:
    """Compile a source whose files lie in ``folder``, and look for what cannot go well: in it, and
    in the scripts that it hands over to. ``within`` is what it is called in the pack ``file``."""
    source = Source(first=within or Path(file).name)
    compiled = _check_one(data, folder, file, name, source)
    return link(compiled, folder, file if within else str(Path(file).parent), source, _check_other)


def _check_other(path: Path, source: Source, file: str) -> Compiled:
    return _check_one(_read(path), path.parent, file, "", source)


def _check_one(data: bytes, folder: Path, file: str, name: str, source: Source) -> Compiled:
    compiled = compile_source(data, folder, file, name, source)
    if compiled.script is None:
        return compiled
    problems = in_order([*compiled.problems, *check(compiled)])
    good = all(problem.severity == "warning" for problem in problems)
    return replace(compiled, problems=problems, script=compiled.script if good else None)


def compile_source(
    data: bytes, folder: Path, file: str = "script", name: str = "", source: Source | None = None
) -> Compiled:
    """Compile a source whose files lie in ``folder``; by itself, without what it hands over to.

    ``file`` is what it is called in errors, ``name`` in reports, where it does not say that itself.
    """
    problems = Problems()
    try:
        tree = read_source(data, problems, file)
    except ScriptError as error:
        return Compiled(data, None, error.problems)
    source = source or Source(first=Path(file).name)
    return _Compiler(problems, folder, name or Path(file).stem, source).compile(tree, data)


def hash_of(data: bytes, files: Mapping[str, bytes]) -> str:
    """The SHA-256 of a source and its grammars: with the same, a saved state means the same."""
    total = hashlib.sha256(hashlib.sha256(data).digest())
    for name in sorted(files):
        total.update(name.encode() + b"\0" + hashlib.sha256(files[name]).digest())
    return total.hexdigest()


class _Compiler:
    def __init__(self, problems: Problems, folder: Path, name: str, source: Source) -> None:
        self._problems = problems
        self._reader = Reader(problems)
        self._folder = folder
        self._name = name
        self._source = source

    def compile(self, tree: Node, data: bytes) -> Compiled:
        form = self._reader.form(tree, TOP, "a script", ("ringwheel",))
        if form is None:
            return Compiled(data, None, in_order(self._problems.found))
        self._check_version(form)
        locale = self._locale(form)
        prompts = PromptReader(self._reader, locale)
        answers = AnswerReader(self._reader, locale, self._folder)
        sources = self._flow_sources(form)
        steps = StepReader(self._reader, prompts, answers, frozenset(sources), self._source)
        flows = {
            name: self._flow(name, place, node, steps) for name, (place, node) in sources.items()
        }
        handling = HandlerReader(self._reader, answers, steps, flows, self._source.prefix)
        handlers = handling.read(form.get("on"))
        report = self._report(form)
        variables, declared = self._variables(form)
        script = Script(
            name=self._text(form, "name") or self._name,
            hash=hash_of(data, answers.files),
            locale=locale,
            start=self._start(form, flows),
            steps=steps.steps,
            flows=flows,
            voice=self._text(form, "voice"),
            by=self._by(form),
            handlers=handlers,
            variables=variables,
            secrets=self._secrets(form),
            report=tuple(report),
            limits=self._limits(form),
            base=str(self._folder / (self._text(form, "prompts") or ".")),
        )
        return Compiled(
            data,
            None if self._problems.has_errors else script,
            in_order(self._problems.found),
            handling.words,
            answers.files,
            declared,
            report,
        )

    def _check_version(self, form: Form) -> None:
        node = form.get("ringwheel")
        if node is not None and not (isinstance(node, Scalar) and node.value == VERSION):
            cause = "this version of the format is not known"
            self._problems.error("version", node.place, cause, f"Write `ringwheel: {VERSION}`")

    def _text(self, form: Form, key: str) -> str | None:
        return self._reader.optional(form, key, lambda node: self._reader.text(node, f"`{key}`"))

    def _locale(self, form: Form) -> str:
        return (
            self._reader.optional(form, "locale", PromptReader(self._reader, "en").locale) or "en"
        )

    def _by(self, form: Form) -> By:
        node = form.get("speech")
        found = None if node is None else self._reader.one_of(node, BY, "`speech`")
        return cast(By, found) if found is not None else "local"

    # Flows.

    def _flow_sources(self, form: Form) -> dict[str, tuple[Place, Node]]:
        """The flows with their sources; ``steps`` and ``questionnaire`` are that of ``main``."""
        found: dict[str, tuple[Place, Node]] = {}
        flows = form.get("flows")
        for entry in () if flows is None else self._reader.entries(flows, "flows"):
            if self._reader.check_name(entry.key, entry.place, "the name of a flow"):
                found[entry.key] = (entry.place, entry.value)
        for key in ("steps", "questionnaire"):
            node = form.get(key)
            if node is None:
                continue
            if MAIN in found:
                cause = f"`{key}` is the flow `{MAIN}`, which there is already"
                self._problems.error("duplicate-flow", form.place_of(key), cause, "Keep one")
            main = steps_of(node, self._reader) if key == "questionnaire" else node
            found[MAIN] = (form.place_of(key), main)
        if not found:
            cause = "a script needs `flows`, `steps` or `questionnaire`"
            self._problems.error("missing-key", form.place, cause, "Give `steps:` a list of steps")
        return found

    def _flow(self, name: str, place: Place, node: Node, steps: StepReader) -> Flow:
        parameters: tuple[str, ...] = ()
        if isinstance(node, Table):
            form = self._reader.form(node, FLOW, f"the flow `{name}`", ("steps",))
            given = None if form is None else form.get("parameters")
            if given is not None:
                items = self._reader.items(given, "parameters", 50)
                names = [self._reader.variable(item) for item in items]
                parameters = tuple(dict.fromkeys(name for name in names if name is not None))
            inner = None if form is None else form.get("steps")
            node = Items(node.place, ()) if inner is None else inner
        entry = steps.read(node, self._source.prefix + name, name, None)
        if entry is None and isinstance(node, Items):
            cause = f"the flow `{name}` has no steps"
            self._problems.error("empty-flow", place, cause, "Give it some, or take it out")
        return Flow(name, place, entry, parameters)

    def _start(self, form: Form, flows: Mapping[str, Flow]) -> str:
        first = MAIN if MAIN in flows else next(iter(flows), MAIN)
        node = form.get("start")
        name = None if node is None else self._reader.text(node, "the name of a flow")
        if node is None or name is None:
            return first
        if name not in flows:
            cause = f"there is no flow `{name[:60]}`{suggestion(name, flows)}"
            self._problems.error("unknown-flow", node.place, cause)
            return first
        return name

    # What stands beside the flows.

    def _variables(self, form: Form) -> tuple[tuple[tuple[str, Expression], ...], dict[str, Place]]:
        node = form.get("variables")
        values, places = [], {}
        for entry in () if node is None else self._reader.entries(node, "variables"):
            if not self._reader.check_variable(entry.key, entry.place):
                continue
            places[entry.key] = entry.place
            expression = self._reader.expression(entry.value)
            if expression is not None:
                values.append((entry.key, expression))
        return tuple(values), places

    def _secrets(self, form: Form) -> dict[str, str]:
        node = form.get("secrets")
        found = {}
        for entry in () if node is None else self._reader.entries(node, "secrets", 100):
            good = self._reader.check_name(entry.key, entry.place, "the name of a secret")
            name = self._reader.text(entry.value, "the name of an environment variable")
            if name is not None and not _ENVIRONMENT.fullmatch(name):
                cause = f"`{entry.key}` has something else than the name of an environment variable"
                remedy = "A secret itself never stands in a script"
                self._problems.error("wrong-value", entry.value.place, cause, remedy)
            elif name is not None and good:
                found[entry.key] = name
        return found

    def _report(self, form: Form) -> dict[str, Place]:
        node = form.get("report")
        found: dict[str, Place] = {}
        for item in () if node is None else self._reader.items(node, "variables", 200):
            name = self._reader.variable(item)
            if name is not None:
                found.setdefault(name, item.place)
        return found

    def _limits(self, form: Form) -> Limits:
        node = form.get("limits")
        given = None if node is None else self._reader.form(node, LIMITS, "`limits`")
        if given is None:
            return Limits()
        usual = Limits()
        read = self._reader
        call_ms = read.optional(
            given, "call", lambda item: read.duration_ms(item, "`call`", 1_000, 86_400_000)
        )
        silence_ms = read.optional(
            given, "silence", lambda item: read.duration_ms(item, "`silence`", 1_000, 600_000)
        )
        steps = read.optional(
            given, "steps", lambda item: read.integer(item, "`steps`", 10, 100_000)
        )
        state = read.optional(
            given, "state", lambda item: read.integer(item, "`state`", 2_048, 262_144)
        )
        return Limits(
            usual.call_s if call_ms is None else call_ms // 1_000,
            steps or usual.steps,
            usual.silence_s if silence_ms is None else silence_ms // 1_000,
            state or usual.state_bytes,
        )

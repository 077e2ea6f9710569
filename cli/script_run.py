"""`ringwheel script run`: a script is talked to by typing, at a terminal or from a file."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Annotated, Any

import typer
import yaml
from rich.console import Console
from rich.table import Table

from ..robot.channels.text import TextChannel
from ..robot.conversation import converse
from ..robot.fetch import Fetcher
from ..robot.script.compiler import load_script
from ..robot.script.interpreter import Interpreter
from ..robot.script.model import Json, Script
from ..robot.script.outcome import Ended
from ..robot.script.problems import ScriptError
from ..robot.script.secrets import MissingSecret, read_secrets
from ..robot.script.state import State, StateError
from .errors import STATUS_FAILED, CommandError, cause_of

MAX_ANSWERS_BYTES = 1 << 20
CLOSED = "the input has ended before the conversation"

ScriptFile = Annotated[Path, typer.Argument(help="A script: YAML, JSON, or a pack.")]
Say = Callable[[str], None]
ReadLine = Callable[[], Awaitable[str | None]]


def run(
    file: ScriptFile,
    *,
    text: Annotated[bool, typer.Option("--text", help="Type to it, here.")] = False,
    answers: Annotated[
        Path | None,
        typer.Option(help="What is typed: one answer a line, or a list in YAML; empty is silence."),
    ] = None,
    expect: Annotated[
        str | None, typer.Option(help="The cause that it has to end with; else exit status 1.")
    ] = None,
    state: Annotated[
        Path | None, typer.Option(help="Go on from this file, and keep there what goes on.")
    ] = None,
    fact: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="What is known: facts.NAME.")
    ] = None,
    timeouts: Annotated[
        bool, typer.Option("--timeouts", help="Not to type in time is a silence, as on the phone.")
    ] = False,
    as_json: Annotated[bool, typer.Option("--json", help="Print how it ended as JSON.")] = False,
) -> None:
    """Hold a conversation by typing: the same script as on the phone, without one.

    An empty line is a silence. Without --answers, the end of the input keeps the conversation in
    --state, or leaves. Exit status 1 if the answers run out, or the end is not the one expected.
    """
    if not text:
        call = f"'ringwheel robot --script {file}' answers the phone with it"
        raise CommandError("script run: the conversation is typed", f"Add --text; {call}")
    script = load(file)
    interpreter = _interpreter_of(script, state)
    lines = None if answers is None else read_answers(answers)
    say = (lambda line: print(line, file=sys.stderr)) if as_json else typer.echo
    talk = _Talk(
        script,
        interpreter,
        say,
        answers=lines,
        state=state,
        facts=_facts(fact or []),
        waits=timeouts,
    )
    ended = asyncio.run(talk.hold())
    status = _show(ended, talk, expect, as_json)
    raise typer.Exit(status)


def load(file: Path) -> Script:
    """The script. CommandError: the first thing that is wrong with it."""
    try:
        return load_script(file)
    except ScriptError as error:
        raise CommandError(str(error), f"See 'ringwheel script check {file}'") from error


def _interpreter_of(script: Script, state: Path | None) -> Interpreter:
    try:
        secrets = read_secrets(script, os.environ)
    except MissingSecret as error:
        raise CommandError(str(error), "Set these environment variables") from error
    if state is None or not state.exists():
        return Interpreter(script, secrets)
    try:
        return Interpreter.restore(script, State.from_json(state.read_bytes()), secrets)
    except (StateError, OSError) as error:
        cause = f"--state {state}: {cause_of(error)}"
        raise CommandError(cause, "Remove the file to begin anew") from error


def _facts(given: list[str]) -> dict[str, Json]:
    facts: dict[str, Json] = {}
    for text in given:
        name, equals, value = text.partition("=")
        if not name.isidentifier() or not equals:
            raise CommandError(f"--fact {text!r} is no NAME=VALUE", "Example: --fact caller=+49301")
        facts[name] = value
    return facts


def read_answers(file: Path) -> list[str]:
    """The lines that are typed. CommandError."""
    try:
        if file.suffix.lower() not in (".yaml", ".yml", ".json"):
            return _read_text(file).splitlines()
        listed = read_yaml(file)
        if not isinstance(listed, list):
            raise ValueError("not a list of answers")
        return [_typed(item) for item in listed]
    except (OSError, ValueError) as error:
        cause = f"--answers {file}: {cause_of(error)}"
        raise CommandError(cause, "Name a file with one answer a line") from error


def read_yaml(file: Path) -> object:
    """What a file of YAML has. OSError, ValueError."""
    try:
        return yaml.safe_load(_read_text(file))
    except yaml.YAMLError as error:
        raise ValueError(str(error)) from None
    except RecursionError:
        raise ValueError("lists in lists without end") from None


def _read_text(file: Path) -> str:
    with file.open("rb") as opened:
        content = opened.read(MAX_ANSWERS_BYTES + 1)
    if len(content) > MAX_ANSWERS_BYTES:
        raise ValueError(f"larger than {MAX_ANSWERS_BYTES:,} bytes")
    return content.decode("utf-8-sig")


def _typed(item: object) -> str:
    """An item of the list as it would be typed; YAML takes `yes` for a truth value."""
    if item is None:
        return ""
    if isinstance(item, bool):
        return "yes" if item else "no"
    if not isinstance(item, str | int | float):
        raise ValueError(f"{item!r:.40} is no answer: write texts, in quotes where YAML asks")
    return str(item)


class _Talk:
    """One conversation, and what was said in it."""

    def __init__(
        self,
        script: Script,
        interpreter: Interpreter,
        say: Say,
        *,
        answers: list[str] | None,
        state: Path | None,
        facts: dict[str, Json],
        waits: bool,
    ) -> None:
        self.script = script
        self.interpreter = interpreter
        self.ran_out = False
        self.transcript: list[dict[str, str]] = []
        self._say = say
        self._answers = None if answers is None else iter(answers)
        self._state = state
        self._facts = facts
        self._closed = asyncio.Event()
        self._broken: BrokenPipeError | CommandError | None = None
        self._keyboard = Keyboard()
        self._waits = waits

    async def hold(self) -> Ended | None:
        """To the end; None, if the input ended before, and the state is kept."""
        read = self._typed if self._answers is None else self._next_of(self._answers)
        async with Fetcher(clock_ms) as fetcher:
            channel = TextChannel(
                self.script, read, self._write, fetcher, clock_ms, waits=self._waits
            )
            task = asyncio.create_task(
                converse(
                    self.interpreter,
                    channel,
                    clock_ms=clock_ms,
                    facts=self._facts,
                    on_state=self._keep,
                )
            )
            closed = asyncio.create_task(self._closed.wait())
            await asyncio.wait({task, closed}, return_when=asyncio.FIRST_COMPLETED)
            closed.cancel()
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
            if self._broken is not None:
                raise self._broken
            if task.cancelled():
                return None
            ended = task.result()
        if self._state is not None:
            self._state.unlink(missing_ok=True)
        return ended

    def _write(self, line: str) -> None:
        self.transcript.append({"robot": line})
        self._print(line)

    def _print(self, line: str) -> None:
        """Once nobody reads it any more (``| head -1``), the conversation rests."""
        try:
            self._say(line)
        except BrokenPipeError as error:
            self._break_off(error)

    def _break_off(self, error: BrokenPipeError | CommandError) -> None:
        """The conversation cannot go on here."""
        self._broken = self._broken or error
        self._closed.set()

    def _next_of(self, answers: Iterator[str]) -> ReadLine:
        async def read() -> str | None:
            line = next(answers, None)
            if line is None:
                self.ran_out = True
                return await self._end_of_input()
            self.transcript.append({"person": line})
            self._print(f"> {line}")
            return line

        return read

    async def _typed(self) -> str | None:
        line = await self._keyboard.read()
        if line is None:
            return await self._end_of_input()
        self.transcript.append({"person": line})
        return line

    async def _end_of_input(self) -> str | None:
        """With a state to keep, the conversation only rests; without, the person has left."""
        if self._state is not None:
            self._closed.set()
            await asyncio.get_running_loop().create_future()
        return None

    def _keep(self, state: State) -> None:
        if self._state is None:
            return
        fresh = self._state.with_name(self._state.name + ".new")
        try:
            fresh.write_text(state.to_json(), "ascii")
            fresh.replace(self._state)
        except OSError as error:
            cause = f"--state {self._state}: {error.strerror}"
            remedy = "Choose a place that can be written"
            self._break_off(CommandError(cause, remedy, STATUS_FAILED))


def clock_ms() -> int:
    """Milliseconds since 1970."""
    return time.time_ns() // 1_000_000


class Keyboard:
    """Lines from the terminal. A thread waits for each, since nothing else can be done about a read
    that blocks; whoever stops waiting leaves the line to the next who asks."""

    def __init__(self) -> None:
        self._coming: asyncio.Future[str | None] | None = None
        if isinstance(sys.stdin, io.TextIOWrapper):
            # Bytes that are no text are an answer that fits nothing, and not the end of the thread.
            sys.stdin.reconfigure(errors="replace")

    async def read(self) -> str | None:
        """The next line without its end; None at the end of the input."""
        if self._coming is None:
            self._coming = asyncio.get_running_loop().create_future()
            threading.Thread(
                target=self._wait, args=(self._coming,), daemon=True, name="keyboard"
            ).start()
        line = await asyncio.shield(self._coming)
        self._coming = None
        return line

    def _wait(self, coming: asyncio.Future[str | None]) -> None:
        line = sys.stdin.readline()
        typed = line.rstrip("\r\n") if line else None
        # The loop is closed where the conversation has ended while nobody typed.
        with contextlib.suppress(RuntimeError):
            coming.get_loop().call_soon_threadsafe(coming.set_result, typed)


def _show(ended: Ended | None, talk: _Talk, expect: str | None, as_json: bool) -> int:
    cause = None if ended is None else ended.cause
    good = not talk.ran_out and (expect is None or cause == expect)
    if as_json:
        result: dict[str, Any] = {"good": good, "ran_out": talk.ran_out, "ended": None}
        if ended is not None:
            result["ended"] = asdict(ended)
        typer.echo(json.dumps({**result, "transcript": talk.transcript}))
    elif ended is None:
        typer.echo(f"[{CLOSED}; what has been said is kept]")
    else:
        _show_end(ended)
    if talk.ran_out:
        print("ringwheel: the answers ran out before the conversation ended.", file=sys.stderr)
    elif not good:
        print(f"ringwheel: it ended with {cause}, and not with {expect}.", file=sys.stderr)
    return 0 if good else STATUS_FAILED


def _show_end(ended: Ended) -> None:
    console = Console(highlight=False)
    console.print(f"[dim]ended: {ended.cause}, {ended.steps} steps[/]")
    if ended.error is not None:
        shown = ended.error if isinstance(ended.error, dict) else {}
        console.print(f"failed: {shown.get('reason')} (step {shown.get('step')})", markup=False)
    if ended.report:
        table = Table("report", "", show_edge=False)
        for name, value in ended.report.items():
            table.add_row(name, json.dumps(value, ensure_ascii=False))
        console.print(table)

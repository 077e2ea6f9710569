"""`ringwheel script`: dialogue scripts are checked, tried and packed."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path
from typing import Annotated, Any

import typer

from ..robot.script.compiled import Compiled
from ..robot.script.compiler import cache_folder, check_file
from ..robot.script.model import Script
from ..robot.script.pack import PackError, Said, write_pack
from ..robot.script.prerender import prerender
from ..robot.script.problems import Problem, ScriptError
from ..robot.speech.cache import PromptCache
from ..robot.speech.engines.engine import EngineFailed, make_engine
from . import script_graph, script_run, script_simulate
from .errors import STATUS_FAILED, STATUS_USAGE, CommandError
from .help import examples

MOST_SHOWN = 160
"""Characters of a line with a problem."""
SCHEMA = Path(__file__).parent.parent / "robot" / "script" / "schema.json"

app = typer.Typer(no_args_is_help=True, add_completion=False, help="Dialogue scripts.")

app.command(
    "run",
    epilog=examples(
        "ringwheel script run survey.yaml --text",
        "ringwheel script run survey.yaml --text --answers answers.txt --expect done --json",
        "ringwheel script run survey.yaml --text --state talk.json --fact caller=+4930123456",
    ),
)(script_run.run)
app.command(
    "graph",
    epilog=examples(
        "ringwheel script graph survey.yaml -o survey.svg",
        "ringwheel script graph survey.yaml -o survey.mmd",
    ),
)(script_graph.graph)
app.command(
    "simulate",
    epilog=examples(
        "ringwheel script simulate survey.yaml",
        "ringwheel script simulate survey.yaml --calls 100000 --seed 7 --json",
        "ringwheel script simulate menu.yaml --answers-model callers.yaml",
    ),
)(script_simulate.run_simulation)

Files = Annotated[list[Path], typer.Argument(help="Scripts: YAML, JSON.", show_default=False)]
AsJson = Annotated[bool, typer.Option("--json", help="Print JSON.")]
Lines = dict[str, list[str]]
Strict = Annotated[bool, typer.Option("--strict", help="Warnings count as errors.")]


@app.command(
    epilog=examples(
        "ringwheel script check survey.yaml",
        "ringwheel script check scripts/*.yaml --strict",
        "ringwheel script check survey.yaml --json",
    ),
)
def check(files: Files, as_json: AsJson = False, strict: Strict = False) -> None:
    """Say all that is wrong with scripts. Exit status 1 if a script cannot be run, 2 if a file
    cannot be read."""
    status = 0
    reports = []
    for file in files:
        problems, lines = _problems_of(file)
        status = max(status, _status_of(problems, strict))
        reports.append({"file": str(file), "problems": [_plain(found) for found in problems]})
        if not as_json:
            _show(file, problems, lines)
    if as_json:
        typer.echo(json.dumps({"good": status == 0, "files": reports}))
    raise typer.Exit(status)


def _problems_of(file: Path) -> tuple[tuple[Problem, ...], Lines]:
    try:
        compiled = check_file(file)
    except ScriptError as error:
        return error.problems, {}
    return compiled.problems, _lines_of(compiled, file)


def _lines_of(compiled: Compiled, file: Path) -> Lines:
    """The lines of a script and of the others, by the files that problems name."""
    folder = file if compiled.is_pack else file.parent
    sources = {"": compiled} | {str(folder / key): one for key, one in compiled.others.items()}
    return {
        name: one.data.decode("utf-8-sig", "replace").splitlines() for name, one in sources.items()
    }


def _status_of(problems: tuple[Problem, ...], strict: bool) -> int:
    if any(problem.code == "unreadable" for problem in problems):
        return STATUS_USAGE
    bad = any(strict or problem.severity == "error" for problem in problems)
    return STATUS_FAILED if bad else 0


def _plain(problem: Problem) -> dict[str, Any]:
    return {
        **({"file": problem.file} if problem.file else {}),
        "severity": problem.severity,
        "code": problem.code,
        "line": problem.place.line,
        "column": problem.place.column,
        "message": problem.message,
        "remedy": problem.remedy,
    }


def _excerpt(line: str, at: int) -> str:
    """What stands around a place, with a mark below it. A line may be as long as a file, and have
    characters that a terminal obeys."""
    begin = max(0, at - MOST_SHOWN // 2) if len(line) > MOST_SHOWN else 0
    around = line[begin : begin + MOST_SHOWN]
    shown = "".join(
        c if c.isprintable() or c == "\t" else "\N{REPLACEMENT CHARACTER}" for c in around
    )
    blank = "".join("\t" if character == "\t" else " " for character in around[: at - begin])
    return f"    {shown}\n    {blank}^"


def _show(file: Path, problems: tuple[Problem, ...], sources: Lines) -> None:
    """Problems as compilers show them, each with its line and a mark below the column."""
    for problem in problems:
        typer.echo(f"{problem.file or file}:{problem}")
        lines = sources.get(problem.file, [])
        if problem.place.line <= len(lines):
            typer.echo(_excerpt(lines[problem.place.line - 1], problem.place.column - 1))
    errors = sum(problem.severity == "error" for problem in problems)
    if errors:
        typer.echo(f"{file}: {errors} error{'s' if errors > 1 else ''}: it cannot be run.")
    elif not problems:
        typer.echo(f"{file} is good.")


@app.command(epilog=examples("ringwheel script schema > ringwheel-script.schema.json"))
def schema() -> None:
    """Print the JSON Schema (draft 2020-12) of scripts, for editors and other tools."""
    typer.echo(SCHEMA.read_text("utf-8"), nl=False)


@app.command(
    epilog=examples(
        "ringwheel script pack survey.yaml -o survey.rwpack",
        "ringwheel script pack survey.yaml -o survey.rwpack --render espeak-ng",
        "ringwheel robot --script survey.rwpack",
    )
)
def pack(
    file: Annotated[Path, typer.Argument(help="The script.", show_default=False)],
    output: Annotated[Path, typer.Option("--output", "-o", help="The pack, NAME.rwpack.")],
    render: Annotated[
        str, typer.Option(help="An engine that speaks all fixed texts beforehand.", metavar="NAME")
    ] = "",
) -> None:
    """Put a script with its sound files and grammars into one archive that is checked when it is
    read. The same content is the same bytes. Exit status 1 if the script cannot be run."""
    try:
        compiled = check_file(file)
    except ScriptError as error:
        _show(file, error.problems, {})
        raise typer.Exit(_status_of(error.problems, strict=False)) from None
    if compiled.script is None:
        _show(file, compiled.problems, _lines_of(compiled, file))
        raise typer.Exit(STATUS_FAILED)
    if compiled.is_pack:
        raise CommandError(f"{file} is a pack already", "Pack the script that it was made from")
    try:
        rendered = _rendered(compiled.script, render) if render else {}
        packed = write_pack(compiled, file, output, rendered)
    except PackError as error:
        raise CommandError(str(error)) from None
    except EngineFailed as error:
        raise CommandError(f"--render {render}: {error}", status=STATUS_FAILED) from None
    except OSError as error:
        cause = f"{error.filename or output}: {error.strerror or error}"
        raise CommandError(cause, "Choose another place") from None
    typer.echo(f"{output}: {packed.files} files, {packed.bytes:,} bytes, hash {packed.hash}")


def _rendered(script: Script, engine: str) -> dict[Said, bytes]:
    """The fixed texts of a script, spoken by an engine; what was spoken before is not again."""
    synthesizer = make_engine("ringwheel.synthesizers", engine)
    cache = PromptCache(cache_folder("prompts"), synthesizer=synthesizer)
    return asyncio.run(prerender(script, cache))

"""`ringwheel script simulate`: thousands of random callers try a script, in virtual time."""

from __future__ import annotations

import json
import math
import time
from dataclasses import asdict, fields, replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from ..bench.report import progress
from ..robot.script.model import Script
from ..robot.script.simulation import Callers, Manners, Simulated, simulate, unknown_places
from .errors import STATUS_FAILED, CommandError, cause_of
from .script_run import ScriptFile, load, read_yaml

TELL_EVERY = 500
PERCENTILES = (0.1, 0.5, 0.9, 0.99)
CHANCES = ("silence", "misfit", "leave", "fails")
MODEL_REMEDY = "See 'ringwheel script simulate --help' for its form"


def run_simulation(
    file: ScriptFile,
    *,
    calls: Annotated[int, typer.Option(min=1, max=1_000_000, help="How many callers.")] = 10_000,
    answers_model: Annotated[
        Path | None,
        typer.Option(help="What callers do, in YAML: default, and at: by step or variable."),
    ] = None,
    seed: Annotated[int, typer.Option(help="The same seed gives the same callers.")] = 1,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Let random callers try a script: where they end, how long it takes, where they give up.

    No sound is made and no request; the length of calls is estimated by their words. At a question
    5 % say nothing, 8 % what does not fit, 2 % leave, and the others answer at random, unless the
    model says otherwise: default: {silence: 0.1, leave: 0.05}, at: {topic: {answers: {tea: 3,
    coffee: 1}}, main.4: {fails: 0.2, result: {status: 200, body: {}}}}, facts: {age: 40}.
    Exit status 1 if a call ended with an error.
    """
    script = load(file)
    callers = Callers() if answers_model is None else read_callers(answers_model, script)
    began_s = time.perf_counter()
    total = Simulated()
    with progress() as tell:
        for total in simulate(script, callers, calls, seed):
            if total.calls % TELL_EVERY == 0:
                tell(f"{total.calls:,} of {calls:,} calls")
    took_s = time.perf_counter() - began_s
    if as_json:
        typer.echo(json.dumps(summary(total, seed)))
    else:
        show(script, total, took_s)
    raise typer.Exit(STATUS_FAILED if total.causes["error"] else 0)


def read_callers(file: Path, script: Script) -> Callers:
    """The model in a file. CommandError."""
    try:
        callers = callers_of(read_yaml(file))
    except (OSError, ValueError) as error:
        cause = f"--answers-model {file}: {cause_of(error)}"
        raise CommandError(cause, MODEL_REMEDY) from error
    unknown = unknown_places(script, callers)
    if unknown:
        cause = f"--answers-model {file}: no step and no variable: {', '.join(unknown)}"
        raise CommandError(cause, f"There are: {', '.join(_step_names(script))}")
    return callers


def callers_of(model: object) -> Callers:
    """The model, checked. ValueError."""
    given = _mapping(model, "the model", ("default", "at", "facts"))
    manners = _manners(given.get("default"), Manners(), "default")
    places = _mapping(given.get("at"), "at", None)
    at = {str(name): _manners(value, manners, f"at {name}") for name, value in places.items()}
    return Callers(manners, at, _mapping(given.get("facts"), "facts", None))


def _manners(model: object, usual: Manners, where: str) -> Manners:
    given = _mapping(model, where, tuple(field.name for field in fields(Manners)))
    values: dict[str, Any] = {name: _chance(given[name], name) for name in CHANCES if name in given}
    if "answers" in given:
        weights = _mapping(given["answers"], "answers", None)
        values["answers"] = tuple((key, _weight(value)) for key, value in weights.items())
    if "answer_ms" in given:
        values["answer_ms"] = round(_weight(given["answer_ms"]))
    if "result" in given:
        values["result"] = given["result"]
    manners = replace(usual, **values)
    if manners.silence + manners.misfit + manners.leave > 1:
        raise ValueError(f"{where}: silence, misfit and leave come to more than 1")
    return manners


def _mapping(value: object, where: str, keys: tuple[str, ...] | None) -> dict[Any, Any]:
    if value is None:
        return {}
    if not isinstance(value, dict):
        raise ValueError(f"{where}: {value!r:.40} is no mapping")
    unknown = [] if keys is None else [key for key in value if key not in keys]
    if unknown:
        raise ValueError(f"{where}: {unknown[0]!r:.40} is none of {', '.join(keys or ())}")
    return value


def _chance(value: object, name: str) -> float:
    if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value <= 1:
        raise ValueError(f"{name}: {value!r:.40} is no probability from 0 to 1")
    return float(value)


def _weight(value: object) -> float:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    if not number or not math.isfinite(value) or value <= 0:  # type: ignore[arg-type, operator]
        raise ValueError(f"{value!r:.40} is no number above 0")
    return float(value)  # type: ignore[arg-type]


def summary(total: Simulated, seed: int) -> dict[str, Any]:
    """The same for programs."""
    return {
        "calls": total.calls,
        "seed": seed,
        "steps": total.steps,
        "causes": dict(total.causes.most_common()),
        "last_steps": dict(total.last_steps.most_common()),
        "errors": dict(total.errors.most_common()),
        "length_ms": {f"p{share * 100:g}": total.percentile_ms(share) for share in PERCENTILES},
        "mean_ms": round(sum(total.lengths_ms) / total.calls),
        "questions": [asdict(stop) for stop in total.stops.values()],
    }


def show(script: Script, total: Simulated, took_s: float) -> None:
    """The same for people."""
    console = Console(highlight=False)
    ends = Table("ended", "calls", "", title=f"{script.name}: {total.calls:,} calls")
    for cause, calls in total.causes.most_common():
        ends.add_row(cause, f"{calls:,}", _share(calls, total.calls))
    console.print(ends)
    lengths = ", ".join(
        f"{round(share * 100)} % within {total.percentile_ms(share) / 1000:.0f} s"
        for share in PERCENTILES
    )
    console.print(f"length: {lengths}")
    questions = Table("question", "line", "calls", "asked", "answered", "silent", "misfit", "left",
                      "given up", title="where callers drop off")  # fmt: skip
    for stop in total.stops.values():
        questions.add_row(
            stop.step,
            str(_line_of(script, stop.step)),
            f"{stop.calls:,}",
            f"{stop.asked / stop.calls:.2f}" if stop.calls else "",
            _share(stop.answered, stop.calls),
            # These two are of the times that it was asked, the others of the calls.
            _share(stop.no_input, stop.asked),
            _share(stop.no_match, stop.asked),
            _share(stop.left, stop.calls),
            _share(stop.given_up, stop.calls),
        )
    console.print(questions)
    for error, count in total.errors.most_common(5):
        console.print(f"failed {count:,} times at {error}", markup=False)
    console.print(f"[dim]{total.steps:,} steps in {took_s:.1f} s[/]")


def _step_names(script: Script) -> list[str]:
    return [step for part in script.all for step in part.steps]


def _line_of(script: Script, step: str) -> int:
    found = script.find(step)
    assert found is not None
    return found.place.line


def _share(count: int, of: int) -> str:
    return f"{count / of:.1%}" if of else ""

"""`ringwheel script graph`: a script as a picture."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ..robot.script.picture import picture_of, to_dot, to_mermaid
from ..robot.script.svg import to_svg
from .errors import STATUS_FAILED, CommandError
from .script_run import ScriptFile, load

WRITERS = {
    ".svg": to_svg,
    ".dot": to_dot,
    ".gv": to_dot,
    ".mmd": to_mermaid,
    ".mermaid": to_mermaid,
}


def graph(
    file: ScriptFile,
    *,
    output: Annotated[
        Path, typer.Option("--output", "-o", help="Where to; .svg, .dot or .mmd (Mermaid).")
    ],
) -> None:
    """Draw a script: its steps flow by flow, and where they lead."""
    write = WRITERS.get(output.suffix.lower())
    if write is None:
        raise CommandError(f"-o {output}: not a kind of picture", f"End it in {', '.join(WRITERS)}")
    drawn = write(picture_of(load(file)))
    try:
        output.write_text(drawn, "utf-8")
    except OSError as error:
        cause = f"-o {output}: {error.strerror or error}"
        raise CommandError(cause, "Choose a place that can be written", STATUS_FAILED) from error
    typer.echo(f"{output}: {len(drawn):,} bytes")

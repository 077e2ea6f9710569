"""`ringwheel grammar`: what a grammar takes, what words mean by it, and its other forms."""

from __future__ import annotations

import json
import random
from enum import StrEnum
from pathlib import Path
from typing import Annotated

import typer

from ..robot.grammar import jsgf, srgs_abnf, srgs_xml
from ..robot.grammar.builtins import builtin
from ..robot.grammar.expansion import Words, walk
from ..robot.grammar.model import Grammar, GrammarError
from ..robot.grammar.sampling import random_sentence
from .errors import STATUS_FAILED, CommandError
from .help import examples

EXAMPLES = 5
MAX_FILE_BYTES = 1_048_576

app = typer.Typer(help="Look at grammars: what may be said and typed.", no_args_is_help=True)

GrammarFile = Annotated[
    str, typer.Argument(help="A file (SRGS in XML or ABNF), or a URI such as builtin:speech/date.")
]
Locale = Annotated[str, typer.Option(help="Locale of builtin and of DTMF grammars.")]


class Form(StrEnum):
    """What a grammar can be written as."""

    XML = "xml"
    ABNF = "abnf"
    JSGF = "jsgf"


def load(name: str, locale: str) -> Grammar:
    """A grammar by its file or its builtin URI."""
    try:
        if name.startswith("builtin:"):
            return builtin(name, locale)
        with Path(name).open("rb") as file:
            data = file.read(MAX_FILE_BYTES + 1)
        if data.removeprefix(b"\xef\xbb\xbf").startswith(b"#"):
            return srgs_abnf.read(data, locale=locale)
        return srgs_xml.read(data, locale=locale)
    except GrammarError as error:
        raise CommandError(f"grammar {name}: {error}", "Correct the grammar") from error
    except OSError as error:
        raise CommandError(
            f"grammar {name}: {error.strerror}", "Give a file that can be read"
        ) from error


@app.command(
    "check",
    epilog=examples(
        "ringwheel grammar check menu.grxml",
        "ringwheel grammar check builtin:speech/date --locale de-DE --json",
    ),
)
def check(
    file: GrammarFile,
    locale: Locale = "en-US",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Read a grammar, and show what it takes; with line and column what is wrong with it."""
    grammar = load(file, locale)
    found = {
        "mode": grammar.mode,
        "locale": grammar.locale,
        "root": grammar.root,
        "rules": len(grammar.rules),
        "words": len(_words(grammar)),
        "tag_format": grammar.tag_format,
        "id": grammar.id,
        "examples": _examples(grammar),
    }
    if as_json:
        typer.echo(json.dumps(found, ensure_ascii=False, indent=2))
        return
    typer.echo(f"grammar   {file}, {grammar.mode}, {grammar.locale}")
    typer.echo(f"root      {grammar.root}, of {len(grammar.rules)} rules")
    typer.echo(f"words     {found['words']:,}, tags are {grammar.tag_format}")
    for example in _examples(grammar):
        typer.echo(f"example   {example}")


@app.command(
    "match",
    epilog=examples(
        'ringwheel grammar match menu.grxml "the sales department"',
        'ringwheel grammar match builtin:speech/time "half past three"',
    ),
)
def match(
    file: GrammarFile,
    text: Annotated[str, typer.Argument(help="What is said or typed.")],
    locale: Locale = "en-US",
) -> None:
    """Print as JSON what words or keys mean; they must fit as a whole."""
    grammar = load(file, locale)
    try:
        found = grammar.match(text)
    except GrammarError as error:
        raise CommandError(f"grammar {file}: {error}", "Correct the grammar") from error
    if found is None:
        cause = f"{text!r} does not fit the grammar {file}"
        remedy = f"It takes such as {_examples(grammar)[0]!r}" if _examples(grammar) else ""
        raise CommandError(cause, remedy, STATUS_FAILED)
    typer.echo(json.dumps(found.value, ensure_ascii=False))


@app.command(
    "convert",
    epilog=examples(
        "ringwheel grammar convert menu.gram --to xml",
        "ringwheel grammar convert builtin:speech/boolean --to jsgf --locale de-DE",
    ),
)
def convert(
    file: GrammarFile,
    to: Annotated[Form, typer.Option(help="The form to print.")] = Form.XML,
    locale: Locale = "en-US",
) -> None:
    """Print a grammar in another form. JSGF has the words alone, without what they mean."""
    grammar = load(file, locale)
    try:
        match to:
            case Form.XML:
                text = srgs_xml.write(grammar)
            case Form.ABNF:
                text = srgs_abnf.write(grammar)
            case Form.JSGF:
                text = jsgf.write(grammar).text
    except GrammarError as error:
        cause = f"grammar {file} as {to.value}: {error}"
        raise CommandError(cause, "Choose another form with --to", STATUS_FAILED) from error
    typer.echo(text, nl=False)


def _words(grammar: Grammar) -> set[str]:
    return {
        word
        for rule in grammar.rules
        for part in walk(rule.expansion)
        if isinstance(part, Words)
        for word in part.words
    }


def _examples(grammar: Grammar) -> list[str]:
    """A few sentences, the same ones each time; none of a grammar that has no short ones."""
    chance = random.Random(1)
    found = [random_sentence(grammar, chance) for _ in range(10 * EXAMPLES)]
    return [text for text in dict.fromkeys(found) if text][:EXAMPLES]

"""The `ringwheel` command: its parts put together, and one line for every way to fail."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from typing import Annotated, NoReturn

import typer
from typer.exceptions import Abort, TyperException

from .. import __version__
from ..bench import commands as bench
from . import (
    call,
    demo,
    doctor,
    grammar,
    prompt,
    robot,
    script,
    serve,
    settings,
    speech,
    trace,
    watch,
)
from .errors import STATUS_FAILED, STATUS_USAGE, CommandError
from .help import examples
from .logging import LEVELS, LogFormat, LogOptions, configure_logging

app = typer.Typer(
    name="ringwheel",
    help="A SIP/RTP media engine for telephony robots.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)
app.add_typer(prompt.app, name="prompt")
app.add_typer(bench.app, name="bench")
app.add_typer(settings.app, name="config")
app.add_typer(script.app, name="script")
app.add_typer(grammar.app, name="grammar")
app.command(
    "serve",
    epilog=examples(
        "ringwheel serve --prompt welcome.wav",
        "ringwheel serve --prompt welcome.wav --prompt menu.wav --loop --sip udp:192.0.2.1:5060",
        "ringwheel serve --config serve.toml --max-calls 500",
    ),
)(serve.serve)
app.command(
    "robot",
    epilog=examples(
        "ringwheel robot --script survey.yaml --results answers.csv",
        "ringwheel robot --script survey.yaml --dial numbers.csv --trunk carrier --concurrent 20 "
        "--config ringwheel.toml --results answers.db",
    ),
)(robot.robot)
app.command(
    "call",
    epilog=examples(
        "ringwheel call sip:4711@192.0.2.1 --prompt hello.wav",
        "ringwheel call sip:4711@192.0.2.1 --dtmf 123# --record call.wav --max-seconds 30",
        "ringwheel call sip:4711@192.0.2.1 --caller +4930123456 --user robot --password-env "
        "SIP_PASSWORD --json",
        "ringwheel call sip:+442071234567@carrier --config ringwheel.toml",
    ),
)(call.call)
app.command(
    "speech",
    epilog=examples(
        "ringwheel speech",
        "ringwheel speech --sip udp:192.0.2.1:5070 --mrcp 192.0.2.1:1544 --workers 4",
        "ringwheel speech --mrcp none --mrcp-tls 192.0.2.1:1545 --tls-cert cert.pem --tls-key "
        "key.pem",
    ),
)(speech.speech)
app.add_typer(
    demo.app,
    name="demo",
    epilog=examples(
        "ringwheel demo", "ringwheel demo --calls 1000 --rate 100 --json", "ringwheel demo robot"
    ),
)
app.command(
    "doctor",
    epilog=examples("ringwheel doctor", "ringwheel doctor --max-calls 4000 --json"),
)(doctor.doctor)

app.command(
    "status",
    epilog=examples(
        "ringwheel status",
        "ringwheel status --watch",
        "ringwheel status --url http://192.0.2.1:9090 --json",
    ),
)(watch.status)
app.command(
    "trace",
    epilog=examples(
        "ringwheel trace",
        "ringwheel trace 7d4f2c0b@192.0.2.7 --full",
        "ringwheel trace 7d4f2c0b@192.0.2.7 --pcap call.pcap",
    ),
)(trace.trace)


_CANNOT_PRINT = (errno.ENOSPC, errno.EDQUOT, errno.EIO)
"""What printing comes to where the output is a file on a full or broken disk."""


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"ringwheel {__version__}")
        raise typer.Exit


@app.callback()
def common(
    context: typer.Context,
    version: Annotated[
        bool,
        typer.Option("--version", help="Show the version.", callback=_show_version, is_eager=True),
    ] = False,
    log_level: Annotated[str, typer.Option(help=f"One of {', '.join(LEVELS)}.")] = "info",
    log_format: Annotated[
        LogFormat, typer.Option(help="auto is pretty on a terminal, logfmt elsewhere.")
    ] = LogFormat.AUTO,
) -> None:
    """A SIP/RTP media engine for telephony robots."""
    if log_level not in LEVELS:
        cause = f"--log-level: {log_level!r} is not one of: {', '.join(LEVELS)}"
        raise CommandError(cause, "Choose one of them")
    configure_logging(log_level, log_format)
    context.obj = LogOptions(log_level, log_format)


def run_command(arguments: Sequence[str]) -> int:
    """Run one command line; its exit status. Every failure is one line on stderr."""
    try:
        status = app(list(arguments), prog_name="ringwheel", standalone_mode=False)
    except CommandError as error:
        return _fail(str(error), error.status)
    except TyperException as error:
        if not error.format_message():
            return STATUS_USAGE  # Nothing was asked: typer has shown the help already.
        help_of = getattr(getattr(error, "ctx", None), "command_path", "ringwheel")
        usage = CommandError(error.format_message(), f"See '{help_of} --help'")
        return _fail(str(usage), STATUS_USAGE)
    except (Abort, KeyboardInterrupt):
        return 130
    except OSError as error:
        return _end_of_output(error)
    return status if isinstance(status, int) else 0


def _end_of_output(error: OSError) -> int:
    """The exit status where nothing more can be printed. Raises any other error again."""
    if isinstance(error, BrokenPipeError):
        # Whoever read our output has had enough (`ringwheel doctor | head`).
        sys.stderr.close()
        return STATUS_FAILED
    if error.errno not in _CANNOT_PRINT or error.filename is not None:
        raise error
    # Else Python would try once more at its end, and complain.
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return _fail(f"the output cannot be written: {error.strerror}.", STATUS_FAILED)


def _fail(line: str, status: int) -> int:
    print(f"ringwheel: {line}", file=sys.stderr)
    return status


def run() -> NoReturn:
    """The console script."""
    sys.exit(run_command(sys.argv[1:]))


if __name__ == "__main__":
    run()

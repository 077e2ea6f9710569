"""Options that several commands have."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Sip = Annotated[
    list[str] | None,
    typer.Option(help="Listen here; again for more.", metavar="udp|tcp|tls:HOST:PORT[=OUTSIDE]"),
]
CodecNames = Annotated[str | None, typer.Option(help="Codecs to accept, with commas: pcmu,pcma.")]
RtpPortRange = Annotated[
    str | None, typer.Option(help="Ports for RTP, two a call.", metavar="FIRST-LAST")
]
Advertise = Annotated[
    str | None, typer.Option(help="Address that peers reach us by, behind a NAT.")
]
TlsCert = Annotated[
    Path | None, typer.Option(help="Certificate (chain) to show, PEM.", metavar="FILE")
]
TlsKey = Annotated[
    Path | None, typer.Option(help="The key of the certificate, PEM.", metavar="FILE")
]
TlsCa = Annotated[
    Path | None,
    typer.Option(help="Authorities to trust instead of the system's, PEM.", metavar="FILE"),
]
MaxCalls = Annotated[int | None, typer.Option(help="Calls at the same time; 503 beyond.")]
SipGatherMs = Annotated[
    int | None,
    typer.Option(
        help="While SIP keeps coming, read it together every so often; 0: each message at once.",
        metavar="MS",
    ),
]
Realtime = Annotated[
    bool | None,
    typer.Option(
        "--realtime/--no-realtime",
        help="Media threads come before all other load; needs ulimit -r 1.",
    ),
]
SrtpPolicy = Annotated[
    str | None, typer.Option(help="Encrypt sound: off, optional (if offered), required.")
]
Records = Annotated[
    Path | None, typer.Option(help="Append a JSON line to FILE for each call.", metavar="FILE")
]
Drain = Annotated[float | None, typer.Option(help="Seconds that running calls get at SIGTERM.")]
Allow = Annotated[
    list[str] | None,
    typer.Option(help="Serve callers of this network; again for more.", metavar="NETWORK"),
]
Strangers = Annotated[str | None, typer.Option(help="Everybody else: drop, 403, challenge, open.")]
Users = Annotated[
    str | None, typer.Option(help="Challenge strangers; htdigest's file.", metavar="FILE")
]
Http = Annotated[
    str | None,
    typer.Option(
        help="Metrics, health and traces by HTTP, for `ringwheel status` and Prometheus.",
        metavar="HOST:PORT",
    ),
]
StreamTokenEnv = Annotated[
    str | None,
    typer.Option(help="Environment variable with a token for the agent.", metavar="NAME"),
]
Config = Annotated[Path | None, typer.Option(help="TOML file; flags override its keys.")]

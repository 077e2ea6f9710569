"""`python -m ringwheel.bench.caller`: places SIP calls, and listens to what they play.

A process of its own over the project's sans-I/O user agent and the C receiver. It ends by itself:
each call has a deadline for its answer and for its end. Exit status 0: every call went as it
should; 1: some did not; 2: it could not start.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any

import typer
import uvloop

from ..cli.errors import CommandError
from ..cli.logging import configure_logging
from ..media.codec import Codec, UnknownCodec, codec_by_name
from ..media.prompt import PromptError, encode_sound, join_prompts, read_sound
from ..media.sdp import LocalMedia, SdpError, accept_answer, make_offer, parse_sdp
from ..media.sip.edge import Flow, TimerHandle
from ..media.sip.events import EndCause
from ..media.sip.session import SipCall
from ..media.sip.transport import Listener, ListenError
from ..media.sip.ua import UserAgent
from .call_record import CallRecord, summary_of
from .child import cpu_time_us
from .hearing import Ears, Expected, Heard, Source
from .measure import allow_files
from .phone import HOST, OnlyPlaces, Phone, call_robot

TICK_S = 0.005
MAX_CALLS = 100_000
CAPTURE_BUDGET_BYTES = 512 << 20
PROGRESS_S = 0.5


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do. ``hold_s`` None: the other side hangs up, within ``patience_s``."""

    target: Listener
    calls: int
    rate_per_s: float
    hold_s: float | None
    patience_s: float
    codec: Codec
    expected: Expected | None


@dataclass(slots=True)
class PlacedCall:
    """A call under way, as the user agent's ``context``. Clock readings in nanoseconds."""

    number: int
    local: LocalMedia
    offer: bytes
    dialled_ns: int
    answered_ns: int | None = None
    source: Source | None = None
    timer: TimerHandle | None = None
    fault: str | None = None


@dataclass(slots=True)
class Caller(OnlyPlaces):
    """The handler of a user agent that places the calls of a plan and keeps their records."""

    plan: Plan
    ears: Ears
    records: list[CallRecord] = field(default_factory=list)
    setups_ms: list[float] = field(default_factory=list)
    placed: int = 0
    up: int = 0
    up_most: int = 0
    stopped: bool = False

    async def run(self, agent: UserAgent, flow: Flow, progress: Callable[[], None]) -> None:
        """Place the calls, all or until it is ``stopped``, and wait for the end of the last;
        ``progress`` is called now and then."""
        loop = asyncio.get_running_loop()
        started_s = told_s = loop.time()
        while len(self.records) < (self.placed if self.stopped else self.plan.calls):
            self.ears.listen()
            now_s = loop.time()
            due = min(self.plan.calls, int((now_s - started_s) * self.plan.rate_per_s) + 1)
            while self.placed < due and not self.stopped:
                self._dial(agent, flow)
            if now_s >= told_s + PROGRESS_S:
                told_s = now_s
                progress()
            await asyncio.sleep(TICK_S)

    def _dial(self, agent: UserAgent, flow: Flow) -> None:
        number = self.placed
        self.placed += 1
        local = LocalMedia(HOST, self.ears.port_of(number), (self.plan.codec,), number + 1)
        placed = PlacedCall(number, local, make_offer(local), time.time_ns())
        call_robot(agent, flow, self.plan.target, number, placed.offer).context = placed

    # What the user agent tells (`CallHandler`)

    def on_answered(self, call: SipCall, sdp: bytes | None) -> None:
        placed = context_of(call)
        placed.answered_ns = time.time_ns()
        self.setups_ms.append((placed.answered_ns - placed.dialled_ns) / 1e6)
        self.up += 1
        self.up_most = max(self.up_most, self.up)
        try:
            media = accept_answer(placed.offer, parse_sdp(sdp or b""), placed.local)
        except SdpError as error:
            placed.fault = f"answer: {error}"
            call.hangup()
            return
        placed.source = Source(placed.number, media.remote_host, media.remote_port)
        if self.plan.hold_s is None:
            self._arm(call, self.plan.patience_s, lambda: lose_patience(call))
        else:
            self._arm(call, self.plan.hold_s, call.hangup)

    def on_ended(self, call: SipCall, cause: EndCause) -> None:
        if not isinstance(call.context, PlacedCall):
            return  # one that came in
        placed = call.context
        if placed.timer is not None:
            placed.timer.cancel()
        if placed.answered_ns is not None:
            self.up -= 1
        self.ears.listen()  # what was sent before the BYE is in our sockets by now
        self.records.append(self._record(call.call_id, placed, cause, time.time_ns()))

    def _arm(self, call: SipCall, delay_s: float, callback: Callable[[], object]) -> None:
        context_of(call).timer = call.agent.timers.arm(round(delay_s * 1000), callback)

    def _record(
        self, call_id: str, placed: PlacedCall, cause: EndCause, ended_ns: int
    ) -> CallRecord:
        heard = self.ears.heard(placed.source, placed.dialled_ns) if placed.source else None
        answered_ns = placed.answered_ns
        return CallRecord(
            number=placed.number,
            call_id=call_id,
            status=cause.status if answered_ns is None else 200,
            ended_by=cause.by.value,
            setup_ms=milliseconds(placed.dialled_ns, answered_ns),
            talk_ms=milliseconds(answered_ns, ended_ns),
            first_packet_ms=milliseconds(answered_ns, heard.first_arrival_ns if heard else None),
            heard=heard,
            fault=placed.fault or self._fault(placed, cause, heard),
        )

    def _fault(self, placed: PlacedCall, cause: EndCause, heard: Heard | None) -> str | None:
        if placed.answered_ns is None or cause.status != 200:
            return f"{cause.status} {cause.reason}"
        if heard is None:
            return "heard nothing" if self.plan.expected else None
        return heard.fault


def context_of(call: SipCall) -> PlacedCall:
    """Our side of a call that we placed."""
    assert isinstance(call.context, PlacedCall)
    return call.context


def lose_patience(call: SipCall) -> None:
    """Hang up, and hold it against the other side that it did not."""
    context_of(call).fault = "the other side did not hang up in time"
    call.hangup()


def milliseconds(from_ns: int | None, to_ns: int | None) -> float | None:
    """The time between two clock readings; None unless there are both."""
    return None if from_ns is None or to_ns is None else round((to_ns - from_ns) / 1e6, 3)


def expected_payload(files: list[Path], codec: Codec, *, loop: bool) -> Expected | None:
    """What the prompts sound like on the wire. Raises PromptError."""
    if not files:
        return None
    prompts = [encode_sound(read_sound(file), codec) for file in files]
    payload = b"".join(map(bytes, join_prompts(prompts, loop=loop)))
    return Expected(payload, codec.silence, loop)


def make_ears(plan: Plan, sockets: int) -> Ears:
    """The receiver for a plan; what it may capture is bounded. Raises CommandError."""
    allow_files(sockets)
    capture_bytes = plan.calls * len(plan.expected.payload) if plan.expected else 0
    try:
        return Ears(
            sockets=sockets,
            streams_max=2 * plan.calls,
            expected=plan.expected,
            capture_every=1 + capture_bytes // CAPTURE_BUDGET_BYTES,
        )
    except OSError as error:
        raise CommandError(
            f"cannot open {sockets} RTP sockets: {error.strerror}", "Take fewer with --sockets"
        ) from None


async def place_calls(
    plan: Plan, sockets: int, tell: Callable[[dict[str, Any]], None]
) -> tuple[list[CallRecord], dict[str, Any]]:
    """Place the calls; returns their records and the summary. Raises CommandError, ListenError."""
    caller = Caller(plan, make_ears(plan, sockets))
    summary = await carry_out(caller, lambda: tell(progress_of(caller)))
    return caller.records, summary


async def carry_out(caller: Caller, progress: Callable[[], None]) -> dict[str, Any]:
    """Place a caller's calls on a port of their own; returns the summary. Raises ListenError."""
    started_s = time.monotonic()
    plan = caller.plan
    with Phone(caller, max_calls=plan.calls) as phone:
        flow = phone.flow(plan.target.host, plan.target.port)
        await caller.run(phone.agent, flow, progress)
        await settle(phone.agent)
    return summary_of(caller.records) | {
        "up_most": caller.up_most,
        "seconds": round(time.monotonic() - started_s, 3),
        "dropped_by_caller": caller.ears.dropped(),
        "interval_error_us": caller.ears.interval_error_us(),
        "cpu_us": cpu_time_us(),
    }


async def settle(agent: UserAgent) -> None:
    """Wait for the answers to our last BYEs, two seconds at most."""
    for _ in range(round(2 / TICK_S)):
        if not agent.dialogs:
            return
        await asyncio.sleep(TICK_S)


def progress_of(caller: Caller) -> dict[str, Any]:
    """A line of progress."""
    return {
        "placed": caller.placed,
        "up": caller.up,
        "ended": len(caller.records),
        "failed": sum(1 for record in caller.records if record.fault),
    }


def print_line(document: dict[str, Any]) -> None:
    """Print one JSON line, at once."""
    sys.stdout.write(json.dumps(document) + "\n")
    sys.stdout.flush()


def write_records(records: list[CallRecord], file: Path) -> None:
    """Write one JSON line a call. Raises CommandError if the file cannot be written."""
    try:
        with file.open("w", encoding="utf-8") as lines:
            lines.writelines(json.dumps(record.to_json()) + "\n" for record in records)
    except OSError as error:
        raise CommandError(
            f"cannot write the records {file}: {error.strerror}", "Take another place for them"
        ) from None


@contextmanager
def one_line_errors() -> Iterator[None]:
    """Turns what can go wrong at the start into one line on stderr and exit status 2."""
    try:
        yield
    except (CommandError, ListenError, PromptError, UnknownCodec) as error:
        typer.echo(f"error: {error}", err=True)
        raise typer.Exit(2) from None


def main(
    target: Annotated[str, typer.Argument(help="Whom to call: udp:HOST:PORT.")],
    *,
    calls: Annotated[int, typer.Option(min=1, max=MAX_CALLS, help="Calls to place.")] = 1,
    rate: Annotated[float, typer.Option(min=0.01, max=5000, help="Calls placed a second.")] = 10.0,
    hold: Annotated[
        float | None,
        typer.Option(min=0, max=3600, help="Hang up so many seconds after the answer."),
    ] = None,
    patience: Annotated[
        float,
        typer.Option(min=0.1, max=3600, help="Without --hold: seconds the other side may take."),
    ] = 120.0,
    codec: Annotated[str, typer.Option(help="The codec to offer.")] = "pcmu",
    expect: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="Sound file that must be heard; one after another."),
    ] = None,
    loop: Annotated[bool, typer.Option("--loop", help="It is heard again and again.")] = False,
    sockets: Annotated[int, typer.Option(min=1, max=10_000, help="RTP sockets to share.")] = 16,
    records: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Write one JSON line a call there.")
    ] = None,
    progress: Annotated[
        bool, typer.Option("--progress", help="Print a JSON line of progress twice a second.")
    ] = False,
) -> None:
    """Place SIP calls, listen to them, and print one JSON line about all of them.

    Example: python -m ringwheel.bench.caller udp:127.0.0.1:5060 --calls 200 --rate 50 --hold 5
    """
    configure_logging("warning")
    with one_line_errors():
        offered = codec_by_name(codec)
        expected = expected_payload(expect or [], offered, loop=loop)
        plan = Plan(Listener.parse(target), calls, rate, hold, patience, offered, expected)
        tell = print_line if progress else lambda _line: None
        placed, summary = uvloop.run(place_calls(plan, sockets, tell))
        if records:
            write_records(placed, records)
    print_line(summary)
    raise typer.Exit(1 if summary["failed"] else 0)


if __name__ == "__main__":
    typer.run(main)

"""`ringwheel doctor`: what this machine allows, and what to change."""

from __future__ import annotations

import enum
import importlib.metadata
import importlib.util
import json
import platform
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Annotated

import soundfile
import typer
from rich.console import Console
from rich.table import Table

from ..media import _core, huge_pages
from ..media.codec import CODECS, OPUS
from .config import ServeConfig, override, rtp_call_capacity
from .errors import STATUS_FAILED
from .machine import Machine, TickLateness

DEFAULT_MAX_CALLS = 1000
# Besides one RTP socket a call: SIP listeners, event descriptors, prompts, logs, the interpreter.
OTHER_FILES = 100
# A wake-up's worth of SIP datagrams at 300 calls a second, should Python be busy for 100 ms.
WANTED_SOCKET_BUFFER_BYTES = 4 * 1024 * 1024
# Sources that are read without a system call or an access to slow hardware.
FAST_CLOCK_SOURCES = frozenset(
    {"tsc", "kvm-clock", "arch_sys_counter", "hyperv_clocksource_tsc_page"}
)
LATE_WARN_US = 1_000
LATE_FAIL_US = 5_000


class Status(enum.StrEnum):
    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Finding:
    """One row: what was found, and what to change unless it is ok."""

    name: str
    status: Status
    found: str
    change: str = ""


@dataclass(frozen=True, slots=True)
class Wanted:
    """What the machine is held against."""

    max_calls: int = DEFAULT_MAX_CALLS
    rtp_ports: tuple[int, int] = ServeConfig().rtp_ports


def check_cores(machine: Machine, wanted: Wanted) -> Finding:
    quota = machine.cpu_quota_cores
    found = f"{machine.cores} usable"
    if quota is not None and quota < machine.cores:
        found += f", limited to {quota:g} by the cgroup"
        change = "a quota stops the 20 ms clock while it is used up: give whole cores (cpuset)"
        return Finding("cores", Status.WARN, found, change)
    if machine.cores < 2:
        change = "a shard and SIP share one core: give two for steady packets under call bursts"
        return Finding("cores", Status.WARN, found, change)
    return Finding("cores", Status.OK, found)


def check_python(machine: Machine, wanted: Wanted) -> Finding:
    found = f"{platform.python_implementation()} {platform.python_version()}"
    if platform.python_implementation() != "CPython":
        return Finding("python", Status.FAIL, found, "run it on CPython 3.11 or later")
    return Finding("python", Status.OK, found)


def check_kernel(machine: Machine, wanted: Wanted) -> Finding:
    missing = machine.missing_system_calls()
    found = f"Linux {machine.kernel}"
    if not missing:
        return Finding("kernel", Status.OK, f"{found}; recvmmsg, sendmmsg, epoll_pwait2")
    found += f"; refuses {', '.join(missing)}"
    if missing == ["epoll_pwait2"]:
        change = "Linux 5.11 or a sandbox profile that allows it: waits are in whole ms without"
        return Finding("kernel", Status.WARN, found, change)
    return Finding("kernel", Status.FAIL, found, "allow these calls in the sandbox's profile")


def check_open_files(machine: Machine, wanted: Wanted) -> Finding:
    soft, hard = machine.open_files
    needed = wanted.max_calls + OTHER_FILES
    found = f"{_limit(soft)} (hard limit {_limit(hard)}), {needed:,} needed"
    if _at_least(soft, needed):
        return Finding("open files", Status.OK, found)
    if _at_least(hard, needed):
        return Finding("open files", Status.FAIL, found, f"ulimit -n {needed}")
    change = f"systemd: LimitNOFILE={needed}; docker: --ulimit nofile={needed}"
    return Finding("open files", Status.FAIL, found, change)


# resource.RLIM_INFINITY is -1.
def _at_least(limit: int, needed: int) -> bool:
    return limit < 0 or limit >= needed


def _limit(limit: int) -> str:
    return "unlimited" if limit < 0 else f"{limit:,}"


def check_socket_buffers(machine: Machine, wanted: Wanted) -> Finding:
    names = ("net.core.rmem_max", "net.core.wmem_max")
    values = [machine.sysctl_number(name) for name in names]
    found = ", ".join(
        f"{name} {'unknown' if value is None else f'{value:,}'}"
        for name, value in zip(names, values, strict=True)
    )
    small = [
        name
        for name, value in zip(names, values, strict=True)
        if value is not None and value < WANTED_SOCKET_BUFFER_BYTES
    ]
    if not small:
        return Finding("socket buffers", Status.OK, found)
    change = "sysctl -w " + " ".join(f"{name}={WANTED_SOCKET_BUFFER_BYTES}" for name in small)
    return Finding("socket buffers", Status.WARN, found, change)


def check_io_uring(machine: Machine, wanted: Wanted) -> Finding:
    error = machine.io_uring_error()
    if error is None:
        return Finding("io_uring", Status.OK, "allowed")
    disabled = machine.sysctl_number("kernel.io_uring_disabled")
    change = (
        "sysctl -w kernel.io_uring_disabled=0"
        if disabled
        else "allow io_uring_setup in the sandbox's profile"
    )
    return Finding("io_uring", Status.WARN, error.lower(), f"{change} (plain sockets do without)")


def check_port_count(machine: Machine, wanted: Wanted) -> Finding:
    low, high = wanted.rtp_ports
    calls = rtp_call_capacity(wanted.rtp_ports)
    found = f"{low}-{high}: two a call, {calls:,} calls"
    if calls >= wanted.max_calls:
        return Finding("RTP ports", Status.OK, found)
    change = f"widen --rtp-ports to {2 * wanted.max_calls:,} ports, or add an engine"
    return Finding("RTP ports", Status.FAIL, found, change)


def check_port_overlap(machine: Machine, wanted: Wanted) -> Finding:
    """Whether the kernel may hand out RTP ports to clients that ask for any port."""
    name = "net.ipv4.ip_local_port_range"
    own = (machine.sysctl(name) or "").split()
    if len(own) != 2 or not all(part.isdecimal() for part in own):
        return Finding("local ports", Status.WARN, f"{name} unknown", f"compare {name} yourself")
    low, high = (int(part) for part in own)
    reserved = machine.sysctl("net.ipv4.ip_local_reserved_ports") or ""
    first, last = max(low, wanted.rtp_ports[0]), min(high, wanted.rtp_ports[1])
    if first > last:
        return Finding("local ports", Status.OK, f"{low}-{high}, apart from RTP")
    if covers(reserved, first, last):
        return Finding("local ports", Status.OK, f"{low}-{high}, RTP reserved")
    ours = f"{wanted.rtp_ports[0]}-{wanted.rtp_ports[1]}"
    # The parameter is replaced as a whole: what others reserved has to stay in it.
    value = f"{reserved},{ours}" if reserved else ours
    change = f"sysctl -w net.ipv4.ip_local_reserved_ports={value}"
    return Finding("local ports", Status.WARN, f"{low}-{high} overlaps RTP {ours}", change)


def covers(reserved: str, first: int, last: int) -> bool:
    """True if a list such as ``8080,20000-30000`` holds every port from ``first`` to ``last``."""
    ranges = []
    for part in reserved.split(","):
        start, _, end = part.strip().partition("-")
        if start.isdecimal() and (end or start).isdecimal():
            ranges.append((int(start), int(end or start)))
    for low, high in sorted(ranges):
        if low <= first <= high:
            first = high + 1
    return first > last


def check_clock(machine: Machine, wanted: Wanted) -> Finding:
    source = machine.clock_source
    resolution_ns = machine.clock_resolution_ns
    slack_us = machine.timer_slack_ns / 1000
    found = f"{source or 'unknown'}, resolution {resolution_ns} ns, timer slack {slack_us:g} us"
    if resolution_ns > 1_000_000:
        change = "this kernel has no high-resolution timers (CONFIG_HIGH_RES_TIMERS): use another"
        return Finding("clock", Status.FAIL, found, change)
    if source is not None and source not in FAST_CLOCK_SOURCES:
        change = f"{source} is slow to read: boot with clocksource=tsc if the host allows it"
        return Finding("clock", Status.WARN, found, change)
    return Finding("clock", Status.OK, found)


def check_huge_pages(machine: Machine, wanted: Wanted) -> Finding:
    """Whether Python's objects lie on them."""
    choices = machine.read(huge_pages.SYSTEM_SWITCH.lstrip("/"))
    if choices is None:
        change = "use a kernel with CONFIG_TRANSPARENT_HUGEPAGE: SIP costs more CPU without"
        return Finding("huge pages", Status.WARN, "unknown to this kernel", change)
    chosen = choices.partition("[")[2].partition("]")[0] or choices
    if not huge_pages.allowed(choices):
        change = f"echo madvise > {huge_pages.SYSTEM_SWITCH} (SIP costs more CPU without)"
        return Finding("huge pages", Status.WARN, chosen, change)
    if huge_pages.switched_off():
        change = f"unset {huge_pages.SWITCH} (SIP costs more CPU without)"
        return Finding("huge pages", Status.WARN, f"{chosen}, but switched off", change)
    return Finding("huge pages", Status.OK, f"{chosen}, used for Python's objects")


def judge_lateness(late: TickLateness) -> Finding:
    found = (
        f"1 ms ticks late by p50 {late.p50_us:,.0f}, p99 {late.p99_us:,.0f}, "
        f"max {late.max_us:,.0f} us"
    )
    if late.p99_us < LATE_WARN_US:
        return Finding("wake-ups", Status.OK, found)
    status = Status.WARN if late.p99_us < LATE_FAIL_US else Status.FAIL
    change = "other load takes the cores: stop it, or run the engine with --realtime"
    return Finding("wake-ups", status, found, change)


def check_real_time(machine: Machine, wanted: Wanted) -> Finding:
    """Whether media threads may come before all other load; it has to be asked for."""
    if machine.real_time_allowed:
        return Finding("real time", Status.OK, "allowed: --realtime")
    found = "not allowed; for --realtime: ulimit -r 1, systemd: LimitRTPRIO=1"
    return Finding("real time", Status.OK, found)


def check_codecs(machine: Machine, wanted: Wanted) -> Finding:
    """What `--codec` takes, and which of the optional ones were built in."""
    labels = [codec.label for codec in CODECS]
    if OPUS in labels:
        return Finding("codecs", Status.OK, ", ".join(labels))
    change = "apt-get install libopus-dev and build again (no Opus without)"
    return Finding("codecs", Status.WARN, f"{', '.join(labels)}; built without libopus", change)


def check_libraries(machine: Machine, wanted: Wanted) -> Finding:
    """What the package can do without, and does better with."""
    found, missing = [f"libsndfile {soundfile.__libsndfile_version__}"], []
    if "MP3" not in soundfile.available_formats():
        missing.append("MP3 prompts need libsndfile 1.1")
    for name, use in (("uvloop", "SIP costs more CPU"), ("matplotlib", "bench cannot plot")):
        if importlib.util.find_spec(name):
            found.append(f"{name} {importlib.metadata.version(name)}")
        else:
            missing.append(f"pip install {name} ({use} without)")
    if _core.SRTP_AVAILABLE:
        found.append("libsrtp2")
    else:
        missing.append("apt-get install libsrtp2-dev and build again (no SRTP without)")
    status = Status.WARN if missing else Status.OK
    return Finding("libraries", status, ", ".join(found), "; ".join(missing))


CHECKS: tuple[Callable[[Machine, Wanted], Finding], ...] = (
    check_cores,
    check_python,
    check_kernel,
    check_open_files,
    check_socket_buffers,
    check_io_uring,
    check_port_count,
    check_port_overlap,
    check_clock,
    check_real_time,
    check_huge_pages,
    check_codecs,
    check_libraries,
)


def examine(machine: Machine, wanted: Wanted, ticks: int = 1000) -> list[Finding]:
    """Every row; takes ``ticks`` milliseconds, since it watches the clock for that long."""
    findings = [check(machine, wanted) for check in CHECKS]
    return [*findings, judge_lateness(machine.tick_lateness(ticks))]


def doctor(
    max_calls: Annotated[
        int, typer.Option(help="Calls at the same time to hold the machine against.")
    ] = DEFAULT_MAX_CALLS,
    rtp_ports: Annotated[str, typer.Option(help="Ports for RTP, two a call.")] = "20000-40000",
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> int:
    """Show what this machine allows and what to change; status 1 if something has to be."""
    # The port range is judged against the number of calls by a row, not by the flags' own check.
    config = override(ServeConfig(sip=()), {"rtp_ports": rtp_ports})
    calls = override(ServeConfig(rtp_sockets="shared"), {"max_calls": max_calls}).max_calls
    findings = examine(Machine(), Wanted(calls or DEFAULT_MAX_CALLS, config.rtp_ports))
    if as_json:
        rows = [asdict(finding) for finding in findings]
        typer.echo(json.dumps({"status": worst(findings), "findings": rows}, indent=2))
    else:
        show(findings)
    return STATUS_FAILED if worst(findings) is Status.FAIL else 0


def worst(findings: list[Finding]) -> Status:
    """The status of the whole."""
    order = list(Status)
    return max((finding.status for finding in findings), key=order.index)


_COLORS = {Status.OK: "green", Status.WARN: "yellow", Status.FAIL: "red"}


def show(findings: list[Finding]) -> None:
    """A table for people; what to change stands below it, whole, to be copied."""
    console = Console(highlight=False)
    table = Table(box=None, pad_edge=False, show_header=False)
    for finding in findings:
        color = _COLORS[finding.status]
        table.add_row(f"[{color}]{finding.status:<4}[/]", finding.name, finding.found)
    console.print(table)
    for finding in findings:
        if finding.change:
            console.print(f"{finding.name}: {finding.change}", markup=False, soft_wrap=True)

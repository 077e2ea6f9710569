from collections.abc import Sequence
from typing import TypedDict

class Quantiles(TypedDict):
    p50: int
    p99: int
    p999: int
    max: int

class LimitResult(TypedDict):
    packets: int
    failed: int
    received: int
    ticks: int
    cpu_us: int
    wall_us: int
    lateness_us: Quantiles

class Totals(TypedDict):
    packets: int
    rejected: dict[str, int]
    oversized: int
    unknown: int
    dropped: int

class Stream(TypedDict):
    socket: int
    ssrc: int
    address: int
    port: int
    packets: int
    lost: int
    duplicates: int
    reordered: int
    timestamp_jumps: int
    spurts: int
    first_arrival_ns: int
    last_arrival_ns: int
    interval_error_us: Quantiles

LIMIT_WAYS: dict[str, int]

def run_limit(
    way: str,
    paced: bool,
    destinations: list[tuple[int, int]],
    seconds: float,
    fds: Sequence[int] = (),
) -> LimitResult: ...
def run_floor(fd: int, seconds: float) -> dict[str, int]: ...

class Receiver:
    def __init__(
        self,
        *,
        sockets: int,
        streams_max: int,
        ptime_ms: int = 20,
        capture_every: int = 0,
        capture_bytes: int = 0,
        all_loopback: bool = False,
    ) -> None: ...
    @property
    def ports(self) -> list[int]: ...
    def drain(self) -> int: ...
    def run(self, seconds: float) -> None: ...
    def begin_window(self) -> None: ...
    def totals(self) -> Totals: ...
    def interval_error_us(self) -> Quantiles: ...
    def interval_error_counts(self) -> list[tuple[int, int]]: ...
    def __len__(self) -> int: ...
    def stream(self, index: int) -> Stream: ...
    def captured(self, index: int) -> bytes | None: ...

Sound = tuple[int, int, list[bytes]]

class Talker:
    def __init__(
        self,
        receiver: Receiver,
        origins: list[tuple[int, int]],
        destinations: list[tuple[int, int]],
        sounds: list[Sound],
    ) -> None: ...
    def run(self, seconds: float) -> None: ...
    @property
    def packets(self) -> int: ...
    @property
    def failed(self) -> int: ...

class Pairs:
    def __init__(
        self,
        talker: Talker,
        ports: list[int],
        formats: list[tuple[int, int]],
        keep_every: int,
        keep_packets: int,
    ) -> None: ...
    def counts(self) -> dict[str, int]: ...
    def begin_window(self) -> None: ...
    def delay_us(self) -> Quantiles: ...
    def kept(self, leg: int) -> list[tuple[int, bytes]]: ...

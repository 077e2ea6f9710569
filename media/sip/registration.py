"""A registration that is kept up (RFC 3261 10.2): refreshed, tried again, moved, taken back.

Sans-I/O: requests go through the user agent, waits are its timers.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from enum import Enum
from typing import TYPE_CHECKING

from .digest import Credentials
from .edge import Flow, TimerHandle
from .failure import Undelivered
from .fields import split_commas
from .message import Response, SipParseError
from .requests import DAY_S, PendingRequest, RequestSeries, retry_after_s
from .uri import NameAddr, SipUri

if TYPE_CHECKING:
    from .ua import UserAgent

MIN_REFRESH_S = 5
"""Not more often than that, however little time a registrar grants."""

MAX_CONTACTS = 64
_DIGITS = 9


class RegistrationState(Enum):
    """Where a registration stands."""

    IDLE = "idle"
    REGISTERING = "registering"
    REGISTERED = "registered"
    FAILED = "failed"
    """The last attempt failed; there will be another one."""

    UNREGISTERING = "unregistering"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class RegistrationConfig:
    """``registrar`` is the URI that REGISTER is sent to (``sip:example.com``), ``address`` the
    address-of-record, as it goes into From and To. ``contact_user`` is the user of our Contact, to
    which calls will come, where it is not that of the user agent.

    After a failure, the wait is chosen between half and all of ``retry_s``, which doubles with each
    further failure up to ``max_retry_s`` (RFC 5626 4.5); after a refusal of the credentials it is
    ``refused_retry_s`` at least, so that no account is locked by our trying.
    """

    registrar: str
    address: str
    credentials: Credentials | None = None
    contact_user: str = ""
    expires_s: int = 600
    retry_s: int = 30
    max_retry_s: int = 1_800
    refused_retry_s: int = 300

    def __post_init__(self) -> None:
        for uri in (self.registrar, self.address):
            SipUri.parse(uri)
        if not 0 < self.expires_s <= DAY_S:
            raise ValueError(f"a registration lasts 1 to {DAY_S} s, not {self.expires_s}")


class Registration:
    """One binding at one registrar. It is the user of its requests.

    ``reason`` says in words why the state is what it is, ``status`` is the last final status (0
    before there was one, 408 for none), ``granted_s`` what the registrar granted.
    """

    def __init__(
        self,
        agent: UserAgent,
        config: RegistrationConfig,
        flow: Flow,
        on_change: Callable[[Registration], object],
    ) -> None:
        """``on_change`` is told when the state has changed, and again on each failure."""
        self.config = config
        self.flow = flow
        self.state = RegistrationState.IDLE
        self.reason = "not started"
        self.status = 0
        self.granted_s = 0
        self.failures = 0
        self._agent = agent
        self._on_change = on_change
        self._series = RequestSeries(agent, config.credentials)
        self._asked_s = config.expires_s
        self._pending: PendingRequest | None = None
        self._timer: TimerHandle | None = None
        self._contact = ""  # what we have asked for last
        self._bound = ""  # what the registrar has taken last
        self._again = False
        self._stopping = False
        self._bound_ms = self._due_ms = 0  # when it was made last, when the next step is
        self._losses = 0  # connections that were gone soon, one after the other

    def __repr__(self) -> str:
        return f"<Registration {self.config.address} {self.state.value}>"

    # What the user may do

    def start(self) -> None:
        """Register now. Again after `stop` has done its work, too."""
        self._stopping = False
        self.refresh()

    def refresh(self) -> None:
        """Register now, or as soon as the request that is under way has its answer."""
        if self._stopping:
            return
        self._drop_timer()
        if self._pending is not None:
            self._again = True  # RFC 3261 10.2: one at a time
        else:
            self._register()

    def move(self, flow: Flow) -> None:
        """Go to the registrar by another way; a Contact that is not ours any more is taken back."""
        if flow != self.flow:
            self.flow = flow
            self._refresh_if_started()

    def disconnected(self, flow: Flow) -> None:
        """A connection is gone. If it was the binding's, calls may not find us before the binding
        is made again, which therefore does not wait for its refresh (RFC 5626 4.4, 4.5)."""
        waits = self.state is RegistrationState.REGISTERED and self._timer is not None
        if flow != self.flow or not waits:
            return
        now_ms, config = self._agent.timers.now_ms, self.config
        if 2 * (now_ms - self._bound_ms) >= 1_000 * self.granted_s:
            self._losses = 0  # that one has held for long
        longest_s = min(config.max_retry_s, config.retry_s * 2 ** min(self._losses, 16))
        self._losses += 1
        wait_ms = int(1_000 * longest_s * self._agent.random.uniform(0.5, 1))
        self._wait_ms(min(wait_ms, self._due_ms - now_ms))

    def set_credentials(self, credentials: Credentials | None) -> None:
        """Use others from now on."""
        self._series.set_credentials(self._agent, credentials)
        self._refresh_if_started()

    def stop(self) -> None:
        """Take the binding back; STOPPED when that was answered, or when nobody has answered."""
        if self._stopping or self.state in (RegistrationState.IDLE, RegistrationState.STOPPED):
            return
        self._stopping = True
        self._drop_timer()
        if self._pending is None:
            self._unregister()

    def abandon(self) -> None:
        """Stop at once, and let the binding run out."""
        self._stopping = True
        self._drop_timer()
        self._forget_pending()
        self._become(RegistrationState.STOPPED, "abandoned")

    # The user of its requests

    def on_response(self, response: Response) -> None:
        """An answer to REGISTER, or what stands for none."""
        if response.status < 200:
            return
        if isinstance(response, Undelivered):
            self.on_timeout()
            return
        self._pending = None
        self.status = response.status
        if self._stopping:
            self._on_answer_while_stopping(response)
        elif self.state is RegistrationState.UNREGISTERING:
            self._register()  # started again meanwhile
        elif response.status < 300:
            self._on_registered(response)
        elif response.status == 423 and self._take_min_expires(response):
            self._register()
        else:
            self._on_refused(response)

    def on_timeout(self) -> None:
        """Nobody answered."""
        self._pending = None
        self.status = 408
        if self._stopping:
            self._become(RegistrationState.STOPPED, "the registrar did not answer")
        elif self.state is RegistrationState.UNREGISTERING:
            self._register()
        else:
            self._fail("the registrar did not answer", self.config.retry_s)

    # Within

    def _refresh_if_started(self) -> None:
        if self.state not in (RegistrationState.IDLE, RegistrationState.STOPPED):
            self.refresh()

    def _register(self) -> None:
        contact = self._contact = self._contact_now()
        if self.state is not RegistrationState.REGISTERED:
            self._become(RegistrationState.REGISTERING, "asking the registrar")
            if self._stopping or self._pending is not None:
                return  # who was told has made the next step already
        self._send([f"{contact};expires={self._asked_s}", *self._taken_back()], self._asked_s)

    def _contact_now(self) -> str:
        contact = self._agent.contact(self.flow, self.config.registrar)
        user = self.config.contact_user
        if not user:
            return contact
        address = NameAddr.parse(contact)
        return str(replace(address, uri=str(replace(address.target(), user=user))))

    def _unregister(self) -> None:
        self._become(RegistrationState.UNREGISTERING, "taking the binding back")
        if self.state is not RegistrationState.UNREGISTERING or self._pending is not None:
            return
        self._send([f"{self._contact};expires=0", *self._taken_back()], 0)

    def _taken_back(self) -> list[str]:
        """The Contact that the registrar still has of us, though we go by another one by now."""
        moved = self._bound not in ("", self._contact)
        return [f"{self._bound};expires=0"] if moved else []

    def _send(self, contacts: list[str], expires_s: int) -> None:
        config = self.config
        lines = [("Contact", contact) for contact in contacts]
        self._again = False
        self._pending = self._agent.request(
            "REGISTER",
            config.registrar,
            self.flow,
            from_uri=config.address,
            to_uri=config.address,
            headers=[*lines, ("Expires", str(expires_s))],
            user=self,
            series=self._series,
        )

    def _on_registered(self, response: Response) -> None:
        self.granted_s = granted_s(response, self._contact, self._asked_s)
        if not self.granted_s:
            self._fail("the registrar took the request, but granted no time", self.config.retry_s)
            return
        self.failures = 0
        self._bound = self._contact
        self._bound_ms = self._agent.timers.now_ms
        self._become(RegistrationState.REGISTERED, f"for {self.granted_s} s")
        if self._decided():
            return
        if self._again:
            self._register()
        else:
            self._wait_ms(self._refresh_after_ms())

    def _refresh_after_ms(self) -> int:
        """75 to 90 % of the time, so that many of us do not come at once."""
        share = self._agent.random.uniform(0.75, 0.9)
        return max(1_000 * MIN_REFRESH_S, int(1_000 * self.granted_s * share))

    def _take_min_expires(self, response: Response) -> bool:
        """True if the registrar wants longer registrations, and we can ask for one (10.2.8)."""
        wanted_s = _seconds(response.headers.get("Min-Expires"))
        if wanted_s is None or not self._asked_s < wanted_s <= DAY_S:
            return False
        self._asked_s = wanted_s
        return True

    def _on_refused(self, response: Response) -> None:
        status = response.status
        reason = f"{status} {response.reason}".rstrip()
        wait_s = self.config.retry_s
        if status in (401, 403, 407):
            wait_s = self.config.refused_retry_s
            if status != 403:
                known = self._series.auth is not None
                reason += ": it refuses our credentials" if known else ": it wants credentials"
        self._fail(reason, max(wait_s, retry_after_s(response) or 0))

    def _fail(self, reason: str, least_s: int) -> None:
        self.failures += 1
        self.granted_s = 0
        self._become(RegistrationState.FAILED, reason, anyhow=True)
        if self._decided():
            return
        if self._again:
            self._register()
            return
        config = self.config
        doubled_s = config.retry_s * 2 ** min(self.failures - 1, 16)
        wait_s = max(least_s, min(config.max_retry_s, doubled_s))
        # RFC 5626 4.5: between 50 and 100 % of it; never less than the peer has asked for.
        self._wait_ms(int(1_000 * max(least_s, wait_s * self._agent.random.uniform(0.5, 1))))

    def _decided(self) -> bool:
        """True if who was told of a change has made the next step already."""
        return self._stopping or self._pending is not None or self._timer is not None

    def _on_answer_while_stopping(self, response: Response) -> None:
        if self.state is RegistrationState.UNREGISTERING:
            done = response.status < 300
            reason = "unregistered" if done else f"{response.status} {response.reason}".rstrip()
            self._become(RegistrationState.STOPPED, reason)
        else:
            self._unregister()

    def _wait_ms(self, delay_ms: int) -> None:
        self._drop_timer()
        self._due_ms = self._agent.timers.now_ms + delay_ms
        self._timer = self._agent.timers.arm(max(1, delay_ms), self._on_timer)

    def _on_timer(self) -> None:
        self._timer = None
        self._register()

    def _drop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _forget_pending(self) -> None:
        if self._pending is not None:
            self._pending.forget()
            self._pending = None

    def _become(self, state: RegistrationState, reason: str, *, anyhow: bool = False) -> None:
        changed = state is not self.state
        self.state, self.reason = state, reason
        if changed or anyhow:
            self._agent.tell(self._on_change, self)


def granted_s(response: Response, contact: str, asked_s: int) -> int:
    """How long a 200 to REGISTER lets our binding stand (RFC 3261 10.2.4).

    ``contact`` is ours, as we have sent it. A registrar that shows us under another address, and
    nobody beside us, means us.
    """
    default_s = _seconds(response.headers.get("Expires"))
    if default_s is None:
        default_s = asked_s
    found = _bindings_of(response)
    ours = _key_of(contact)
    matching = [expires for key, expires in found if key == ours]
    if not matching and len(found) == 1:
        matching = [found[0][1]]
    if not matching:
        # Nothing listed at all is an old registrar; others listed without us is none of ours.
        return 0 if found else min(default_s, DAY_S)
    expires_s = _seconds(matching[0])
    return min(default_s if expires_s is None else expires_s, DAY_S)


def _bindings_of(response: Response) -> list[tuple[tuple[object, ...], str | None]]:
    """What tells a binding from others, and its ``expires``; those that cannot be read are out."""
    found: list[tuple[tuple[object, ...], str | None]] = []
    for line in response.headers.all("Contact")[:MAX_CONTACTS]:
        try:
            for value in split_commas(line)[:MAX_CONTACTS]:
                found.append((_key_of(value), NameAddr.parse(value).param("expires")))
        except SipParseError:
            continue
    return found[:MAX_CONTACTS]


def _key_of(contact: str) -> tuple[object, ...]:
    uri = NameAddr.parse(contact).target()
    return (uri.scheme, uri.user, uri.host, uri.port or 5060)


def _seconds(text: str | None) -> int | None:
    """Seconds as they stand in a header or parameter; None if there are none."""
    digits = (text or "").strip()
    known = digits.isascii() and digits.isdigit() and len(digits) <= _DIGITS
    return int(digits) if known else None

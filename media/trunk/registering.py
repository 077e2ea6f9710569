"""The registration of a trunk: kept up at the peer that is up, and moved when that one fails."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

import structlog

from ..sip.digest import Credentials
from ..sip.registration import Registration as Binding
from ..sip.registration import RegistrationConfig, RegistrationState
from ..sip.resolve import Target
from .trunk import Trunk

if TYPE_CHECKING:
    from ..sip.edge import Flow
    from ..sip.ua import UserAgent

log = structlog.get_logger(__name__)

_UNSERVED = frozenset({408, 503})
"""What says that the registrar is not there, rather than that it does not want us."""


class Registering:
    """One trunk's binding. Sans-I/O.

    ``failed`` is told of an address that did not serve a REGISTER, and why; ``stopped`` that
    there is nothing more to wait for.
    """

    def __init__(
        self,
        agent: UserAgent,
        trunk: Trunk,
        flow_to: Callable[[Target], Flow | None],
        failed: Callable[[Target, str], None],
        stopped: Callable[[], None],
    ) -> None:
        self._agent = agent
        self._trunk = trunk
        self._config = config_of(trunk)
        self._flow_to = flow_to
        self._failed = failed
        self._stopped = stopped
        self._binding: Binding | None = None
        self._target: Target | None = None
        self._stopping = False

    @property
    def state(self) -> str:
        """In a word."""
        return self._binding.state.value if self._binding else RegistrationState.IDLE.value

    @property
    def reason(self) -> str:
        """Why it is in that state."""
        return self._binding.reason if self._binding else "no address to register at is known"

    @property
    def stopped(self) -> bool:
        """True when there is nothing left to wait for."""
        return self._binding is None or self._binding.state is RegistrationState.STOPPED

    def go_to(self, target: Target, *, up: bool) -> None:
        """Register at this address from now on; ``up``: it is known to be well."""
        binding = self._binding
        if self._stopping:
            return
        if target == self._target and binding is not None:
            if up and binding.state is RegistrationState.FAILED and binding.status in _UNSERVED:
                binding.refresh()
            return
        flow = self._flow_to(target)
        if flow is None:
            return
        self._target = target
        if binding is None:
            self._binding = Binding(self._agent, self._config, flow, self._on_change)
            self._binding.start()
        else:
            binding.move(flow)

    def disconnected(self, flow: Flow) -> None:
        """A connection is gone, perhaps that of the binding."""
        if self._binding is not None:
            self._binding.disconnected(flow)

    def stop(self) -> None:
        """Take the binding back."""
        self._stopping = True
        if self._binding is not None:
            self._binding.stop()

    def _on_change(self, binding: Binding) -> None:
        failed = binding.state is RegistrationState.FAILED
        (log.warning if failed else log.info)(
            "registration " + binding.state.value, trunk=self._trunk.name, cause=binding.reason
        )
        if failed and binding.status in _UNSERVED and self._target is not None:
            self._failed(self._target, f"{binding.status} to REGISTER")
        if self.stopped:
            self._stopped()


def config_of(trunk: Trunk) -> RegistrationConfig:
    """What is registered, where, and as whom."""
    wanted = trunk.registration
    assert wanted is not None
    domain = wanted.domain or trunk.uri_host
    return RegistrationConfig(
        registrar=f"sip:{domain}",
        address=f"sip:{wanted.user}@{domain}",
        credentials=Credentials(trunk.user, trunk.password) if trunk.user else None,
        expires_s=wanted.expires_s,
        contact_user=wanted.user,  # many a carrier sends calls to nobody else
    )

"""`python -m ringwheel.bench.good_calls_process`: calls that replace each other (see `child`).

Arguments: ``target``, whom to call; ``prompt``, a sound file that each call must hear, after which
the other side hangs up; ``rate_per_s``, calls placed a second; ``max_calls``, how many there may be
in all. First it tells ``{}``, and begins. Commands: ``read`` tells how many calls are ``up``, the
``setups_ms`` of those answered since the last ``read``, and the ``interval_errors`` of all packets
so far, as pairs (us, packets); ``stop`` lets the calls that are up end, and is told twice: at once
``{}``, and the caller's summary in the end.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ..media.codec import PCMU
from ..media.sip.transport import Listener
from .caller import Caller, Plan, carry_out, expected_payload, make_ears
from .child import Answer, Parent
from .serving import obey_parent, run_child

SOCKETS = 16
PATIENCE_S = 120.0


def plan_of(arguments: Answer) -> Plan:
    """What the parent wants. Raises PromptError."""
    return Plan(
        target=Listener.parse(arguments["target"]),
        calls=arguments["max_calls"],
        rate_per_s=arguments["rate_per_s"],
        hold_s=None,
        patience_s=PATIENCE_S,
        codec=PCMU,
        expected=expected_payload([Path(arguments["prompt"])], PCMU, loop=False),
    )


def obey(caller: Caller, command: str) -> dict[str, Any]:
    """Carry out a command of the parent."""
    if command == "stop":
        caller.stopped = True
        return {}
    caller.ears.listen()  # what has arrived by now counts
    setups_ms, caller.setups_ms = caller.setups_ms, []
    return {
        "up": caller.up,
        "setups_ms": setups_ms,
        "interval_errors": caller.ears.interval_error_counts(),
    }


async def place_good_calls(parent: Parent) -> None:
    """Place calls until ``stop``."""
    plan = plan_of(parent.arguments)
    caller = Caller(plan, make_ears(plan, SOCKETS))
    obey_parent(parent, lambda command: obey(caller, command))
    parent.tell({})
    parent.tell(await carry_out(caller, lambda: None))


def main() -> None:
    run_child(place_good_calls, level="warning")


if __name__ == "__main__":
    main()

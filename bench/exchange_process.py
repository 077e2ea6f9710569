"""`python -m ringwheel.bench.exchange_process`: a bare loop that sends and receives (see `child`).

Arguments: ``legs``, the receiver's ``ports``, and the ``way``: "exchange" or "relay". First it
tells ``{"leg_ports": [...]}``. The command ``run`` lets it work in paced ticks for ``seconds``, and
tells what came of it.
"""

from __future__ import annotations

from ._native import run_limit
from .child import Parent
from .engine_process import WAIT_S, leg_socket
from .measure import destinations


def main() -> None:
    parent = Parent()
    arguments = parent.arguments
    to = destinations(arguments["ports"], arguments["legs"])
    try:
        sockets = [leg_socket(1) for _ in to]
        parent.tell({"leg_ports": [one.getsockname()[1] for one in sockets]})
        while parent.command(WAIT_S) != "run":
            pass
        fds = [one.fileno() for one in sockets]
        parent.tell(run_limit(arguments["way"], True, to, arguments["seconds"], fds))
    except OSError as error:
        parent.tell({"error": f"cannot open a socket for each of {len(to)} legs: {error}"})
    except EOFError:
        return


if __name__ == "__main__":
    main()

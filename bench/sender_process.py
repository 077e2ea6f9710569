"""`python -m ringwheel.bench.sender_process`: one run of a bare sending loop (see `child`).

Arguments: ``way`` and ``paced`` as `_native.run_limit` takes them, ``legs``, the receiver's
``ports``, ``seconds``.
"""

from __future__ import annotations

from ._native import run_limit
from .child import Parent
from .measure import destinations


def main() -> None:
    parent = Parent()
    arguments = parent.arguments
    to = destinations(arguments["ports"], arguments["legs"])
    try:
        parent.tell(run_limit(arguments["way"], arguments["paced"], to, arguments["seconds"]))
    except OSError as error:
        parent.tell({"error": f"cannot open a socket for each of {len(to)} legs: {error}"})


if __name__ == "__main__":
    main()

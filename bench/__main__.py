"""`python -m ringwheel.bench`: the benchmarks without the rest of the command line."""

from .commands import app

app(prog_name="ringwheel bench")

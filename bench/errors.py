"""What ends a benchmark before it has a result."""


class BenchError(Exception):
    """A benchmark cannot run here; the message names the cause and the remedy, in one line."""

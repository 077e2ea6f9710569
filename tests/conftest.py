"""What every test runs under."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import settings

# A busy machine is no failure: examples have no deadline, the run as a whole has (pytest-timeout).
settings.register_profile("ringwheel", deadline=None)
settings.load_profile("ringwheel")


@pytest.fixture(autouse=True)
def logging_as_it_was() -> Iterator[None]:
    """A command that runs within the test sets up logging to a stream that the test's end closes:
    whatever is logged later would fail, and say so on the next test's stderr."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    configuration = structlog.get_config()
    yield
    # What pytest itself put there for this test it takes away by itself.
    root.handlers[:] = [one for one in root.handlers if one in handlers or _is_pytests(one)]
    root.setLevel(level)
    structlog.configure(**configuration)


def _is_pytests(handler: logging.Handler) -> bool:
    return type(handler).__module__.startswith("_pytest.")

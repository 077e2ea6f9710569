"""What every test runs under."""

from __future__ import annotations

import logging
from collections.abc import Iterator

import pytest
import structlog
from hypothesis import HealthCheck, settings

# A busy machine is no failure: neither examples nor making them have a deadline, the run as a whole
# has (pytest-timeout). The examples are the same ones every time, so that what fails does so for
# everybody; `--hypothesis-profile=explore` looks for new ones.
settings.register_profile(
    "explore", deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=False
)
settings.register_profile("ringwheel", parent=settings.get_profile("explore"), derandomize=True)
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

"""Settings that every test runs under."""

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
def log_of_its_own() -> Iterator[None]:
    """How a command of one test logs, and where to, is not how the next test does."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
